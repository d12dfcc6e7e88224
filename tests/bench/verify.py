"""Verification: ``tests/hosts`` (one probe a host) beside testinfra as it is commonly used."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable

from infra.operate import fleet, verify
from tests.bench.converge import Field
from tests.bench.figures import BenchError, Board
from tests.bench.timing import Timed, timed

OURS = "slipway"
STOCK = "stock testinfra"
STOCK_KEPT = "stock testinfra, kept connection"

STOCK_TESTS = '''\
"""Generated: as many checks of the same host as tests/hosts makes, each asked over ssh by itself."""

import json
import pathlib

import pytest

CHECKS = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())


@pytest.mark.parametrize(("kind", "subject", "wanted"), CHECKS)
def test_check(host, kind, subject, wanted):
    with host.sudo():
        if kind == "user":
            assert host.user(subject).uid == wanted
        elif kind == "mode":
            assert host.file(subject).mode == wanted
        elif kind == "owner":
            assert host.file(subject).user == wanted
        elif kind == "sha256":
            assert host.file(subject).sha256sum == wanted
        elif kind == "running":
            assert host.service(subject).is_running
        elif kind == "package":
            assert host.package(subject).is_installed
        else:
            assert host.run(subject).rc == wanted
'''


def _checks(field: Field, count: int) -> list[tuple[str, str, object]]:
    """Return ``count`` checks in the manner of tests/hosts: files, users, units, programs' answers."""
    document = json.loads((field.state / f"{field.names[0]}.json").read_text(encoding="utf-8"))
    fragments = document["fragments"]
    found: list[tuple[str, str, object]] = []
    for fragment in fragments:
        found += [("user", item["name"], item["uid"]) for item in fragment.get("users", [])]
        for item in fragment.get("files", []):
            found += [("mode", item["path"], int(item["mode"], 8)), ("owner", item["path"], item["owner"])]
        started = [item["name"] for item in fragment.get("units", []) if item["state"] == "started"]
        found += [("running", name, True) for name in started]
        found += [("package", name, True) for name in fragment.get("packages", [])]
    found += [
        ("run", line, 0) for line in ("nft list ruleset", "sshd -T", "chronyc tracking", "systemctl --failed")
    ]
    if len(found) < count:
        raise BenchError(f"only {len(found)} stock checks can be made of the document, {count} are needed")
    # Take from all of the list, so that every kind has its share.
    return [found[i * len(found) // count] for i in range(count)]


def ours(field: Field, board: Board | None, name: str) -> tuple[Timed, int]:
    """Run tests/hosts once on hosts nobody is logged in to; return its time and how many checks it made."""
    fleet.close(field.workspace)
    junit = field.workspace.evidence / "bench.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    done = timed(
        verify.command(field.workspace, junit).argv,
        cwd=field.grounds.place.root,
        environment=field.grounds.environment(),
        groups=field.grounds.groups(field.names),
        allowed=(0, 1),
    )
    checks = verify.results(junit, tuple(field.names))
    bad = sorted({f"{check.concern}: {check.name}" for check in checks if not check.passed})
    if board is not None:
        board.add("verify", name, done.wall)
        if bad:
            remark = f"{name}: these checks failed while it was measured: {'; '.join(bad)}"
            board.remarks += [remark] if remark not in board.remarks else []
    return done, len(checks)


def stock(field: Field, count: int, *, kept: bool) -> Timed:
    """Run ``count`` stock checks a host; ``kept`` lets ssh keep its connections, which is not the default."""
    place = field.workspace.out / "stock"
    place.mkdir(exist_ok=True)
    (place / "test_stock.py").write_text(STOCK_TESTS, encoding="utf-8")
    (place / "test_stock.json").write_text(json.dumps(_checks(field, count)), encoding="utf-8")
    config = place / "ssh_config"
    text = field.workspace.ssh_config.read_text(encoding="utf-8")
    if not kept:
        text = re.sub(r"^  Control.*\n", "", text, flags=re.MULTILINE)
    config.write_text(text, encoding="utf-8")
    fleet.close(field.workspace)
    hosts = ",".join(f"ssh://{name}" for name in field.names)
    return timed(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--rootdir", str(place), "-c", "/dev/null"),
            *(f"--hosts={hosts}", f"--ssh-config={config}", str(place / "test_stock.py")),
        ],
        cwd=place,
        environment=field.grounds.environment(),
        groups=field.grounds.groups(field.names),
    )


def section(field: Field, board: Board, runs: int, tell: Callable[[str], None]) -> None:
    """Measure verification of the field's hosts, beside stock checks as many a host as ours."""
    hosts = len(field.names)
    label = f"verification, {hosts} host{'s' * (hosts > 1)}"
    _, total = ours(field, None, label)  # also lets engines that stood still come back to their venue
    each = total // hosts
    for run in range(runs):
        done, total = ours(field, board, f"{label}, {OURS}")
        board.add("verify", f"{label}, {OURS}: checks per second", total / done.wall, "1/s")
        board.add("verify", f"{label}, {OURS}: CPU of each host", done.hosts_cpu / hosts)
        tell(f"{label}, {OURS}: {done.wall:.2f} s, {total} checks")
        for kept, name in ((True, STOCK_KEPT), (False, STOCK)):
            once = run == 0
            wanted = (hosts == 1 or once) if kept else (hosts == 1 and once)
            if not wanted:  # these take minutes, and once tells enough
                continue
            done = stock(field, each, kept=kept)
            board.add("verify", f"{label}, {name}", done.wall)
            board.add("verify", f"{label}, {name}: checks per second", each * hosts / done.wall, "1/s")
            board.add("verify", f"{label}, {name}: CPU of each host", done.hosts_cpu / hosts)
            tell(f"{label}, {name}: {done.wall:.2f} s, {each * hosts} checks")
    for name in (STOCK_KEPT, STOCK):
        board.ratio(f"{label}: {name} / {OURS}", f"{label}, {name}", f"{label}, {OURS}")


def far(field: Field, board: Board, rtt_ms: float, tell: Callable[[str], None]) -> None:
    """Measure one host near and far: the slope is the number of round trips that a verification takes."""
    times: dict[str, dict[float, float]] = {OURS: {}, STOCK_KEPT: {}}
    count = 0
    for rtt in (0.0, rtt_ms):
        with field.grounds.far(field.workspace, rtt) as workspace:
            there = Field(field.grounds, workspace, field.state, field.pyinfra)
            ours(there, None, "")
            done, count = ours(there, board, f"verification, 1 host at {rtt:g} ms round trip, {OURS}")
            times[OURS][rtt] = done.wall
            done = stock(there, count, kept=True)
            board.add("verify", f"verification, 1 host at {rtt:g} ms round trip, {STOCK_KEPT}", done.wall)
            times[STOCK_KEPT][rtt] = done.wall
    for name, seen in times.items():
        trips = max(0.0, (seen[rtt_ms] - seen[0.0]) / (rtt_ms / 1e3))
        board.add("verify", f"verification, round trips for {count} checks, {name}", trips, "count")
        tell(f"verification, round trips, {name}: {trips:.0f}")
