"""A lab begins, is hurt, is repaired, and ends with nothing left."""

from __future__ import annotations

import os
import signal
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from infra.lab import fabric
from infra.lab.cages import Cage
from infra.lab.life import Lab
from infra.lab.settings import LabError
from infra.lab.venues_runner import Venue

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def kill(lab: Lab, what: str) -> None:
    pids = Cage.of(lab.settings, what).pids()
    assert pids
    for pid in pids:
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
    assert Cage.of(lab.settings, what).wait_empty(10)


def test_a_killed_cloud_is_seen_repaired_and_cleaned(make_bench, machine):
    before = machine()
    limit = fabric.INOTIFY_LIMIT.read_text()
    with make_bench("k") as bench:
        bench.up()
        assert int(fabric.INOTIFY_LIMIT.read_text()) >= fabric.INOTIFY_NEEDED
        assert machine() == before
        account = bench.account("eu-west-1", "10.131.0.0/16")
        orphan = account.launch("orphan", 10)
        disk = bench.lab.settings.hosts / orphan / "root"
        assert disk.is_mount()
        kill(bench.lab, "cloud")
        kill(bench.lab, "names")

        seen = bench.lab.status()
        assert seen.state == "broken"
        assert any("the cloud at http" in line and "does not answer" in line for line in seen.problems)
        assert "the name server is not running" in seen.problems
        assert disk.is_mount()

        bench.up()
        assert bench.lab.settle().state == "up"
        assert not disk.exists()
        assert bench.lab.settings.namespace(orphan) not in bench.lab.fabric.namespaces()

        account = bench.account("eu-west-1", "10.131.0.0/16")
        again = account.launch("again", 10)
        assert bench.ssh("again", "hostname") == "again"
        kill(bench.lab, "cloud")
        bench.lab.settings.document.unlink()
        assert bench.lab.status().state == "broken"
        bench.lab.down()
        assert bench.lab.remains() == []
        assert not (bench.lab.settings.hosts / again).exists()
        assert bench.lab.status().state == "down"
        bench.lab.down()
    assert machine() == before
    if not Cage.others(bench.lab.settings):
        assert fabric.INOTIFY_LIMIT.read_text() == limit


def test_a_half_started_lab_says_so_and_is_cleaned(make_bench):
    with make_bench("q") as bench:
        missing = Venue("nowhere", IPv4Address("203.0.113.77"), ("nowhere.lab",))
        half = Lab(bench.lab.settings, venues=(missing,))
        with pytest.raises(LabError, match=r"nowhere simulator ended at its start .*No module named"):
            half.up()
        assert any("did not end" in line for line in half.status().problems)
        assert bench.lab.remains()
        bench.lab.down()
        assert bench.lab.remains() == []
        bench.lab.up()
        assert bench.lab.status().state == "up"


def test_one_process_at_a_time_changes_a_lab(make_bench):
    with make_bench("p") as bench, bench.lab._sole(), pytest.raises(LabError, match="another process"):
        bench.lab.down()


def test_down_takes_only_what_is_the_labs(make_bench):
    with make_bench("o") as bench:
        directory = bench.lab.settings.directory
        directory.mkdir(parents=True)
        (directory / "precious").write_text("mine")
        with pytest.raises(LabError, match=r"not empty and holds no lab\.json"):
            bench.up()
        bench.lab.down()
        assert (directory / "precious").read_text() == "mine"
        (directory / "precious").unlink()
        Path(directory).rmdir()
