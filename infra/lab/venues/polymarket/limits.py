"""Token buckets per wallet: orders and cancels apart."""

from __future__ import annotations

import time
from dataclasses import dataclass

from infra.lab.venues.polymarket.config import PolymarketLimits
from infra.lab.venues.polymarket.errors import ClobError


@dataclass
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """The buckets of all wallets."""

    def __init__(self, limits: PolymarketLimits) -> None:
        self._limits = limits
        self._buckets: dict[tuple[str, bool], _Bucket] = {}

    def take(self, address: str, cost: int, *, cancel: bool) -> dict[str, str]:
        """Take ``cost`` tokens and return the headers that tell what is left; 429 if there are not enough."""
        factor = 2 if cancel else 1
        rate, burst = self._limits.orders_per_second * factor, self._limits.burst * factor
        now = time.monotonic()
        bucket = self._buckets.setdefault((address, cancel), _Bucket(burst, now))
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        missing = cost - bucket.tokens
        if missing > 0:
            raise ClobError(429, "Too Many Requests", retry_after=max(1, round(missing / rate + 0.5)))
        bucket.tokens -= cost
        return {
            "Poly-RateLimit-Remaining": str(int(bucket.tokens)),
            "Poly-RateLimit-Reset": str(round((burst - bucket.tokens) / rate, 3)),
            "Poly-RateLimit-Tier": "standard",
        }
