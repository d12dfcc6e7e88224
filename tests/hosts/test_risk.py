"""Limits and the kill path."""

import json
from typing import Any

import pytest

from infra.plan.model import ConnectorPlan

from .conftest import Node

pytestmark = pytest.mark.risk


def test_limits_are_roots_and_read_only(node: Node) -> None:
    state = node.file("/etc/slipway/limits.json")
    assert (state["owner"], state["group"], state["mode"]) == ("root", "slipway", "0640")


def test_the_engine_runs_under_these_limits(node: Node) -> None:
    digest = node.file("/etc/slipway/limits.json")["sha256"]
    assert node.seen["engine"]["limits"] == digest
    assert f'sha256="{digest}"' in node.seen["metrics"]


def test_limits_are_the_plans(node: Node, connector: ConnectorPlan) -> None:
    seen: dict[str, Any] = json.loads(node.command("limits"))["venues"][connector.venue]
    planned = connector.limits.model_dump(mode="json")
    assert seen == planned


def test_permit_directory_is_in_memory_and_roots(node: Node) -> None:
    state = node.file("/run/slipway")
    assert (state["kind"], state["owner"], state["group"], state["mode"]) == (
        "directory",
        "root",
        "slipway",
        "0750",
    )


def test_a_permit_cannot_be_made_by_the_engine(node: Node) -> None:
    state = node.seen["files"]["/run/slipway/permit"]
    assert state is None or (state["owner"], state["mode"]) == ("root", "0640")


def test_kill_and_arm_are_roots_programs(node: Node) -> None:
    for path in ("/usr/local/sbin/slipway-kill", "/usr/local/sbin/slipway-arm"):
        state = node.file(path)
        assert state["owner"] == "root"
        assert state["mode"] in {"0700", "0750", "0755"}


def test_state_and_permit_agree(node: Node) -> None:
    armed = node.seen["files"]["/run/slipway/permit"] is not None
    state = node.seen["engine"]["state"]
    assert (state in {"ACTIVE", "REDUCING"}) == armed, f"permit: {armed}, engine: {state}"
