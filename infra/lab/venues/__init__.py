"""Venue simulators of the lab: strict servers that speak each venue's protocol and hold an order book."""
