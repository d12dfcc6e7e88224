"""The record of one run: what was done, checked, traded and killed. The report's only input."""

from __future__ import annotations

from typing import Literal

from infra.plan.model import Closed, Mode


class StepRecord(Closed):
    """One step: the plain command behind it, and its wall time in seconds."""

    name: str
    command: str
    seconds: float


class CheckRecord(Closed):
    """One check of one host."""

    host: str
    concern: str
    name: str
    passed: bool
    message: str


class Quantiles(Closed):
    """A latency distribution in ns, from the engine's HdrHistogram."""

    count: int
    p50: int
    p99: int
    p999: int
    max: int


OrderKind = Literal["new", "fill", "cancel", "reject"]


class OrderEvent(Closed):
    """Something that happened to an order at the venue, at the venue's wall clock (ns)."""

    kind: OrderKind
    wall_ns: int
    open_orders: int
    """Open orders of the account at the venue after it."""


class VenueRecord(Closed):
    """Trading at one venue from one host, and its end at the kill."""

    host: str
    venue: str
    sent: int
    acked: int
    filled: int
    canceled: int
    rejected: int
    order_rtt_ns: Quantiles
    tick_to_order_ns: Quantiles
    open_at_kill: int
    """Orders that the venue had open when the kill was given."""

    kill_to_flat_ms: float | None
    """From the command to the venue's last open order gone, as the venue saw it; None: never."""

    host_revoked_ms: float | None
    """From the command to the permit's revocation on the host."""

    events: tuple[OrderEvent, ...]


class RunRecord(Closed):
    """One run of a phase, from nothing to killed."""

    record_version: Literal[1] = 1
    stack: str
    mode: Mode
    began_ns: int
    killed_ns: int
    release: str
    revision: str
    steps: tuple[StepRecord, ...]
    checks: tuple[CheckRecord, ...]
    venues: tuple[VenueRecord, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed, every venue traded in full, and the kill left nothing open."""
        return all(check.passed for check in self.checks) and all(
            venue.acked
            and venue.filled
            and venue.canceled
            and venue.open_at_kill
            and venue.kill_to_flat_ms is not None
            for venue in self.venues
        )
