"""The clock: synchronised to the planned sources, within the tightest bound of the host's venues."""

import pytest

from .conftest import Node

pytestmark = pytest.mark.clock


def test_chrony_runs(node: Node) -> None:
    assert node.unit("chrony.service")["ActiveState"] == "active"


def test_only_planned_time_sources(node: Node) -> None:
    sources = {line.split(",")[2] for line in node.command("chrony sources").splitlines()}
    planned = set(node.host.plan.clock.servers)
    assert sources
    assert sources <= planned or all(not s.replace(".", "").isdigit() for s in planned)


def test_clock_error_is_within_the_bound(node: Node) -> None:
    # chronyc -c tracking: 4 offset, 10 root delay, 11 root dispersion (all s), 13 leap status
    field = node.command("chrony").strip().split(",")
    assert field[13] != "Not synchronised"
    error_ms = (abs(float(field[4])) + float(field[10]) / 2 + float(field[11])) * 1e3
    assert error_ms <= node.host.plan.clock.bound_ms
