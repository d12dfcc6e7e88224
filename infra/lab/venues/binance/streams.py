"""The market data streams: book ticker, depth and trades."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from infra.lab.venues.binance.exchange import Exchange, Listing
from infra.lab.venues.binance.orders import SpotOrder
from infra.lab.venues.common.book import Fill, Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.fixed import format_e8
from infra.lab.venues.common.sockets import ClientSocket

MAX_STREAMS = 1024
METHODS = ("`SUBSCRIBE`", "`UNSUBSCRIBE`", "`LIST_SUBSCRIPTIONS`", "`SET_PROPERTY`", "`GET_PROPERTY`")


class _InvalidError(Exception):
    """A control message cannot be carried out; ``document`` is the answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["msg"])
        self.document = document


class StreamClient:
    """One connection to the streams."""

    def __init__(self, socket: ClientSocket, streams: list[str], *, combined: bool) -> None:
        self.socket = socket
        self.streams = dict.fromkeys(streams)
        self.combined = combined

    def deliver(self, stream: str, payload: dict[str, Any]) -> None:
        """Send one message of a stream if the client has it."""
        if stream in self.streams:
            self.socket.send({"stream": stream, "data": payload} if self.combined else payload)

    async def on_text(self, text: str) -> None:
        """Answer one control message."""
        self.socket.send(self._control(text))

    def _control(self, text: str) -> dict[str, Any]:
        try:
            request = json.loads(text)
        except ValueError as error:
            return {"code": 3, "msg": f"Invalid JSON: {error}"}
        if not isinstance(request, dict) or "method" not in request:
            return _invalid(f"missing field `method` at line 1 column {len(text)}")
        number, method = request.get("id"), request["method"]
        if "id" not in request or not isinstance(number, int | str | None):
            return _invalid("request ID must be an unsigned integer")
        act = {
            "LIST_SUBSCRIPTIONS": self._list,
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }.get(method)
        if act is None:
            return _invalid(f"unknown variant {method}, expected one of {', '.join(METHODS)}")
        try:
            return {"result": act(request.get("params", [])), "id": number}
        except _InvalidError as error:
            return error.document

    def _list(self, _parameters: Any) -> list[str]:
        return list(self.streams)

    def _subscribe(self, parameters: Any) -> None:
        names = dict.fromkeys(_names(parameters))
        if len(self.streams | names) > MAX_STREAMS:
            raise _InvalidError(_invalid(f"more than {MAX_STREAMS} streams"))
        self.streams |= names

    def _unsubscribe(self, parameters: Any) -> None:
        for name in _names(parameters):
            self.streams.pop(name, None)

    def _get_property(self, parameters: Any) -> bool:
        if not isinstance(parameters, list) or not parameters or not isinstance(parameters[0], str):
            raise _InvalidError(_invalid("property name must be a string"))
        if parameters[0] != "combined":
            raise _InvalidError({"code": 0, "msg": "Unknown property"})
        return self.combined

    def _set_property(self, parameters: Any) -> None:
        self._get_property(parameters)
        if len(parameters) < 2 or not isinstance(parameters[1], bool):
            raise _InvalidError({"code": 1, "msg": "Invalid value type: expected Boolean"})
        self.combined = parameters[1]


@dataclass
class _Seen:
    """What the streams last said of one symbol: best prices, and levels with their update id by speed."""

    best: tuple[Any, Any] = (None, None)
    sequence: dict[str, int] = field(default_factory=dict)
    levels: dict[str, dict[Side, dict[int, int]]] = field(default_factory=dict)


