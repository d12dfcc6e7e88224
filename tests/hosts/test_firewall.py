"""The firewall, by trying: what is planned passes, everything else is refused at once."""

import json

import pytest

from .conftest import METADATA, Node

pytestmark = pytest.mark.firewall

REFUSED_WITHIN_MS = 1500
"""A refusal must be an answer, not a silence; the bound allows for a busy lab."""


def test_nftables_runs_and_is_enabled(node: Node) -> None:
    unit = node.unit("nftables.service")
    assert unit["ActiveState"] == "active"
    assert unit["UnitFileState"] == "enabled"


def test_every_base_chain_drops_by_default(node: Node) -> None:
    rules = json.loads(node.command("nft"))["nftables"]
    policy = {c["chain"]["hook"]: c["chain"]["policy"] for c in rules if "hook" in c.get("chain", {})}
    assert policy.get("input") == "drop"
    assert policy.get("output") == "drop"


def test_the_engine_requires_the_firewall(node: Node) -> None:
    for name in node.units:
        assert "nftables.service" in node.unit(name)["Requires"].split()


def test_planned_destinations_are_open(node: Node) -> None:
    for rule in node.host.plan.egress:
        if rule.hostname is None or rule.user not in {u.name for u in node.host.plan.users}:
            continue
        results = [
            a["result"]
            for a in node.seen["attempts"]
            if (a["uid"], a["host"], a["port"]) == (node.uid(rule.user), rule.hostname, rule.port)
        ]
        assert results == ["open"], f"{rule.user} to {rule.hostname}:{rule.port}: {results}"


def test_other_destinations_are_refused_at_once(node: Node) -> None:
    planned = {(r.hostname, r.port) for r in node.host.plan.egress}
    tried = 0
    for a in node.seen["attempts"]:
        if (a["host"], a["port"]) in planned or a["host"] == METADATA:
            continue
        tried += 1
        assert a["result"] == "refused", a
        assert a["ms"] < REFUSED_WITHIN_MS, a
    assert tried >= 2


def test_metadata_is_out_of_reach_of_the_engine(node: Node) -> None:
    results = [a for a in node.seen["attempts"] if a["host"] == METADATA]
    assert results
    assert all(a["result"] == "refused" for a in results), results


def test_another_user_cannot_reach_the_venue(node: Node) -> None:
    results = [a for a in node.seen["attempts"] if a["uid"] == 65534]
    assert results
    assert all(a["result"] == "refused" for a in results), results


def test_only_ssh_listens_to_the_network(node: Node) -> None:
    listening = {
        (s["protocol"], s["port"])
        for s in node.seen["sockets"]
        if s["state"] == "listen" and not s["local"].startswith(("127.", "::1"))
    }
    assert listening == {("tcp", 22)}
