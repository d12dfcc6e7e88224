"""Rate limits as the venue counts them: by aligned intervals, weight per address, orders per account."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import Any

from infra.lab.venues.binance.config import BinanceLimits
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.common.clock import VenueClock

MINUTE_MS, TEN_SECONDS_MS, DAY_MS = 60_000, 10_000, 86_400_000


class RateLimits:
    """The counts of all addresses and accounts."""

    def __init__(self, limits: BinanceLimits, clock: VenueClock) -> None:
        self.limits = limits
        self._clock = clock
        self._weight: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[tuple[str, int]] = Counter()
        self._orders: Counter[tuple[str, int, int]] = Counter()
        self._banned_until_ms: dict[str, int] = {}
        self._connections: defaultdict[str, deque[int]] = defaultdict(deque)

    def spend(self, address: str, weight: int) -> None:
        """Count ``weight``; 429 above the limit, 418 for who goes on nevertheless."""
        now = self._clock.ms()
        self._refuse_banned(address, now)
        minute = now // MINUTE_MS
        self._weight[address, minute] += weight
        if self._weight[address, minute] <= self.limits.weight_per_minute:
            return
        self._refused[address, minute] += 1
        if self._refused[address, minute] > self.limits.ban_after:
            self.ban(address, self.limits.ban_seconds)
            self._refuse_banned(address, now)
        text = (
            f"Too much request weight used; current limit is {self.limits.weight_per_minute} request weight "
            "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        )
        raise ApiError(429, -1003, text, retry_after_ms=(minute + 1) * MINUTE_MS)

    def ban(self, address: str, seconds: float) -> None:
        """Answer 418 to an address from now on."""
        self._banned_until_ms[address] = self._clock.ms() + int(seconds * 1000)

    def lift(self) -> None:
        """Forget every ban and count."""
        self._banned_until_ms.clear()
        self._weight.clear()
        self._refused.clear()
        self._orders.clear()
        self._connections.clear()

    def _refuse_banned(self, address: str, now: int) -> None:
        until = self._banned_until_ms.get(address, 0)
        if now < until:
            text = (
                f"Way too much request weight used; IP banned until {until}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
            raise ApiError(418, -1003, text, retry_after_ms=until)

    def connect(self, address: str) -> None:
        """Count one WebSocket connection; 429 for more than 300 in five minutes."""
        now = self._clock.ms()
        self._refuse_banned(address, now)
        times = self._connections[address]
        while times and times[0] <= now - 5 * MINUTE_MS:
            times.popleft()
        limit = self.limits.connections_per_5min
        if len(times) >= limit:
            text = f"Too many connection attempts from IP; current limit is {limit} per '5 MINUTE'."
            raise ApiError(429, -1034, text, retry_after_ms=times[0] + 5 * MINUTE_MS)
        times.append(now)

    def check_orders(self, account: str) -> None:
        """Raise -1015 (429) if the account may not place one more order now."""
        now = self._clock.ms()
        for interval, limit, words in (
            (TEN_SECONDS_MS, self.limits.orders_per_10s, "10 SECOND"),
            (DAY_MS, self.limits.orders_per_day, "1 DAY"),
        ):
            if self._orders[account, interval, now // interval] >= limit:
                text = f"Too many new orders; current limit is {limit} orders per {words}."
                raise ApiError(429, -1015, text, retry_after_ms=(now // interval + 1) * interval)

    def order_placed(self, account: str) -> None:
        """Count one order."""
        now = self._clock.ms()
        for interval in (TEN_SECONDS_MS, DAY_MS):
            self._orders[account, interval, now // interval] += 1

    def order_traded(self, account: str) -> None:
        """Take one order off the counts: it got its first fill."""
        now = self._clock.ms()
        for interval in (TEN_SECONDS_MS, DAY_MS):
            key = (account, interval, now // interval)
            self._orders[key] = max(0, self._orders[key] - 1)

    def weight(self, address: str) -> int:
        """Weight that the address used in this minute."""
        return self._weight[address, self._clock.ms() // MINUTE_MS]

    def orders(self, account: str) -> tuple[int, int]:
        """Unfilled orders of the account in this ten seconds and this day."""
        now = self._clock.ms()
        ten, day = (self._orders[account, interval, now // interval] for interval in (TEN_SECONDS_MS, DAY_MS))
        return ten, day

    def definitions(self) -> list[dict[str, Any]]:
        """Return the ``rateLimits`` of exchangeInfo."""
        return [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight_per_minute),
            _limit("ORDERS", "SECOND", 10, self.limits.orders_per_10s),
            _limit("ORDERS", "DAY", 1, self.limits.orders_per_day),
            _limit("CONNECTIONS", "MINUTE", 5, self.limits.connections_per_5min),
        ]

    def usage(self, address: str, account: str | None) -> list[dict[str, Any]]:
        """Return the ``rateLimits`` of a WebSocket reply; the orders' lines for who placed one."""
        lines: list[dict[str, Any]] = []
        if account is not None:
            ten, day = self.orders(account)
            lines = [
                _limit("ORDERS", "SECOND", 10, self.limits.orders_per_10s) | {"count": ten},
                _limit("ORDERS", "DAY", 1, self.limits.orders_per_day) | {"count": day},
            ]
        weight = _limit("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight_per_minute)
        return [*lines, weight | {"count": self.weight(address)}]

    def headers(self, address: str, account: str | None) -> dict[str, str]:
        """Return the headers of a REST reply; the orders' ones for who placed one."""
        used = str(self.weight(address))
        headers = {"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used}
        if account is not None:
            ten, day = self.orders(account)
            headers |= {"x-mbx-order-count-10s": str(ten), "x-mbx-order-count-1d": str(day)}
        return headers


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