class Feed:
    """Turns changes of the books into stream messages."""

    def __init__(self, exchange: Exchange, clock: VenueClock, clients: set[StreamClient]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._clients = clients
        self._seen: dict[str, _Seen] = {}
        self._trades: list[tuple[str, Fill[SpotOrder]]] = []

    def traded(self, symbol: str, fill: Fill[SpotOrder]) -> None:
        """Keep one trade for the next publication."""
        self._trades.append((symbol, fill))

    def publish(self) -> None:
        """Send the trades, and the best prices where they changed."""
        for symbol, fill in self._trades:
            self._send(f"{symbol.lower()}@trade", self._trade(symbol, fill))
            self._send(f"{symbol.lower()}@aggTrade", self._aggregate(symbol, fill))
        self._trades.clear()
        for symbol, listing in self._exchange.listings.items():
            seen = self._seen.setdefault(symbol, _Seen())
            bid, ask = listing.book.best(Side.BUY), listing.book.best(Side.SELL)
            if (bid, ask) != seen.best and bid and ask:
                seen.best = (bid, ask)
                self._send(
                    f"{symbol.lower()}@bookTicker",
                    {
                        "u": listing.book.sequence,
                        "s": symbol,
                        "b": format_e8(bid[0]),
                        "B": format_e8(bid[1]),
                        "a": format_e8(ask[0]),
                        "A": format_e8(ask[1]),
                    },
                )

    def publish_depth(self, speed: str) -> None:
        """Send depth messages; ``speed`` is the end of the streams' names: ``@100ms`` or nothing (1 s)."""
        names = {name for client in self._clients for name in client.streams}
        for symbol, listing in self._exchange.listings.items():
            for levels in (5, 10, 20):
                name = f"{symbol.lower()}@depth{levels}{speed}"
                if name in names:
                    bids, asks = (_rows(listing.book.depth(side, levels)) for side in Side)
                    self._send(name, {"lastUpdateId": listing.book.sequence, "bids": bids, "asks": asks})
            name = f"{symbol.lower()}@depth{speed}"
            if name in names:
                self._send_difference(name, symbol, listing, speed)
            else:
                self._seen.setdefault(symbol, _Seen()).levels.pop(speed, None)

    def _send_difference(self, name: str, symbol: str, listing: Listing, speed: str) -> None:
        seen = self._seen.setdefault(symbol, _Seen())
        now = {side: dict(listing.book.depth(side)) for side in Side}
        before, after = seen.sequence.get(speed, listing.book.sequence), listing.book.sequence
        old = seen.levels.get(speed)
        seen.levels[speed], seen.sequence[speed] = now, after
        if old is None or before == after:
            return
        changes = {
            side: [
                (price, now[side].get(price, 0))
                for price in sorted(old[side].keys() | now[side].keys())
                if old[side].get(price) != now[side].get(price)
            ]
            for side in Side
        }
        event = {"e": "depthUpdate", "E": self._clock.ms(), "s": symbol, "U": before + 1, "u": after}
        self._send(name, event | {"b": _rows(changes[Side.BUY]), "a": _rows(changes[Side.SELL])})

    def _trade(self, symbol: str, fill: Fill[SpotOrder]) -> dict[str, Any]:
        now = self._clock.ms()
        return {
            "e": "trade",
            "E": now,
            "s": symbol,
            "t": fill.trade,
            "p": format_e8(fill.price_e8),
            "q": format_e8(fill.quantity_e8),
            "T": now,
            "m": fill.maker.side is Side.BUY,
            "M": True,
        }

    def _aggregate(self, symbol: str, fill: Fill[SpotOrder]) -> dict[str, Any]:
        trade = self._trade(symbol, fill)
        number = trade.pop("t")
        return trade | {"e": "aggTrade", "a": number, "f": number, "l": number}

    def _send(self, name: str, payload: dict[str, Any]) -> None:
        for client in self._clients:
            client.deliver(name, payload)


def _invalid(what: str) -> dict[str, Any]:
    return {"code": 2, "msg": f"Invalid request: {what}"}


def _names(parameters: Any) -> list[str]:
    if not isinstance(parameters, list) or not all(isinstance(name, str) for name in parameters):
        raise _InvalidError(_invalid("invalid type, expected a sequence of strings"))
    return parameters


def _rows(levels: list[tuple[int, int]]) -> list[list[str]]:
    return [[format_e8(price), format_e8(quantity)] for price, quantity in levels]
