"""A whole phase: ``slipway lab run`` in a lab of its own, and the boot of one host."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface

from infra.lab import image
from infra.lab.cages import Cage
from infra.lab.commands import run
from infra.lab.fabric import Link
from infra.lab.life import Lab
from infra.lab.nspawn import Hosts, HostSpec
from infra.lab.rules import HostPolicy, Permission
from infra.operate.record import RunRecord
from tests.bench.figures import Board
from tests.bench.grounds import STACK
from tests.bench.place import Place
from tests.bench.timing import timed

WARM_GOAL_S = 90.0


def section(place: Place, board: Board, runs: int, tell: Callable[[str], None]) -> None:
    """Boot a bare host ``runs`` times; run the phase once to warm the caches and once to measure it."""
    boot(place, board, runs, tell)
    whole(place, board, tell)


def boot(place: Place, board: Board, runs: int, tell: Callable[[str], None]) -> None:
    """Measure from power on to sshd's first words, on a disk that was just made."""
    settings = place.lab("b")
    lab = Lab(settings, ())
    try:
        tree = image.ensure(settings)
        Cage.of(settings).create()
        lab.fabric.ensure({})
        key = settings.directory / "key"
        settings.directory.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        hosts = Hosts(settings, tree, lab.fabric)
        for number in range(1, runs + 1):
            instance = f"i-{number:017x}"
            address = IPv4Interface(f"10.21.0.{10 + number}/24")
            public = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
            spec = HostSpec(
                instance=instance, name="bare", region="ap-northeast-1", address=address, public_key=public
            )
            began = time.monotonic()
            hosts.create(spec)
            made = time.monotonic()
            anywhere = (Permission("-1", -1, -1, ("0.0.0.0/0",)),)
            link = Link(instance, address)
            policy = HostPolicy(
                instance=instance,
                interface=link.interface,
                address=address.ip,
                public=IPv4Address("198.51.100.10"),
                vpc="bench",
                ingress=anywhere,
                egress=anywhere,
            )
            lab.fabric.load([policy])
            powered = time.monotonic()
            hosts.start(instance)
            board.add("lab", "boot: power on to SSH", time.monotonic() - powered)
            board.add("lab", "boot: making the disk and its network", made - began)
            tell(f"boot: {time.monotonic() - powered:.2f} s")
            hosts.terminate(instance)
        key.unlink()
        key.with_suffix(".pub").unlink()
    finally:
        lab.down()


def whole(place: Place, board: Board, tell: Callable[[str], None]) -> None:
    """Measure ``slipway lab run`` with a warm cache, its steps from its own record; the lab is taken down."""
    settings = place.lab("p")
    environment = place.environment(settings)
    slipway = place.tool("slipway")
    workspace = place.workspace(STACK)
    try:
        if not (workspace.release_dir / "source.sha256").exists():
            key = str(settings.cache / "release-key")
            done = timed(
                [slipway, "release", "reference", STACK, "--key", key],
                cwd=place.root,
                environment=environment,
            )
            board.add("lab", "release: build engine and connectors, sign", done.wall, note="cold build tree")
            tell(f"release built: {done.wall:.1f} s")
        done = timed([slipway, "lab", "run", STACK], cwd=place.root, environment=environment)
        board.add(
            "lab", "slipway lab run, warm cache", done.wall, note=f"goal {WARM_GOAL_S:g} s on an idle machine"
        )
        tell(f"slipway lab run: {done.wall:.1f} s")
        record = RunRecord.model_validate_json((workspace.evidence / "run.json").read_text(encoding="utf-8"))
        for step in record.steps:
            board.add("lab", f"slipway lab run: step {step.name}", step.seconds)
        board.add("lab", "slipway lab run: checks", len(record.checks), "count")
        for venue in record.venues:
            label = f"engine with the {venue.venue} simulator"
            for words, seen in (
                ("tick to order", venue.tick_to_order_ns),
                ("order round trip", venue.order_rtt_ns),
            ):
                for quantile in ("p50", "p99", "p999"):
                    board.add("engine", f"{label}: {words} {quantile}", getattr(seen, quantile), "ns")
            if venue.kill_to_flat_ms is not None:
                board.add("lab", f"kill to flat, {venue.venue}", venue.kill_to_flat_ms, "ms")
    finally:
        down = timed([slipway, "lab", "down"], cwd=place.root, environment=environment)
    board.add("lab", "slipway lab down", down.wall)
