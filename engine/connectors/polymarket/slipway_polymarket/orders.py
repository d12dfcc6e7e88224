"""Our orders, from submit to their end. Pure book-keeping: no I/O, no clock, no await.

What the engine is told about an order is in this sequence, whatever order the news come in:
ack, then fills, then one end (a final fill or canceled) — or one reject. The venue tells of the
same thing on several ways (the reply to a request, the user channel, a look-up), so every report
is taken once: trades by (trade, order), ends by the order's own state.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from .wire import Side, Tif

if TYPE_CHECKING:
    from .messages import OpenOrder, OrderEvent, Trade, TradePart

T = TypeVar("T")

KEPT = 10_000
"""Ended orders that are remembered, for news that come late."""


class Sink(Protocol):
    """Where reports go: the engine's connection."""

    def ack(self, client_id: int, venue_id: str) -> None:
        """Report that the venue took the order."""

    def fill(
        self, client_id: int, price_e8: int, quantity_e8: int, fee_e8: int, side: Side, *, final: bool
    ) -> None:
        """Report a trade; ``final``: nothing of the order is left open."""

    def canceled(self, client_id: int, left_e8: int) -> None:
        """Report that the rest of the order is gone."""

    def reject(self, client_id: int, code: int, reason: str) -> None:
        """Report that the order never was at the venue."""

    def log(self, level: int, message: str) -> None:
        """Tell people; ``level`` as in syslog(3)."""


class Stage(Enum):
    """Where an order is."""

    SENDING = "sending"
    LIVE = "live"
    UNKNOWN = "unknown"
    """Sent, without an answer: it is looked up until the venue says what became of it."""

    DONE = "done"


@dataclass(slots=True)
class Order:
    """One order of ours; prices and quantities in 1e-8 units."""

    client_id: int
    instrument: int
    side: Side
    tif: Tif
    price_e8: int
    quantity_e8: int
    stage: Stage = Stage.SENDING
    venue_id: str = ""
    acked: bool = False
    filled_e8: int = 0
    cancel_wanted: bool = False
    end_matched_e8: int | None = None
    """The venue has ended the order with this much matched; fills up to it may still be on their way."""

    trades_owed: set[str] | None = None
    """Trades that the reply to an immediate order named and that have not come yet; None: it named none."""

    @property
    def left_e8(self) -> int:
        """What has not traded."""
        return max(self.quantity_e8 - self.filled_e8, 0)


