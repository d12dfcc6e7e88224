"""Connectors that are processes of their own: unit, user, sandbox, socket."""

import re

import pytest

from infra.plan.model import ConnectorPlan

from .conftest import Node

pytestmark = pytest.mark.connector

EXPOSURE_LIMIT = 1.5


def _process_only(connector: ConnectorPlan) -> bool:
    return connector.kind == "process"


def test_unit_is_active_as_its_own_user(node: Node, connector: ConnectorPlan) -> None:
    unit = node.unit(connector.unit)
    assert unit["ActiveState"] == "active"
    assert unit["process"]["uid"] == node.uid(connector.user)
    assert unit["NRestarts"] == "0"


def test_unit_is_sandboxed(node: Node, connector: ConnectorPlan) -> None:
    unit = node.unit(connector.unit)
    assert unit["process"]["no_new_privs"] == 1
    assert unit["process"]["seccomp"] == 2
    level = re.search(r"exposure level for \S+: ([0-9.]+)", node.command(f"exposure {connector.unit}"))
    assert level
    assert float(level[1]) <= EXPOSURE_LIMIT


def test_connection_to_the_venue_is_made_by_that_user(node: Node, connector: ConnectorPlan) -> None:
    ports = {rule.port for rule in node.host.plan.egress if rule.user == connector.user and rule.hostname}
    peers = {
        address
        for rule in node.host.plan.egress
        if rule.user == connector.user and rule.hostname
        for address in node.seen["resolved"][rule.hostname]
    }
    mine = [
        s
        for s in node.seen["sockets"]
        if s["state"] == "established" and s["uid"] == node.uid(connector.user) and s["peer_port"] in ports
    ]
    assert mine, f"{connector.user} has no connection to {connector.venue}"
    assert {s["peer"].removeprefix("::ffff:") for s in mine} <= peers


def test_configuration_belongs_to_root(node: Node, connector: ConnectorPlan) -> None:
    path = (
        f"/etc/slipway/connectors/{connector.venue}.json"
        if _process_only(connector)
        else "/etc/slipway/engine.json"
    )
    state = node.file(path)
    assert (state["owner"], state["group"]) == ("root", "slipway")
    assert int(state["mode"], 8) & 0o027 == 0
