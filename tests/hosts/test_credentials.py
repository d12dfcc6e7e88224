"""Credentials: encrypted at rest, in memory for one user while the unit runs, nowhere else."""

import pytest

from infra.plan.model import ConnectorPlan

from .conftest import Node

pytestmark = pytest.mark.credentials


def test_stored_encrypted_and_root_only(node: Node, connector: ConnectorPlan) -> None:
    for credential in connector.credentials:
        state = node.file(f"/etc/credstore.encrypted/{credential.name}")
        assert (state["owner"], state["mode"]) == ("root", "0600")
        given = node.file(f"/run/credentials/{credential.unit}/{credential.name}")
        assert state["sha256"] != given["sha256"], f"{credential.name} is stored as it is"


def test_given_to_the_unit_and_its_user_only(node: Node, connector: ConnectorPlan) -> None:
    for credential in connector.credentials:
        state = node.file(f"/run/credentials/{credential.unit}/{credential.name}")
        assert state["owner"] == connector.user
        assert int(state["mode"], 8) & 0o077 == 0
        assert state["size"] > 0


def test_not_in_the_environment(node: Node, connector: ConnectorPlan) -> None:
    values = {node.file(f"/run/credentials/{c.unit}/{c.name}")["sha256"] for c in connector.credentials}
    for name in node.units:
        process = node.unit(name)["process"]
        assert not values & set(process["environment_sha256"])


def test_nothing_is_stored_unencrypted(node: Node) -> None:
    assert not node.seen["directories"]["/etc/credstore"]


def test_no_credential_of_another_host_is_here(node: Node) -> None:
    planned = {c.name for connector in node.host.plan.connectors for c in connector.credentials}
    assert set(node.seen["directories"]["/etc/credstore.encrypted"] or ()) == planned


def test_no_value_leaks_into_any_sink(node: Node) -> None:
    """Journal, arguments and environments of all processes, temporary and configuration files."""
    leaks = node.seen["leaks"]
    planned = [c for connector in node.host.plan.connectors for c in connector.credentials]
    assert leaks["values"] == len(planned)
    assert leaks["needles"] >= len(planned)
    assert leaks["sinks"] > 10
    assert leaks["found"] == []