class Orders:
    """All orders of this process and what the engine was told about them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._by_client: dict[int, Order] = {}
        self._by_venue: dict[str, Order] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._unclaimed: OrderedDict[tuple[str, str], tuple[TradePart, int]] = OrderedDict()

    @property
    def open(self) -> list[Order]:
        """Orders that are not at their end."""
        return [order for order in self._by_client.values() if order.stage is not Stage.DONE]

    def get(self, client_id: int) -> Order | None:
        """Find an order by the engine's id."""
        return self._by_client.get(client_id)

    def find(self, venue_id: str) -> Order | None:
        """Find an order by the venue's id."""
        return self._by_venue.get(venue_id)

    def add(self, order: Order) -> bool:
        """Take a new order; False where its id was used before."""
        if order.client_id in self._by_client:
            return False
        self._by_client[order.client_id] = order
        return True

    def bind(self, order: Order, venue_id: str) -> None:
        """Know the order by the venue's id too, and take the trades that came before it was known."""
        order.venue_id = venue_id
        self._by_venue[venue_id] = order
        for key in [key for key in self._unclaimed if key[1] == venue_id]:
            part, fee = self._unclaimed.pop(key)
            self._trade(order, key[0], part, fee)

    def accepted(self, order: Order) -> None:
        """Take note: the venue has it."""
        if order.stage in (Stage.SENDING, Stage.UNKNOWN):
            order.stage = Stage.LIVE
        self._ack(order)

    def rejected(self, order: Order, code: int, reason: str) -> None:
        """Take note: the venue never had it."""
        if order.stage is Stage.DONE:
            return
        if order.acked or order.filled_e8:
            self.ended(order, order.filled_e8)
            return
        self._sink.reject(order.client_id, code, reason)
        self._finish(order)

    def unmatched(self, order: Order) -> None:
        """Take note: an immediate order met nobody, so it is taken and ends unfilled."""
        self._ack(order)
        self.ended(order, order.filled_e8)

    def trade(self, trade: Trade) -> list[Order]:
        """Take a trade; gives our orders that it belongs to."""
        ours = []
        for part in trade.parts:
            order = self._by_venue.get(part.venue_id)
            fee = _fee(part, trade.fee_rate_bps)
            if order is None:
                self._unclaimed[trade.trade_id, part.venue_id] = (part, fee)
                _keep(self._unclaimed, KEPT)
                continue
            ours.append(order)
            if trade.status == "FAILED":
                self._sink.log(
                    2,
                    f"trade {trade.trade_id} of order {order.client_id} FAILED on chain: "
                    "the position is not what the fills say; reconcile by hand",
                )
            else:
                self._trade(order, trade.trade_id, part, fee)
        return ours

    def event(self, event: OrderEvent) -> Order | None:
        """Take an order event of the user channel; gives the order where it is ours."""
        order = self._by_venue.get(event.venue_id)
        if order is None:
            return None
        self.accepted(order)
        if event.kind == "CANCELLATION":
            self.ended(order, event.matched_e8)
        return order

    def looked_up(self, order: Order, found: OpenOrder) -> None:
        """Take what a look-up says; what its trades left out is filled in at the order's price."""
        self.accepted(order)
        missing = min(found.matched_e8, order.quantity_e8) - order.filled_e8
        if missing > 0:
            self._sink.log(
                4,
                f"order {order.client_id}: {missing}e-8 matched without a trade to see, taken at its price",
            )
            self._fill(order, order.price_e8, missing, 0)
        if not found.is_live:
            self.ended(order, found.matched_e8)

    def ended(self, order: Order, matched_e8: int) -> None:
        """Take note of the end with this much matched: it is said once the fills are all told."""
        if order.stage is Stage.DONE:
            return
        order.end_matched_e8 = max(matched_e8, order.end_matched_e8 or 0)
        self._settle(order)

    def owe(self, order: Order, trade_ids: tuple[str, ...]) -> None:
        """Take note of an immediate order's trades: it ends when all of them have been told."""
        order.trades_owed = {trade for trade in trade_ids if (trade, order.venue_id) not in self._seen}
        self._settle_immediate(order)

    def _trade(self, order: Order, trade_id: str, part: TradePart, fee: int) -> None:
        key = (trade_id, order.venue_id)
        if key in self._seen:
            return
        self._seen[key] = None
        _keep(self._seen, KEPT * 4)
        self.accepted(order)
        if order.trades_owed:
            order.trades_owed.discard(trade_id)
        self._fill(order, part.price_e8, part.size_e8, fee)
        self._settle(order)
        self._settle_immediate(order)

    def _fill(self, order: Order, price_e8: int, quantity_e8: int, fee_e8: int) -> None:
        order.filled_e8 += quantity_e8
        final = order.left_e8 == 0 or order.stage is Stage.DONE
        self._sink.fill(order.client_id, price_e8, quantity_e8, fee_e8, order.side, final=final)
        if final:
            self._finish(order)

    def _settle(self, order: Order) -> None:
        if (
            order.stage is Stage.DONE
            or order.end_matched_e8 is None
            or order.filled_e8 < order.end_matched_e8
        ):
            return
        self._ack(order)
        self._sink.canceled(order.client_id, order.left_e8)
        self._finish(order)

    def _settle_immediate(self, order: Order) -> None:
        if order.tif == Tif.IOC and order.trades_owed is not None and not order.trades_owed:
            self.ended(order, order.filled_e8)

    def _ack(self, order: Order) -> None:
        if not order.acked and order.stage is not Stage.DONE:
            order.acked = True
            self._sink.ack(order.client_id, order.venue_id)

    def _finish(self, order: Order) -> None:
        order.stage = Stage.DONE
        self._ended[order.client_id] = None
        while len(self._ended) > KEPT:
            old = self._by_client.pop(self._ended.popitem(last=False)[0])
            self._by_venue.pop(old.venue_id, None)


def _fee(part: TradePart, rate_bps: int) -> int:
    """Estimate the fee in quote currency: takers pay rate * price * (1 - price) * size."""
    if not part.taker or not rate_bps or not 0 < part.price_e8 < 10**8:
        return 0
    return part.size_e8 * part.price_e8 * (10**8 - part.price_e8) * rate_bps // (10**16 * 10_000)


def _keep(entries: OrderedDict[tuple[str, str], T], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
