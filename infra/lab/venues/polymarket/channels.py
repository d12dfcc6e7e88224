"""The market and user channels."""

from __future__ import annotations

import json
from typing import Any

from infra.lab.venues.common.book import Fill, Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.fixed import plain_e8
from infra.lab.venues.common.sockets import ClientSocket
from infra.lab.venues.polymarket import books
from infra.lab.venues.polymarket.auth import Authority
from infra.lab.venues.polymarket.errors import ClobError
from infra.lab.venues.polymarket.exchange import Exchange, Listing
from infra.lab.venues.polymarket.orders import ClobOrder

INVALID = 1008
"""Close code for a client that breaks the protocol (policy violation)."""


class MarketClient:
    """One connection to the market channel."""

    def __init__(self, socket: ClientSocket, exchange: Exchange, clock: VenueClock) -> None:
        self.socket = socket
        self.tokens: set[str] = set()
        self.subscribed = False
        self._exchange = exchange
        self._clock = clock

    async def on_text(self, text: str) -> None:
        """Answer PING, subscribe or change subscriptions."""
        if text == "PING":
            self.socket.send("PONG")
            return
        request = _object(text)
        assets = request.get("assets_ids") if request is not None else None
        if request is None or not isinstance(assets, list):
            self.socket.close(INVALID, "INVALID OPERATION")
            return
        tokens = [token for token in map(str, assets) if token in self._exchange.listings]
        if request.get("operation") == "unsubscribe":
            self.tokens -= set(tokens)
            return
        if not self.subscribed and str(request.get("type", "")).lower() != "market":
            self.socket.close(INVALID, "INVALID OPERATION")
            return
        self.subscribed = True
        self.tokens |= set(tokens)
        if request.get("initial_dump", True):
            now = self._clock.ms()
            dump = [
                {"event_type": "book"} | books.summary(self._exchange.listings[token], now)
                for token in tokens
            ]
            self.socket.send(dump)


class UserClient:
    """One connection to the user channel."""

    def __init__(
        self, socket: ClientSocket, authority: Authority, exchange: Exchange, record: EventRecord
    ) -> None:
        self.socket = socket
        self.address = ""
        self.markets: set[str] = set()
        self._authority = authority
        self._exchange = exchange
        self._record = record

    async def on_text(self, text: str) -> None:
        """Answer PING, or check the credentials of the first message and subscribe."""
        if text == "PING":
            self.socket.send("PONG")
            return
        request = _object(text)
        if request is None:
            self.socket.close(INVALID, "INVALID OPERATION")
            return
        markets = {str(market) for market in request.get("markets") or []}
        if self.address:
            if request.get("operation") == "unsubscribe":
                self.markets -= markets
            else:
                self.markets |= markets
            return
        try:
            key = self._authority.check_socket(request.get("auth"))
        except ClobError as error:
            self._record.record("logon_refused", text=error.message, address=self.socket.address)
            self.socket.close(INVALID, error.message)
            return
        self.address, self.markets = key.address, markets
        self.socket.account = self._exchange.account(key.address).name
        self._record.record("subscribe", self.socket.account, connection=self.socket.number)

    def deliver(self, address: str, condition_id: str, event: dict[str, Any]) -> None:
        """Send one event of a wallet if it is this one's and of a market that it asked for (none: all)."""
        if self.address == address and (not self.markets or condition_id in self.markets):
            self.socket.send(event)


class Feed:
    """Turns changes of the books into messages of the market channel."""

    def __init__(self, exchange: Exchange, clock: VenueClock, clients: set[MarketClient]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._clients = clients
        self._seen: dict[str, dict[Side, dict[int, int]]] = {}
        self._trades: list[tuple[Listing, Fill[ClobOrder]]] = []

    def traded(self, listing: Listing, fill: Fill[ClobOrder]) -> None:
        """Keep one trade for the next publication."""
        self._trades.append((listing, fill))

    def publish(self) -> None:
        """Send trades, the book after a trade, and the levels that changed."""
        now = self._clock.ms()
        traded = {}
        for listing, fill in self._trades:
            traded[listing.token_id] = listing
            self._send(
                listing.token_id,
                {
                    "event_type": "last_trade_price",
                    "asset_id": listing.token_id,
                    "market": listing.instrument.condition_id,
                    "price": plain_e8(fill.price_e8),
                    "size": plain_e8(fill.quantity_e8),
                    "side": fill.taker.side.value,
                    "fee_rate_bps": "0",
                    "timestamp": str(now),
                },
            )
        self._trades.clear()
        for listing in traded.values():
            self._send(listing.token_id, {"event_type": "book"} | books.summary(listing, now))
        for listing in self._exchange.listings.values():
            self._publish_changes(listing, now)

    def _publish_changes(self, listing: Listing, now: int) -> None:
        before = self._seen.get(listing.token_id)
        levels = {side: dict(listing.book.depth(side)) for side in Side}
        self._seen[listing.token_id] = levels
        if before is None or before == levels:
            return
        if not any(listing.token_id in client.tokens for client in self._clients):
            return
        best = {"best_bid": books.best(listing, Side.BUY), "best_ask": books.best(listing, Side.SELL)}
        changes = [
            {
                "asset_id": listing.token_id,
                "price": plain_e8(price),
                "size": plain_e8(levels[side].get(price, 0)),
                "side": side.value,
                "hash": f"{listing.book.sequence:040x}",
                **best,
            }
            for side in Side
            for price in sorted(before[side].keys() | levels[side].keys())
            if before[side].get(price) != levels[side].get(price)
        ]
        event = {"event_type": "price_change", "market": listing.instrument.condition_id}
        self._send(listing.token_id, event | {"price_changes": changes, "timestamp": str(now)})

    def tick_changed(self, listing: Listing, old: str) -> None:
        """Tell that a market's tick size changed."""
        self._send(
            listing.token_id,
            {
                "event_type": "tick_size_change",
                "asset_id": listing.token_id,
                "market": listing.instrument.condition_id,
                "old_tick_size": old,
                "new_tick_size": listing.tick,
                "timestamp": str(self._clock.ms()),
            },
        )

    def _send(self, token_id: str, event: dict[str, Any]) -> None:
        for client in self._clients:
            if token_id in client.tokens:
                client.socket.send(event)


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
