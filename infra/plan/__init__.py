"""The plan: from catalogue and stack settings to hosts, decided in full and without any I/O."""
