"""The kill drill: how long until the venue sees us flat, on a full disk, and with a host out of reach."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from infra import cli
from infra.lab.venues_runner import ACCOUNT

from .stage import BINANCE, POLYMARKET, Stage, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

FLAT_MS = 5000
"""A kill over ssh on a crowded machine; an idle one takes some 200 ms."""


def test_the_venues_see_us_flat(
    stage: Stage, record_testsuite_property: Callable[[str, object], None]
) -> None:
    stage.arm()
    stage.await_trading()
    killed = stage.kill("drill")
    assert killed.flat, killed
    for host in stage.hosts:
        flat = stage.venue(host).state()["flat"][ACCOUNT]
        assert flat["open"] == 0
        took_ms = (flat["flat_since"]["wall_ns"] - killed.started_ns) / 1e6
        record_testsuite_property(f"kill to flat at {host} (ms)", round(took_ms, 1))
        assert took_ms < FLAT_MS
    acked = {host: stage.counters(host)["acked"] for host in stage.hosts}
    assert set(stage.states().values()) == {"DISARMED"}
    assert stage.failed_checks("-m", "venue or risk") == {}
    assert {host: stage.counters(host)["acked"] for host in stage.hosts} == acked, "orders after the kill"


def test_kill_works_on_a_full_disk(stage: Stage) -> None:
    """Neither a block nor an inode is free where the permit is, nor where logs go."""
    stage.arm()
    stage.await_trading()
    former = {}
    try:
        for host in stage.hosts:
            former[host] = stage.root(
                host, "findmnt -no OPTIONS /run | tr , '\\n' | grep -E '^(size|nr_inodes)='"
            )
            stage.root(
                host,
                "used=$(df --output=used -k /run | tail -1); inodes=$(df --output=iused /run | tail -1); "
                "mount -o remount,size=$((used + 256))k,nr_inodes=$((inodes + 16)) /run; "
                "mkdir /run/full; file() { touch /run/full/$RANDOM$RANDOM 2>/dev/null; }; "
                "block() { head -c 4096 /dev/zero >> /run/blocks; }; touch /run/blocks; "
                "until ! file && ! block 2>/dev/null; do :; done",
            )
        killed = stage.kill("disk full")
        assert killed.flat, killed
        for host in stage.hosts:
            assert stage.open_orders(host) == 0
            stage.root(host, "test ! -e /run/slipway/permit")
    finally:
        for host, options in former.items():
            stage.root(
                host, f"rm -rf /run/full /run/blocks; mount -o remount,{','.join(options.split())} /run"
            )
    assert set(stage.states().values()) == {"DISARMED"}


def test_kill_names_the_host_that_it_cannot_reach(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_workspace", lambda _stack: stage.workspace)
    stage.arm()
    stage.await_trading()
    with stage.unreachable(POLYMARKET):
        ended = CliRunner().invoke(cli.app, ["kill", "phase1", "--json"])
        assert ended.exit_code == 1, ended.output
        hosts = {host["host"]: host for host in json.loads(ended.stdout)["hosts"]}
        assert hosts[BINANCE]["open_orders"] == 0
        assert hosts[BINANCE]["flat_ns"]
        assert hosts[POLYMARKET]["flat_ns"] is None
        assert hosts[POLYMARKET]["problem"]
        assert stage.open_orders(BINANCE) == 0

        played = stage.play("kill.yml")
        assert played.failed
        assert f"NOT known to be flat: {POLYMARKET}: cannot be reached" in played.output
        until("the venue's dead-man switch cancels", lambda: stage.open_orders(POLYMARKET) == 0)
    until("it can be asked again", lambda: stage.states()[POLYMARKET] != "SILENT")
    assert stage.kill("now it can be reached").flat


def test_the_playbook_kills_too(stage: Stage) -> None:
    stage.arm()
    stage.await_trading()
    played = stage.play("kill.yml", "-e", "kill_reason=drill")
    assert not played.failed, played.output
    assert "All 2 hosts are disarmed and flat" in played.output
    assert {host: stage.open_orders(host) for host in stage.hosts} == dict.fromkeys(stage.hosts, 0)
    assert set(stage.states().values()) == {"DISARMED"}
