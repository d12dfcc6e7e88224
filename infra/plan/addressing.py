"""Networks and private addresses, fixed by numbers that never change.

Nothing here depends on what else a stack holds, so adding a venue or a host never moves another one (a new
private address means a new machine).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from infra.plan.errors import PlanError

HOSTS_PER_VENUE = 24
"""Addresses that one venue has in one network."""

FIRST_HOST = 10
"""AWS keeps the first four addresses and the last of a subnet; the rest below ten is left for endpoints."""

MAX_NETWORKS = 254


def network_of(number: int) -> IPv4Network:
    """Return place `number`'s network, 10.N.0.0/16. Different numbers never overlap."""
    if not 1 <= number <= MAX_NETWORKS:
        raise PlanError(f"network number {number} is outside 1..{MAX_NETWORKS}")
    return IPv4Network((f"10.{number}.0.0", 16))


def subnet_of(network: IPv4Network) -> IPv4Network:
    """Return the network's one public subnet, its first /24."""
    return next(network.subnets(new_prefix=24))


def host_address(subnet: IPv4Network, venue_number: int, host_number: int) -> IPv4Address:
    """Return the address of a venue's `host_number`-th host (from 1) in `subnet`."""
    if not 1 <= host_number <= HOSTS_PER_VENUE:
        raise PlanError(f"host number {host_number} is outside 1..{HOSTS_PER_VENUE}")
    return subnet[FIRST_HOST + venue_number * HOSTS_PER_VENUE + host_number - 1]
