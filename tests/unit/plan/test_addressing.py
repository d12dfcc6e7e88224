"""Addresses come from numbers that never change."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.plan.addressing import HOSTS_PER_VENUE, host_address, network_of, subnet_of
from infra.plan.errors import PlanError

numbers = st.integers(1, 254)
hosts = st.tuples(st.integers(0, 9), st.integers(1, HOSTS_PER_VENUE))


@given(numbers, numbers)
def test_networks_of_different_numbers_never_overlap(one: int, other: int) -> None:
    assert network_of(one).overlaps(network_of(other)) == (one == other)


@given(numbers, hosts, hosts)
def test_hosts_never_share_an_address(number: int, one: tuple[int, int], other: tuple[int, int]) -> None:
    subnet = subnet_of(network_of(number))
    first, second = host_address(subnet, *one), host_address(subnet, *other)
    assert (first == second) == (one == other)
    assert first in list(subnet)[4:-1]


def test_the_first_binance_host_has_the_address_that_people_know() -> None:
    assert host_address(subnet_of(network_of(21)), 0, 1) == IPv4Address("10.21.0.10")


@pytest.mark.parametrize("number", [0, 255])
def test_numbers_outside_the_range_are_refused(number: int) -> None:
    with pytest.raises(PlanError):
        network_of(number)
    with pytest.raises(PlanError):
        host_address(subnet_of(network_of(21)), 0, number)
