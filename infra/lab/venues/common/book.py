"""A limit order book with price-time priority.

The synthetic market's orders and the accounts' orders live in the same book, so that an account is
filled as maker when the market moves through it and as taker when it crosses.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from infra.lab.venues.common.fixed import multiply_e8

MARKET_ACCOUNT = ""
"""Account of the synthetic market's own orders; no client can have it."""


class Side(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def other(self) -> Side:
        """The side it trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Lasting(StrEnum):
    """How long an order stays: resting, the rest cancelled at once, all or nothing at once."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class WouldCrossError(Exception):
    """A post-only order would have traded at once."""


@dataclass(slots=True, eq=False)
class Order:
    """One order; price and quantities in units of 1e-8."""

    number: int
    account: str
    side: Side
    price_e8: int
    quantity_e8: int
    filled_e8: int = 0
    spent_e8: int = 0
    """Sum of price times quantity over its fills."""

    @property
    def left_e8(self) -> int:
        """What is not filled yet."""
        return self.quantity_e8 - self.filled_e8


OrderT = TypeVar("OrderT", bound=Order)


@dataclass(frozen=True, slots=True)
class Fill(Generic[OrderT]):
    """One trade, at the maker's price."""

    trade: int
    taker: OrderT
    maker: OrderT
    price_e8: int
    quantity_e8: int


class _Half(Generic[OrderT]):
    """One side: prices sorted from the best, and at each price the orders in order of arrival."""

    def __init__(self, side: Side) -> None:
        self.sign = -1 if side is Side.BUY else 1
        self.keys: list[int] = []
        self.levels: dict[int, dict[int, OrderT]] = {}

    def add(self, order: OrderT) -> None:
        level = self.levels.get(order.price_e8)
        if level is None:
            level = self.levels[order.price_e8] = {}
            insort(self.keys, self.sign * order.price_e8)
        level[order.number] = order

    def remove(self, order: OrderT) -> None:
        level = self.levels[order.price_e8]
        del level[order.number]
        if not level:
            del self.levels[order.price_e8]
            self.keys.remove(self.sign * order.price_e8)

    def prices(self) -> Iterator[int]:
        return (self.sign * key for key in self.keys)

    def crosses(self, price_e8: int, resting_e8: int) -> bool:
        """Tell whether an opposite order at ``price_e8`` trades with one resting here at ``resting_e8``."""
        return self.sign * resting_e8 <= self.sign * price_e8


class Book(Generic[OrderT]):
    """The book of one instrument. ``sequence`` grows with every change of a level."""

    def __init__(self) -> None:
        self._halves: dict[Side, _Half[OrderT]] = {side: _Half(side) for side in Side}
        self._orders: dict[int, OrderT] = {}
        self.sequence = 1
        self.last_trade = 0
        self.last_price_e8 = 0

    def __contains__(self, order: Order) -> bool:
        return order.number in self._orders

    def orders(self) -> list[OrderT]:
        """Everything resting, the synthetic market's orders too."""
        return list(self._orders.values())

    def best(self, side: Side) -> tuple[int, int] | None:
        """Return the best price of a side and the quantity there, or None if the side is empty."""
        for price, quantity in self.depth(side, 1):
            return price, quantity
        return None

    def depth(self, side: Side, levels: int | None = None) -> list[tuple[int, int]]:
        """Return (price, quantity) by level, the best first."""
        half = self._halves[side]
        prices = list(half.prices())[:levels]
        return [(price, sum(order.left_e8 for order in half.levels[price].values())) for price in prices]

    def would_cross(self, side: Side, price_e8: int) -> bool:
        """Tell whether an order at this price would trade at once."""
        half = self._halves[side.other]
        return any(half.crosses(price_e8, resting) for resting in list(half.prices())[:1])

    def available(self, side: Side, price_e8: int | None) -> int:
        """Return how much an order of ``side`` could trade at once at ``price_e8`` (None: at any price)."""
        half = self._halves[side.other]
        return sum(
            quantity
            for resting, quantity in self.depth(side.other)
            if price_e8 is None or half.crosses(price_e8, resting)
        )

    def quantity_for(self, side: Side, quote_e8: int) -> int:
        """Return the base quantity that ``quote_e8`` of quote currency buys or sells at once."""
        total = 0
        for price, quantity in self.depth(side.other):
            if multiply_e8(price, quantity) >= quote_e8:
                return total + quote_e8 * 100_000_000 // price
            total += quantity
            quote_e8 -= multiply_e8(price, quantity)
        return total

    def place(
        self,
        order: OrderT,
        lasting: Lasting = Lasting.GTC,
        *,
        post_only: bool = False,
        at_market: bool = False,
    ) -> list[Fill[OrderT]]:
        """Match ``order`` and let the rest of a GTC order stay; WouldCrossError for a crossing post-only one.

        ``at_market`` ignores the order's price. What is left of an IOC, FOK or market order is simply
        not in the book afterwards; a FOK order that cannot be filled whole trades nothing.
        """
        if post_only and self.would_cross(order.side, order.price_e8):
            raise WouldCrossError
        limit = None if at_market else order.price_e8
        if lasting is Lasting.FOK and self.available(order.side, limit) < order.quantity_e8:
            return []
        fills = self._match(order, limit)
        if order.left_e8 and lasting is Lasting.GTC and not at_market:
            self._halves[order.side].add(order)
            self._orders[order.number] = order
            self.sequence += 1
        return fills

    def _match(self, order: OrderT, limit: int | None) -> list[Fill[OrderT]]:
        half = self._halves[order.side.other]
        fills: list[Fill[OrderT]] = []
        while order.left_e8 and half.keys:
            price = half.sign * half.keys[0]
            if limit is not None and not half.crosses(limit, price):
                break
            maker = next(iter(half.levels[price].values()))
            quantity = min(order.left_e8, maker.left_e8)
            for party in (order, maker):
                party.filled_e8 += quantity
                party.spent_e8 += multiply_e8(price, quantity)
            if not maker.left_e8:
                half.remove(maker)
                del self._orders[maker.number]
            self.sequence += 1
            self.last_trade += 1
            self.last_price_e8 = price
            fills.append(Fill(self.last_trade, order, maker, price, quantity))
        return fills

    def cancel(self, order: OrderT) -> None:
        """Take a resting order out; KeyError if it is not in the book."""
        del self._orders[order.number]
        self._halves[order.side].remove(order)
        self.sequence += 1
