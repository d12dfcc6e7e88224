"""The venue's dead-man switch: 10 s without a heartbeat of ours, and it cancels all.

Sending even one arms it, so it starts only when an engine may send orders. The sender runs in the
event loop that can also cancel: a hang of that loop stops it, which is its purpose.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .errors import MalformedMessageError, VenueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

VENUE_LIMIT_S = 10.0
"""After this long without a valid heartbeat the venue cancels everything."""

RETRY_S = 1.0

log = logging.getLogger("slipway.polymarket")


class WrongHeartbeatIdError(Exception):
    """The venue expected another id; ``expected`` is the one to send."""

    def __init__(self, expected: str) -> None:
        super().__init__("Invalid Heartbeat ID")
        self.expected = expected


class Heartbeat:
    """Sends heartbeats while ``run`` runs.

    ``post(id)`` sends one and gives the next id. ``on_change()`` is called when ``trouble`` changes.
    ``monotonic`` and ``sleep`` are the clock, so that a test can bring its own.
    """

    def __init__(
        self,
        post: Callable[[str], Awaitable[str]],
        on_change: Callable[[], None],
        interval_s: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._post, self._on_change, self._interval = post, on_change, interval_s
        self._monotonic, self._sleep = monotonic, sleep
        self._id = ""
        self._last_good: float | None = None
        self.trouble: str | None = "heartbeat not yet sent"
        self.lapses = 0
        """How often the venue's limit has passed without a valid heartbeat: our orders are gone then."""

    async def run(self) -> None:
        """Send until cancelled, at fixed times after the first one (an answer's delay does not add up)."""
        self._id, self._last_good = "", None
        due = self._monotonic()
        try:
            while True:
                due = due + self._interval if await self._beat() else self._monotonic() + RETRY_S
                due = max(due, self._monotonic())
                await self._sleep(due - self._monotonic())
        finally:
            self.trouble = "heartbeat not yet sent"

    async def _beat(self) -> bool:
        began = self._monotonic()
        try:
            try:
                self._id = await self._post(self._id)
            except WrongHeartbeatIdError as error:
                self._id = await self._post(error.expected)
        except (VenueError, MalformedMessageError, WrongHeartbeatIdError) as error:
            self._failed(str(error))
            return False
        unseen = (
            self._last_good is not None and began - self._last_good >= VENUE_LIMIT_S and self.trouble is None
        )
        self._last_good = began
        if unseen:  # we were stopped (a debugger, a frozen cgroup) and saw no failure ourselves
            self.lapses += 1
            self._on_change()
        self._set(None)
        return True

    def _failed(self, reason: str) -> None:
        log.warning("heartbeat failed: %s", reason)
        if self._last_good is None:
            self._set(f"heartbeat failed: {reason}")
        elif self._monotonic() - self._last_good >= VENUE_LIMIT_S and self.trouble is None:
            self.lapses += 1
            self._set(f"no heartbeat for {VENUE_LIMIT_S:.0f} s, the venue has cancelled all: {reason}")

    def _set(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_change()
