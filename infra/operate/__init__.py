"""What an operator does beside ``pulumi`` and ``ansible-playbook``: verify, arm, watch, kill, report."""
