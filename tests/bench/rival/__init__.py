"""pyinfra, which the converge is measured beside."""
