"""Every check of ``tests/hosts`` fails when what it checks is wrong, and only then.

A batch of breaks is made, one verification has to name exactly them, and a converge has to mend what the
plan describes; the next batch's verification proves that it did.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from .breaks import BATCHES, BY_ITS_OWN_TEST, Break
from .stage import BINANCE, POLYMARKET, Stage, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CHECKS = Path(__file__).parents[1] / "hosts"


def expected(breaks: tuple[Break, ...]) -> set[tuple[str, str]]:
    """Host and check, for everything that must fail under these breaks."""
    return {
        (one.host, check.replace("::", "::test_")) for one in breaks for check in one.checks + one.collateral
    }


def test_every_check_has_a_break() -> None:
    there = {
        f"{path.stem.removeprefix('test_')}::{node.name.removeprefix('test_')}"
        for path in CHECKS.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    broken = {check.partition("[")[0] for batch in BATCHES.values() for one in batch for check in one.checks}
    assert there - broken - set(BY_ITS_OWN_TEST) == set(), "checks that nobody has seen fail"
    assert (broken | set(BY_ITS_OWN_TEST)) - there == set(), "breaks of checks that are no more"


@pytest.mark.parametrize("name", BATCHES)
def test_breaks_are_seen_and_mended(stage: Stage, name: str) -> None:
    batch = BATCHES[name]
    try:
        for host in stage.hosts:
            stage.root(host, "\n".join(one.do for one in batch if one.host == host))
        if name != "mute":
            stage.await_ready()
        assert set(stage.failed_checks()) == expected(batch)
    finally:
        for host in stage.hosts:
            stage.root(host, "\n".join(one.undo or ":" for one in batch if one.host == host), check=False)
        mended = stage.converge()
    assert not mended.failed, mended.output
    drifted = {one.host for one in batch if not one.undo}
    assert {host for host, changed in mended.changed.items() if changed} >= drifted, mended.output
    stage.await_ready()


def test_after_all_of_it_the_hosts_are_as_planned(stage: Stage) -> None:
    assert stage.failed_checks() == {}
    again = stage.converge()
    assert again.changed == dict.fromkeys(stage.hosts, 0), again.output


def test_a_lost_venue_is_seen(stage: Stage) -> None:
    """Binance's simulator is down; Polymarket's is up and does not take the key."""
    with stage.venue_down(BINANCE):
        stage.venue(POLYMARKET).set_faults(reject_keys={"accounts": ["slipway"]}, drop_connections={})
        until("both venues are lost", lambda: not (stage.connected(BINANCE) or stage.connected(POLYMARKET)))
        assert set(stage.failed_checks("-m", "venue or connector")) == {
            (BINANCE, "venue::test_connector_is_logged_in"),
            (BINANCE, "connector::test_connection_to_the_venue_is_made_by_that_user"),
            (POLYMARKET, "venue::test_connector_is_logged_in"),
        }


def test_orders_that_all_fail_are_seen(stage: Stage) -> None:
    stage.root(BINANCE, "systemctl restart slipway-engine")
    stage.await_ready()
    stage.venue(BINANCE).set_faults(reject_orders={})
    stage.arm()
    until("orders are refused", lambda: stage.engines()[BINANCE]["venues"]["binance"]["rejected"])
    assert set(stage.failed_checks("-m", "venue")) == {(BINANCE, "venue::test_orders_make_the_round_trip")}


def test_an_engine_on_the_wrong_cpus_is_seen(stage: Stage, tmp_path: Path) -> None:
    """The lab's hosts isolate nothing, so the plan is changed instead of the host."""
    document = json.loads(stage.workspace.inventory_file.read_text(encoding="utf-8"))
    for host in document["hosts"].values():
        host["plan"]["cores"] |= {"engine": [1], "isolated": [1], "housekeeping": [0], "interrupts": [0]}
    planned = tmp_path / "inventory.json"
    planned.write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "ssh_config").symlink_to(stage.workspace.ssh_config)
    pid = stage.running()[BINANCE].pid
    try:
        stage.root(BINANCE, f"taskset -acp 1 {pid}")
        seen = stage.failed_checks("-k", "isolated_cpus", inventory=planned)
    finally:
        stage.root(BINANCE, f"taskset -acp 0-$(($(nproc --all) - 1)) {pid}")
    assert set(seen) == {(POLYMARKET, "engine::test_isolated_cpus_are_used_as_planned")}
