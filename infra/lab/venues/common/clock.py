"""The venue's clock, which a fault may set wrong."""

from __future__ import annotations

import time


class VenueClock:
    """Wall clock of the simulated venue: the machine's own plus ``offset_ns``."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def ns(self) -> int:
        """Nanoseconds since 1970 as the venue believes."""
        return time.time_ns() + self.offset_ns

    def us(self) -> int:
        """Microseconds since 1970 as the venue believes."""
        return self.ns() // 1_000

    def ms(self) -> int:
        """Milliseconds since 1970 as the venue believes."""
        return self.ns() // 1_000_000

    def seconds(self) -> int:
        """Whole seconds since 1970 as the venue believes."""
        return self.ns() // 1_000_000_000
