"""The whole playbook on bare, converged and drifted hosts."""

from __future__ import annotations

import pytest
from roles_bench import Bench

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

BINANCE, POLYMARKET = "binance-tokyo-01", "polymarket-dublin-01"
CANARY = "CANARY-"
SEEN = (
    "sudo find /etc /opt /usr/local /var/lib/slipway-egress /var/lib/systemd -xdev "
    "-printf '%p %m %u %g %s %l\\n' 2>/dev/null | sort"
)


def test_a_bare_host_is_predicted_converged_and_then_left_alone(bench: Bench) -> None:
    hosts = (BINANCE, POLYMARKET)
    bench.boot(*hosts)
    before = {host: bench.ssh(host, SEEN) for host in hosts}

    predicted = bench.play("--check", "--diff")
    assert predicted.status == 0, predicted.output
    assert {host: bench.ssh(host, SEEN) for host in hosts} == before

    done = bench.play()
    assert done.status == 0, done.output
    for host in hosts:
        assert set(predicted.changes(host)) == set(done.changes(host))
        assert (
            bench.ssh(host, "systemctl is-active slipway-engine nftables chrony ssh").split()
            == ["active"] * 4
        )

    again = bench.play()
    assert again.status == 0, again.output
    assert again.changed == dict.fromkeys(hosts, 0), again.results
    assert [r["task"] for r in again.of(BINANCE, "ok")] == ["Compare the host with its plan and put it right"]

    quiet = bench.play("--check", "--diff")
    assert quiet.status == 0
    assert quiet.changed == dict.fromkeys(hosts, 0)
    assert "+++" not in quiet.output
