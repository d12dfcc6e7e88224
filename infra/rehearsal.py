"""A whole phase in the lab, from nothing to a kill drill, and the record of it.

Each step is also a command of its own (``slipway --help``), and each shows the plain command behind it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.lab.cloud.deploy import Event as DeployEvent
from infra.lab.cloud.deploy import deploy as deploy_stack
from infra.lab.life import Event as LabEvent
from infra.lab.life import Lab, LabDocument
from infra.lab.venues_runner import ACCOUNT
from infra.operate import arm, converge, fleet, inventory, kill, reference, release, report, status, verify
from infra.operate.arm import Permit
from infra.operate.command import Command
from infra.operate.host_keys import from_console
from infra.operate.kill import Kill
from infra.operate.record import (
    CheckRecord,
    OrderEvent,
    OrderKind,
    Quantiles,
    RunRecord,
    StepRecord,
    VenueRecord,
)
from infra.operate.workspace import Workspace

ENOUGH_ORDERS = 30
"""Acknowledged orders that a venue must have seen before the drill, with fills and cancels among them."""

TRADING_TIMEOUT_S = 180.0
DRILLS = 5
FLAT_TIMEOUT_S = 30.0
PERMIT = Permit("rehearsal", minutes=60)

Tell = Callable[[str], None]


class RehearsalError(Exception):
    """The phase did not come to its end; the message names the step, the host or venue, and what was seen."""


@dataclass
class Rehearsal:
    """One run of a stack in the lab.

    ``begin`` is told each step with its plain command, ``tell`` each line that comes out of it.
    """

    workspace: Workspace
    begin: Callable[[str, str], None]
    tell: Tell
    lab: Lab = field(default_factory=Lab)
    steps: list[StepRecord] = field(default_factory=list)

    def run(self) -> RunRecord:
        """Run every step; return the record, also written to ``out/<stack>/evidence/run.json``."""
        began = time.time_ns()
        workspace, stack = self.workspace, self.workspace.stack
        with self._step("lab", "slipway lab up"):
            document = self.lab.up(progress=lambda event: self.tell(lab_line(event)))
        with self._step("release", "; ".join(c.shown() for c in reference.commands(workspace))):
            key = release.generate_key(self.lab.settings.cache / "release-key")
            reference.build(workspace, key, self.tell)
        with self._step("deploy", f"pulumi up --stack {stack}"):
            deploy(workspace, self.lab, self.tell)
        self._run("converge", converge_command(workspace, document))
        self._run("verify", verify.command(workspace, workspace.evidence / "verify.xml"))
        playbook = f"ansible-playbook -i {workspace.hosts_file} playbooks"
        with self._step("arm", f"{playbook}/arm.yml -e arm_by={PERMIT.by}"):
            idle = self._traded()
            arm.arm(workspace, PERMIT)
        with self._step("trade", f"slipway status {stack}"):
            self._await_trading(idle)
        self._run(
            "verify armed",
            verify.command(workspace, workspace.evidence / "armed.xml", ("-m", "venue or risk")),
        )
        with self._step("kill", f"{playbook}/kill.yml"):
            killed = self._drill(idle)
        record = self._record(began, killed)
        workspace.evidence.mkdir(parents=True, exist_ok=True)
        (workspace.evidence / "run.json").write_text(
            record.model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        workspace.report.write_text(report.page(record), encoding="utf-8")
        return record

    @contextmanager
    def _step(self, name: str, command: str) -> Iterator[None]:
        self.begin(name, command)
        began = time.monotonic()
        yield
        self.steps.append(StepRecord(name=name, command=command, seconds=time.monotonic() - began))

    def _run(self, name: str, command: Command) -> None:
        with self._step(name, command.shown()):
            log = self.workspace.logs / f"{name.replace(' ', '-')}.log"
            command.run(log, cwd=self.workspace.root, line=self.tell)

    def _traded(self) -> dict[str, Counter[str]]:
        """By venue: what its engine has counted since it started. A silent host has no venues."""
        return {
            venue: Counter({key: at[key] for key in ("acked", "filled", "canceled")})
            for host in status.status(self.workspace)
            for venue, at in (host.engine or {"venues": {}})["venues"].items()
        }

    def _await_trading(self, idle: Mapping[str, Counter[str]]) -> None:
        """Wait until every venue has acknowledged, filled and cancelled orders since ``idle``."""
        planned = {
            c.venue for host in self.workspace.inventory().hosts.values() for c in host.plan.connectors
        }
        deadline = time.monotonic() + TRADING_TIMEOUT_S
        while True:
            now = self._traded()
            since = {venue: now.get(venue, Counter()) - idle.get(venue, Counter()) for venue in planned}
            self.tell(
                ", ".join(
                    f"{venue}: {at['acked']} acknowledged, {at['filled']} filled, {at['canceled']} cancelled"
                    for venue, at in sorted(since.items())
                )
            )
            open_at = {venue: state["flat"][ACCOUNT]["open"] for venue, state in self._venue_states().items()}
            if all(
                at["acked"] >= ENOUGH_ORDERS and at["filled"] and at["canceled"] and open_at[venue]
                for venue, at in since.items()
            ):
                return
            if time.monotonic() > deadline:
                raise RehearsalError(
                    f"trading: after {TRADING_TIMEOUT_S:g} s the venues saw {since}, open orders {open_at}; "
                    f"wanted are {ENOUGH_ORDERS} acknowledged, fills and cancels at each: slipway status"
                )
            time.sleep(0.25)

    def _venue_states(self) -> dict[str, Any]:
        return {
            venue.name: self.lab.venues.admin(venue.name, "GET", "/state") for venue in self.lab.venues.venues
        }

    def _drill(self, idle: Mapping[str, Counter[str]]) -> Kill:
        """Kill while every venue has orders open; between two quotes there may be none: then try again."""
        for _ in range(DRILLS):
            killed = kill.kill(self.workspace, "drill")
            self._await_flat(killed)
            if all(open_at(self._events(venue.name), killed.started_ns) for venue in self.lab.venues.venues):
                return killed
            self.tell("the kill came between two quotes, with nothing open: once more")
            arm.arm(self.workspace, PERMIT)
            self._await_trading(idle)
        raise RehearsalError(f"kill: {DRILLS} drills in a row found a venue without open orders")

    def _events(self, venue: str) -> tuple[OrderEvent, ...]:
        return order_events(self.lab.venues.admin(venue, "GET", "/events?since=0")["events"])

    def _await_flat(self, killed: Kill) -> None:
        """Wait until each venue says that the account has nothing open; the hosts' word is not enough."""
        for host in killed.hosts:
            if not host.flat:
                raise RehearsalError(f"kill: host {host.host} is not flat: {host.problem or host}")
        deadline = time.monotonic() + FLAT_TIMEOUT_S
        while any(state["flat"][ACCOUNT]["open"] for state in self._venue_states().values()):
            if time.monotonic() > deadline:
                raise RehearsalError(f"kill: orders are still open at the venue: {self._venue_states()}")
            time.sleep(0.05)

    def _record(self, began: int, killed: Kill) -> RunRecord:
        engines = {host.host: host.engine for host in status.status(self.workspace)}
        manifest = release.manifest_of(self.workspace.release_archive())
        document = self.workspace.inventory()
        venues = []
        for name, host in document.hosts.items():
            for connector in host.plan.connectors:
                engine = engines[name]
                if engine is None:
                    raise RehearsalError(f"host {name}: its engine no longer answers after the kill")
                at = engine["venues"][connector.venue]
                venues.append(self._venue_record(began, name, connector.venue, at, killed))
        return RunRecord(
            stack=document.stack,
            mode=document.mode,
            began_ns=began,
            killed_ns=killed.started_ns,
            release=f"{manifest.name} {manifest.version}",
            revision=manifest.revision,
            steps=tuple(self.steps),
            checks=self._checks(tuple(document.hosts)),
            venues=tuple(venues),
        )

    def _venue_record(
        self, began: int, host: str, venue: str, at: Mapping[str, Any], killed: Kill
    ) -> VenueRecord:
        events = self._events(venue)
        flat = self.lab.venues.admin(venue, "GET", "/state")["flat"][ACCOUNT]["flat_since"]
        revoked_ns = next((k.revoked_ns for k in killed.hosts if k.host == host), None)
        return VenueRecord(
            host=host,
            venue=venue,
            **{key: at[key] for key in ("sent", "acked", "filled", "canceled", "rejected")},
            order_rtt_ns=Quantiles(**at["order_rtt_ns"]),
            tick_to_order_ns=Quantiles(**at["tick_to_order_ns"]),
            open_at_kill=open_at(events, killed.started_ns),
            kill_to_flat_ms=None if flat is None else max(0.0, (flat["wall_ns"] - killed.started_ns) / 1e6),
            host_revoked_ms=None if revoked_ns is None else (revoked_ns - killed.started_ns) / 1e6,
            events=tuple(event for event in events if event.wall_ns >= began),
        )

    def _checks(self, hosts: tuple[str, ...]) -> tuple[CheckRecord, ...]:
        """All checks; one that ran again on the armed host counts as it came out then."""
        first = verify.results(self.workspace.evidence / "verify.xml", hosts)
        again = verify.results(self.workspace.evidence / "armed.xml", hosts)
        return tuple({(c.host, c.concern, c.name): c for c in (*first, *again)}.values())


