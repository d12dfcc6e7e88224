"""The engine's unit: running, watched, sandboxed, and armed or not as the operator left it."""

import re

import pytest

from .conftest import CONTROL_SOCKET, Node

pytestmark = pytest.mark.engine

EXPOSURE_LIMIT = {"slipway-engine.service": 1.5}
"""``systemd-analyze security`` exposure; 1.2 is the floor of a container that may lock memory."""


def test_unit_is_active_and_enabled(node: Node) -> None:
    unit = node.unit("slipway-engine.service")
    assert unit["ActiveState"] == "active"
    assert unit["UnitFileState"] == "enabled"
    assert unit["NeedDaemonReload"] == "no"


def test_unit_has_not_been_restarted_by_a_crash(node: Node) -> None:
    assert node.unit("slipway-engine.service")["NRestarts"] == "0"


def test_unit_is_watched(node: Node) -> None:
    unit = node.unit("slipway-engine.service")
    assert unit["Type"] == "notify"
    assert unit["WatchdogUSec"] not in {"0", "infinity"}


def test_process_has_its_user_and_no_power(node: Node) -> None:
    process = node.unit("slipway-engine.service")["process"]
    assert process["uid"] == node.uid("slipway-engine")
    assert process["no_new_privs"] == 1
    assert process["seccomp"] == 2
    ipc_lock = 1 << 14
    assert process["capabilities"] & ~ipc_lock == 0


def test_exposure_is_low(node: Node) -> None:
    out = node.command("exposure slipway-engine.service")
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)
    assert level
    assert float(level[1]) <= EXPOSURE_LIMIT["slipway-engine.service"]


def test_control_socket_is_the_engines_alone(node: Node) -> None:
    state = node.file(CONTROL_SOCKET)
    assert state["owner"] == "slipway-engine"
    assert int(state["mode"], 8) & 0o007 == 0


def test_engine_answers_and_runs_its_configuration(node: Node) -> None:
    assert "error" not in node.seen["engine"], node.seen["engine"]
    assert set(node.seen["engine"]["venues"]) == {c.venue for c in node.host.plan.connectors}


def test_metrics_are_served_on_loopback(node: Node) -> None:
    assert "slipway_build_info" in node.seen["metrics"]
    assert "slipway_limits_info" in node.seen["metrics"]


def test_isolated_cpus_are_used_as_planned(node: Node) -> None:
    cores = node.host.plan.cores
    seen = node.unit("slipway-engine.service")["process"]["cpus"]
    wanted = ",".join(str(cpu) for cpu in cores.engine)
    assert not cores.isolated or seen == wanted
