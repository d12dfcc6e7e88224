"""Order traffic with the venue: submit, cancel, look up, reconcile, cancel everything.

Nothing is ever sent twice in the hope that the first was lost: an order without an answer is looked
up by its hash until the venue says what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from .errors import MalformedMessageError, VenueError
from .orders import Order, Orders, Sink, Stage
from .venue import Market, NewOrder
from .wire import Tif

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from . import messages

log = logging.getLogger("slipway.polymarket")

STREAM_GRACE_S = 0.5
"""How long the user channel may take to tell what a reply has already told, before we look it up."""

NO_TRACE_LOOKUPS = 4
"""Look-ups (after 0.25, 0.5, 1, 2 s) that find nothing, before an unanswered order counts as lost."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
MET_NOBODY = "no orders found to match"
"""In the venue's refusal of an immediate order that found no counterparty: an end, not a fault."""

CODE_NOT_READY, CODE_BAD_ORDER = -1, -2
"""Reject codes of this connector; the venue's are HTTP statuses, 0 where there was no answer."""

Fault = (VenueError, MalformedMessageError)


class VenueApi(Protocol):
    """The part of venue.Venue that orders need."""

    async def submit(self, order: NewOrder, on_signed: Callable[[str], None]) -> messages.PostReply:
        """Sign and send."""

    async def cancel(self, venue_ids: list[str]) -> messages.CancelReply:
        """Cancel by id."""

    async def cancel_all(self) -> messages.CancelReply:
        """Cancel all."""

    async def open_orders(self) -> list[messages.OpenOrder]:
        """List what is open."""

    async def order(self, venue_id: str) -> messages.OpenOrder | None:
        """Look one up."""

    async def trades(self, trade_id: str) -> list[messages.Trade]:
        """Look a trade up."""