def order_events(events: list[dict[str, Any]]) -> tuple[OrderEvent, ...]:
    """Return what happened to the lab account's orders, each with the count of open ones after it."""
    known: dict[str, OrderKind] = {
        "new": "new",
        "fill": "fill",
        "cancel": "cancel",
        "expire": "cancel",
        "reject": "reject",
    }
    open_orders: set[str] = set()
    found = []
    for event in events:
        kind = known.get(event["kind"])
        if kind is None or event.get("account") != ACCOUNT:
            continue
        order = str(event["client_id"])
        if kind == "new":
            open_orders.add(order)
        elif kind == "cancel" or (kind == "fill" and event.get("final")):
            open_orders.discard(order)
        found.append(OrderEvent(kind=kind, wall_ns=event["wall_ns"], open_orders=len(open_orders)))
    return tuple(found)


def open_at(events: Sequence[OrderEvent], wall_ns: int) -> int:
    """Return how many orders were open at a moment, by the venue's events."""
    before = [event.open_orders for event in events if event.wall_ns <= wall_ns]
    return before[-1] if before else 0


def enter(document: LabDocument) -> None:
    """Send boto3 and Ansible's lookups of this process, and of those it starts, to the lab's cloud."""
    for key in [key for key in os.environ if key.startswith("AWS_") and key != "AWS_CA_BUNDLE"]:
        del os.environ[key]
    os.environ.update(document.environment)


