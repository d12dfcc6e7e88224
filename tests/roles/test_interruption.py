"""A converge that is killed after any of its steps, and the run after it."""

from __future__ import annotations

from typing import Any

import pytest
from roles_bench import Bench

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

HOST = "polymarket-dublin-01"
UNITS = ("slipway-engine.service", "slipway-connector@polymarket.service")
LEFT_OVER = "sudo find / -xdev -name '*.slipway-new*' -not -path '/proc/*'"
MOST_STEPS = 120


def running(bench: Bench, unit: str) -> str:
    """Return the release that a unit's process was started with, by the kernel's word for its executable."""
    pid = bench.ssh(HOST, f"systemctl show -p MainPID --value {unit}").strip()
    assert int(pid) > 1
    return bench.ssh(HOST, f"sudo readlink /proc/{pid}/exe; sudo tr '\\0' ' ' </proc/{pid}/cmdline")


def assert_right(bench: Bench, document: dict[str, Any], version: str) -> None:
    identity = bench.releases[version].identity
    assert identity in running(bench, UNITS[0])
    assert bench.ssh(HOST, "readlink /opt/slipway/current").strip().endswith(identity)
    assert bench.ssh(HOST, f"systemctl is-active {' '.join(UNITS)} nftables").split() == ["active"] * 3
    assert bench.ssh(HOST, LEFT_OVER) == ""
    idle = bench.core(HOST, document)
    assert idle is not None
    assert (idle["changed"], idle["changes"], idle["checkpoints"]) == (False, [], 0), idle


def test_a_fresh_converge_killed_after_every_single_step(bench: Bench) -> None:
    """Each run is killed after its first step: every state on the way is one that a run begins from."""
    bench.boot(HOST)
    document = bench.document(HOST)
    bench.install(HOST, "0.1.0")
    runs = 0
    while bench.core(HOST, document, test_stop_after=1) is None:
        runs += 1
        assert runs < MOST_STEPS
    assert runs > 40
    assert_right(bench, document, "0.1.0")


def test_an_upgrade_killed_after_each_step_ends_right_in_one_more_run(bench: Bench) -> None:
    bench.boot(HOST)
    old = bench.document(HOST, "-e", "release_allow_downgrade=true")
    new = bench.document(
        HOST, "-e", "engine_metrics_port=9465", "-e", "connector_watchdog_s=16", version="0.2.0"
    )
    for version in ("0.1.0", "0.2.0"):
        bench.install(HOST, version)
    assert bench.core(HOST, old) is not None
    steps = 0
    while True:
        killed = bench.core(HOST, new, test_stop_after=steps + 1)
        if killed is not None:
            break
        steps += 1
        done = bench.core(HOST, new)
        assert done is not None, steps
        assert not done.get("failed"), done
        assert_right(bench, new, "0.2.0")
        back = bench.core(HOST, old)
        assert back is not None, steps
        assert not back.get("failed"), back
    assert steps >= 7
    assert_right(bench, new, "0.2.0")