class Desk:
    """Carries the engine's orders to the venue and its answers into ``orders``.

    ``spawn`` starts a task that somebody watches. ``on_fault(error)`` hears of every error that says
    something about the venue as a whole (refused, asks to wait). ``is_blind()``: the user channel is down.
    """

    def __init__(
        self,
        orders: Orders,
        venue: VenueApi,
        sink: Sink,
        *,
        spawn: Callable[[Coroutine[None, None, None]], object],
        on_fault: Callable[[VenueError], None],
        is_blind: Callable[[], bool],
        sleep: Callable[[float], Coroutine[None, None, None]] = asyncio.sleep,
    ) -> None:
        self.orders, self._venue, self._sink = orders, venue, sink
        self._spawn, self._on_fault, self._is_blind, self._sleep = spawn, on_fault, is_blind, sleep
        self._in_flight = 0
        self._to_cancel: dict[str, Order] = {}
        self._looked_at: set[int] = set()
        self._flattenings = 0
        self._flatten_wanted = False

    @property
    def flattening(self) -> bool:
        """A cancel of everything is under way."""
        return self._flattenings > 0

    def submit(self, order: Order, market: Market) -> None:
        """Send a new order that has been checked."""
        if not self.orders.add(order):
            log.error("client id %d came twice; the second order is dropped", order.client_id)
            self._sink.log(3, f"client id {order.client_id} came twice; the second order was not sent")
            return
        self._in_flight += 1
        self._spawn(self._send(order, market))

    def cancel(self, client_id: int) -> None:
        """Take an order back: now, or as soon as the venue has it."""
        order = self.orders.get(client_id)
        if order is None:
            self._sink.log(4, f"cancel of client id {client_id}: no such order")
        elif order.stage is not Stage.DONE and not order.cancel_wanted:
            order.cancel_wanted = True
            if order.stage is not Stage.SENDING:
                self._cancel_soon(order)

    def flatten(self) -> None:
        """Cancel everything that the account has open, until the venue says that nothing is."""
        self._flatten_wanted = True
        if not self._flattenings:
            self._flattenings = 1
            self._spawn(self._flatten())

    async def reconcile(self) -> list[messages.OpenOrder]:
        """Bring our orders in line with the venue's list; gives those of the venue that are not ours."""
        found = {order.venue_id: order for order in await self._venue.open_orders()}
        for order in self.orders.open:
            if order.venue_id in found:
                await self._take(order, found[order.venue_id])
            elif order.stage is Stage.LIVE:
                gone = await self._venue.order(order.venue_id)
                if gone is None or not await self._take(order, gone):
                    self.look_up(order)
        return [order for order in found.values() if order.is_live and self._is_strange(order.venue_id)]

    def look_up(self, order: Order, after_s: float = 0.0) -> None:
        """Ask the venue what became of an order, unless somebody already asks."""
        if order.client_id not in self._looked_at and order.stage is not Stage.DONE:
            self._looked_at.add(order.client_id)
            self._spawn(self._look_up(order, after_s))

    def event(self, event: messages.OrderEvent) -> None:
        """Take an order event of the user channel."""
        order = self.orders.event(event)
        if order is None:
            return
        if order.stage is Stage.DONE and not order.acked and event.kind == "PLACEMENT":
            log.error("order %d arrived after we gave it up; cancelling it", order.client_id)
            self._spawn(self._cancel({event.venue_id: order}))
        elif order.end_matched_e8 is not None:
            self.look_up(order, STREAM_GRACE_S)  # in case the trades that it counts do not come

    def _is_strange(self, venue_id: str) -> bool:
        order = self.orders.find(venue_id)
        return order is None or order.stage is Stage.DONE

    async def _send(self, order: Order, market: Market) -> None:
        new = NewOrder(market, order.side, order.tif, order.price_e8, order.quantity_e8)
        try:
            reply = await self._venue.submit(new, lambda venue_id: self.orders.bind(order, venue_id))
        except VenueError as error:
            self._send_failed(order, error)
        except MalformedMessageError as error:
            self._unknown(order, str(error))
        else:
            self._sent(order, reply)
        finally:
            self._in_flight -= 1
        if order.cancel_wanted and order.stage is not Stage.DONE:
            self._cancel_soon(order)

    def _sent(self, order: Order, reply: messages.PostReply) -> None:
        if not reply.success or not reply.venue_id:
            self._refused(order, 400, reply.error or f"status {reply.status or 'unknown'}")
            return
        if reply.venue_id != order.venue_id:
            self.orders.bind(order, reply.venue_id)
        self.orders.accepted(order)
        if reply.trade_ids:
            self.orders.owe(order, reply.trade_ids)
        if order.tif == Tif.IOC or reply.status == "matched":
            self.look_up(order, STREAM_GRACE_S)

    def _send_failed(self, order: Order, error: VenueError) -> None:
        if error.is_unknown:
            self._unknown(order, str(error))
        else:
            self._refused(order, error.status, error.message)
        self._on_fault(error)

    def _refused(self, order: Order, code: int, reason: str) -> None:
        if order.tif == Tif.IOC and MET_NOBODY in reason.lower():
            self.orders.unmatched(order)
        else:
            self.orders.rejected(order, code, reason)

    def _unknown(self, order: Order, reason: str) -> None:
        log.warning("order %d: no clear answer (%s); looking it up", order.client_id, reason)
        if order.stage is Stage.SENDING:
            order.stage = Stage.UNKNOWN
        self.look_up(order, FIRST_WAIT_S)

    def _cancel_soon(self, order: Order) -> None:
        """Gather the cancels of one turn of the loop into one request."""
        if not self._to_cancel:
            asyncio.get_running_loop().call_soon(self._cancel_gathered)
        self._to_cancel[order.venue_id] = order

    def _cancel_gathered(self) -> None:
        gathered, self._to_cancel = self._to_cancel, {}
        if gathered:
            self._spawn(self._cancel(gathered))

    async def _cancel(self, wanted: dict[str, Order]) -> None:
        wait = FIRST_WAIT_S
        while wanted:
            try:
                reply = await self._venue.cancel(list(wanted))
            except Fault as error:
                log.warning("cancel failed: %s", error)
                if isinstance(error, VenueError):
                    self._on_fault(error)
                    wait = max(wait, error.retry_after_s or 0.0)
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_S)
                continue
            canceled = set(reply.canceled)
            for venue_id, order in wanted.items():
                soon = venue_id in canceled and not self._is_blind()
                self.look_up(order, STREAM_GRACE_S if soon else 0.0)
            return

    async def _look_up(self, order: Order, after_s: float) -> None:
        wait, misses = FIRST_WAIT_S, 0
        try:
            await self._sleep(after_s)
            while _is_open(order) and order.venue_id:
                try:
                    found = await self._venue.order(order.venue_id)
                    if found is None:
                        misses += 1
                        if misses >= NO_TRACE_LOOKUPS:
                            await self._give_up(order)
                    elif await self._take(order, found):
                        break
                except Fault as error:
                    log.warning("look-up of order %d failed: %s", order.client_id, error)
                    if isinstance(error, VenueError):
                        self._on_fault(error)
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_S)
        finally:
            self._looked_at.discard(order.client_id)
        if order.stage is Stage.LIVE and order.cancel_wanted:
            self._cancel_soon(order)

    async def _give_up(self, order: Order) -> None:
        """Cancel what may yet arrive, then say that it never did, unless it has."""
        await self._venue.cancel([order.venue_id])
        if await self._venue.order(order.venue_id) is None:
            self.orders.rejected(order, 0, "no answer, and no trace of it at the venue")

    async def _take(self, order: Order, found: messages.OpenOrder) -> bool:
        """Bring an order in line with what the venue says; True where nothing is left to ask."""
        if found.matched_e8 > order.filled_e8:
            for trade_id in found.trade_ids:
                for trade in await self._venue.trades(trade_id):
                    self.orders.trade(trade)
        self.orders.looked_up(order, found)
        return order.stage is Stage.DONE or (found.is_live and order.tif != Tif.IOC)

    async def _flatten(self) -> None:
        wait = 0.05
        try:
            while True:
                self._flatten_wanted = False
                try:
                    await self._venue.cancel_all()
                    is_flat = not await self._venue.open_orders()
                except Fault as error:
                    is_flat = False
                    log.error("cancel of everything failed, trying again: %s", error)  # noqa: TRY400
                    if isinstance(error, VenueError):
                        self._on_fault(error)
                        wait = max(wait, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))
                if is_flat and not self._in_flight and not self._flatten_wanted:
                    break
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_S)
        finally:
            self._flattenings = 0
        log.info("flat: the venue has nothing open")
        self._sink.log(6, "flat: the venue has nothing open")
        for order in self.orders.open:
            self.look_up(order, 0.0 if self._is_blind() else STREAM_GRACE_S)


def _is_open(order: Order) -> bool:
    return order.stage is not Stage.DONE
