"""The lab: a cloud on this machine, its hosts, its network and its venues."""
