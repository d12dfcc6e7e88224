"""The synthetic market: a seeded random walk that keeps a ladder of orders around its mid price."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from infra.lab.venues.common.book import MARKET_ACCOUNT, Book, Fill, Order, Side
from infra.plan.model import Closed

OrderT = TypeVar("OrderT", bound=Order)


class MarketShape(Closed):
    """How the synthetic market looks and moves. One step follows another after ``interval_ms``."""

    mid: Annotated[Decimal, Field(gt=0)]
    spread_ticks: Annotated[int, Field(ge=1)] = 2
    levels: Annotated[int, Field(ge=1, le=1000)] = 20
    level_lots: tuple[int, int] = (1_000, 50_000)
    """Least and most quantity of one level, in lots."""

    deviation_ticks: Annotated[float, Field(ge=0)] = 1.0
    """Standard deviation of one step of the mid price."""

    pull: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the distance to ``mid`` that each step takes back, so that a long run stays near it."""

    interval_ms: Annotated[int, Field(ge=10)] = 150


class Market(Generic[OrderT]):
    """Moves one book. ``make_order`` gives a venue's own order object for (side, price, quantity)."""

    def __init__(
        self,
        book: Book[OrderT],
        shape: MarketShape,
        *,
        tick_e8: int,
        lot_e8: int,
        bounds_e8: tuple[int, int],
        seed: str,
        make_order: Callable[[Side, int, int], OrderT],
    ) -> None:
        self.book = book
        self.shape = shape
        self.frozen = False
        self.tick_e8 = tick_e8
        self.lot_e8 = lot_e8
        self.bounds_e8 = bounds_e8
        self._random = random.Random(seed)  # noqa: S311 - a repeatable market, nothing secret
        self._make_order = make_order
        self._anchor = self._mid = float(shape.mid * 100_000_000) / tick_e8

    @property
    def mid_e8(self) -> int:
        """The mid price that the ladder stands around, on the tick below."""
        return int(self._mid) * self.tick_e8

    def set_mid(self, mid_e8: int) -> None:
        """Move the market; the next step puts the ladder there and trades with what is in its way."""
        low, high = self.bounds_e8
        if not low <= mid_e8 <= high:
            raise ValueError(f"mid {mid_e8} (1e-8) is outside {low} to {high}")
        self._anchor = self._mid = mid_e8 / self.tick_e8

    def step(self) -> list[Fill[OrderT]]:
        """Move the mid once and replace the ladder; return the trades that this caused."""
        if self.frozen:
            return []
        drift = (self._anchor - self._mid) * self.shape.pull
        self._mid += drift + self._random.gauss(0, self.shape.deviation_ticks)
        low, high = self.bounds_e8
        reach = self.shape.spread_ticks
        self._mid = min(max(self._mid, low / self.tick_e8 + reach), high / self.tick_e8 - reach)
        return self.replace_ladder()

    def replace_ladder(self) -> list[Fill[OrderT]]:
        """Put the ladder around the mid anew, each level with a new quantity."""
        for order in self.book.orders():
            if order.account == MARKET_ACCOUNT:
                self.book.cancel(order)
        bid = int(self._mid) - (self.shape.spread_ticks // 2)
        ask = bid + self.shape.spread_ticks
        low, high = self.bounds_e8
        fills: list[Fill[OrderT]] = []
        for level in range(self.shape.levels):
            for side, tick in ((Side.BUY, bid - level), (Side.SELL, ask + level)):
                price = tick * self.tick_e8
                if low <= price <= high:
                    quantity = self._random.randint(*self.shape.level_lots) * self.lot_e8
                    fills += self.book.place(self._make_order(side, price, quantity))
        return fills
