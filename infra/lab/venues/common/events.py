"""The ordered record of what a venue saw, and since when each account has nothing open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

COUNTED = {"sent": "sent", "new": "acked", "fill": "filled", "cancel": "canceled", "reject": "rejected"}
"""Kinds of events that are counted, and under which name ``/state`` shows the count."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks of this machine, in nanoseconds."""

    mono_ns: int
    wall_ns: int

    @classmethod
    def now(cls) -> Moment:
        """Read both clocks."""
        return cls(time.monotonic_ns(), time.time_ns())

    def document(self) -> dict[str, int]:
        """Return the JSON form."""
        return {"mono_ns": self.mono_ns, "wall_ns": self.wall_ns}


class EventRecord:
    """Events in order, the newest ``keep`` of them; sequence numbers begin at 1 and have no gaps."""

    def __init__(self, keep: int = 100_000) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=keep)
        self._last = 0
        self._changed = asyncio.Event()
        self._counters: dict[str, Counter[str]] = {}
        self._open: Counter[str] = Counter()
        self._flat: dict[str, Moment] = {}
        self._first_open: dict[str, Moment] = {}

    @property
    def last(self) -> int:
        """Sequence number of the newest event; 0 before the first."""
        return self._last

    def record(self, kind: str, account: str = "", client_id: str = "", **details: object) -> None:
        """Add one event and count it under its account."""
        self._last += 1
        self._events.append(
            {"seq": self._last, "kind": kind, "account": account, "client_id": client_id}
            | Moment.now().document()
            | details
        )
        if account and kind in COUNTED:
            self._counters.setdefault(account, Counter())[COUNTED[kind]] += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def since(self, sequence: int) -> list[dict[str, Any]]:
        """Return the events after ``sequence``, oldest first."""
        return [event for event in self._events if event["seq"] > sequence]

    async def wait(self, sequence: int, seconds: float) -> None:
        """Return when there is an event after ``sequence``, or after ``seconds``."""
        if self._last > sequence:
            return
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def opened(self, account: str) -> None:
        """Note that an order of the account began to rest."""
        self._open[account] += 1
        if self._open[account] == 1:
            self._first_open[account] = Moment.now()

    def closed(self, account: str) -> None:
        """Note that a resting order of the account is no more."""
        self._open[account] -= 1
        if self._open[account] == 0:
            self._flat[account] = Moment.now()

    def counters(self, account: str) -> dict[str, int]:
        """Return what the account sent and got, by name."""
        counts = self._counters.get(account, Counter())
        return {name: counts[name] for name in COUNTED.values()}

    def flatness(self, account: str) -> dict[str, Any]:
        """Return how many orders are open, since when any has been, and when it last became none."""
        flat, first = self._flat.get(account), self._first_open.get(account)
        return {
            "open": self._open[account],
            "open_since": first.document() if first and self._open[account] else None,
            "flat_since": flat.document() if flat and not self._open[account] else None,
        }