def deploy(workspace: Workspace, lab: Lab, tell: Tell) -> None:
    """Deploy the stack into the lab's cloud, give it its credentials and allow-lists, write the inventory."""
    document = lab.document()
    if document is None or document.endpoint is None:
        raise RehearsalError("no lab is up on this machine: slipway lab up")
    enter(document)
    overrides = {
        "slipway:mode": "simulated",
        "slipway:public_key": document.ssh_key.with_suffix(".pub").read_text(encoding="utf-8").strip(),
    }

    def progress(event: DeployEvent) -> None:
        tell(f"$ {event}" if event.event == "command" else str(event))

    state = lab.settings.directory / "cloud" / f"{workspace.stack}.state.json"
    made = deploy_stack(
        workspace.stack, overrides, endpoint=document.endpoint, state_file=state, progress=progress
    )
    lab.settle()
    lab.venues.put_secrets([host.plan for host in made.hosts.values()], document.endpoint)
    addresses: dict[str, list[Any]] = {}
    for host in made.hosts.values():
        for connector in host.plan.connectors:
            addresses.setdefault(connector.venue, []).append(host.live.public_address)
    lab.venues.allow(addresses)
    fleet.close(workspace)
    inventory.write(
        workspace,
        made,
        from_console,
        identity=document.ssh_key,
        router_namespace=lab.settings.router,
    )


def converge_command(
    workspace: Workspace, document: LabDocument | None, extra: tuple[str, ...] = ()
) -> Command:
    """Return the converge line; a lab's hosts also trust the lab's certificate authority."""
    return converge.command(workspace, trust_anchor=document.ca if document else None, extra=extra)


def lab_line(event: LabEvent) -> str:
    """Return one line about a step of the lab."""
    return f"{event.step}: {event.text}" + (f" ({event.seconds:.1f} s)" if event.done else "")
