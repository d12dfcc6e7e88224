"""Our clock against the venue's GET /time, which counts in whole seconds.

One answer bounds the difference only within a second. Asked again at the moment when the venue's
second should turn, each answer halves what is left, so a few give tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MOST_SAMPLES = 5
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Offset:
    """Our clock minus the venue's lies between ``low_ns`` and ``high_ns``."""

    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> int:
        """Best single guess."""
        return (self.low_ns + self.high_ns) // 2

    def within(self, bound_ms: int) -> bool:
        """Whether the best guess is inside the bound."""
        return abs(self.middle_ns) <= bound_ms * 1_000_000

    def decided(self, bound_ms: int) -> bool:
        """Whether the whole interval lies on one side of the bound."""
        bound = bound_ms * 1_000_000
        return (
            (-bound <= self.low_ns and self.high_ns <= bound) or self.low_ns > bound or self.high_ns < -bound
        )


def bounds(sent_ns: int, received_ns: int, server_ns: int, granularity_ns: int) -> Offset:
    """Bound by one answer: the venue's time was in [server, server + granularity) when it answered."""
    return Offset(sent_ns - server_ns - granularity_ns, received_ns - server_ns)


async def measure(
    ask: Callable[[], Awaitable[tuple[int, int]]],
    bound_ms: int,
    now_ns: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Offset:
    """Ask until it is clear on which side of the bound we are, at most MOST_SAMPLES times."""
    best: Offset | None = None
    for _ in range(MOST_SAMPLES):
        if best is not None:
            await sleep(((best.middle_ns - now_ns()) % SECOND_NS) / SECOND_NS)
        sent = now_ns()
        server, granularity = await ask()
        found = bounds(sent, now_ns(), server, granularity)
        if best is None or found.low_ns > best.high_ns or found.high_ns < best.low_ns:
            best = found  # the first, or a clock was set meanwhile: older answers prove nothing
        else:
            best = Offset(max(best.low_ns, found.low_ns), min(best.high_ns, found.high_ns))
        if best.decided(bound_ms):
            break
    assert best is not None
    return best
