"""The venue's JSON, read strictly into plain values. Everything that the network says enters here.

Each function gives its result or raises MalformedMessageError, whatever the bytes. Keys that we do
not use are ignored: the venue adds some from time to time.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from . import exact_json
from .errors import MalformedMessageError
from .fixed import SCALE, NotANumberError, to_e8
from .wire import Side

FIRST_MILLISECONDS = 10**11
"""Seconds reach this in the year 5138, milliseconds did in 1973."""

Json = Any
"""What json.loads gives; every use below checks before it believes."""


@dataclass(frozen=True, slots=True)
class Book:
    """A whole order book: (price, size) levels in 1e-8 units, in no promised order."""

    asset: str
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LevelChange:
    """One level's new size (0: gone), with the best prices that hold after it where the venue says them."""

    asset: str
    side: Side
    price_e8: int
    size_e8: int
    best_bid_e8: int | None
    best_ask_e8: int | None


@dataclass(frozen=True, slots=True)
class TickChange:
    """A market's price step changed (it does near 0 and 1)."""

    asset: str
    tick: str


MarketEvent = Book | LevelChange | TickChange


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An order of ours was placed, matched in part, or canceled."""

    venue_id: str
    kind: str
    """PLACEMENT, UPDATE or CANCELLATION."""

    matched_e8: int
    asset: str


@dataclass(frozen=True, slots=True)
class TradePart:
    """What one order got in one trade."""

    venue_id: str
    price_e8: int
    size_e8: int
    taker: bool


@dataclass(frozen=True, slots=True)
class Trade:
    """A match with all orders that took part, ours or not."""

    trade_id: str
    status: str
    asset: str
    parts: tuple[TradePart, ...]
    fee_rate_bps: int


UserEvent = OrderEvent | Trade


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order as the venue holds it."""

    venue_id: str
    status: str
    """LIVE, MATCHED, CANCELED, INVALID, DELAYED…, without the prefix ORDER_STATUS_."""

    asset: str
    matched_e8: int
    trade_ids: tuple[str, ...]

    @property
    def is_live(self) -> bool:
        """It can still trade."""
        return self.status in ("LIVE", "DELAYED", "UNMATCHED")


@dataclass(frozen=True, slots=True)
class PostReply:
    """The answer to a new order. ``status``: live, matched, delayed or unmatched."""

    success: bool
    venue_id: str
    status: str
    error: str
    trade_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelReply:
    """The answer to a cancel."""

    canceled: tuple[str, ...]
    not_canceled: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Geo:
    """Where the venue believes us to be, and whether one may trade from there."""

    blocked: bool
    ip: str
    country: str
    region: str


def loads(text: str | bytes) -> Json:
    """Parse JSON with exact decimals; NaN, Infinity and absurd nesting are malformed."""
    try:
        return exact_json.parse(text)
    except ValueError as error:
        raise MalformedMessageError(f"is no JSON: {error}") from error


def market_events(text: str | bytes) -> list[MarketEvent]:
    """Read one frame of the market channel: an event or a list of them; unknown kinds give nothing."""
    events: list[MarketEvent] = []
    for item in _items(loads(text)):
        kind = item.get("event_type")
        if kind == "book":
            events.append(book(item))
        elif kind == "price_change":
            events += [_level_change(change) for change in _list(item, "price_changes")]
        elif kind == "tick_size_change":
            events.append(TickChange(_text(item, "asset_id"), _decimal_text(item, "new_tick_size")))
    return events


def user_events(text: str | bytes) -> list[UserEvent]:
    """Read one frame of the user channel."""
    events: list[UserEvent] = []
    for item in _items(loads(text)):
        kind = item.get("event_type")
        if kind == "order":
            events.append(
                OrderEvent(
                    _text(item, "id"),
                    _text(item, "type").upper(),
                    _number(item, "size_matched", default=0),
                    _text(item, "asset_id"),
                )
            )
        elif kind == "trade":
            events.append(trade(item))
    return events


def book(item: Json) -> Book:
    """Read a book, from the channel or from GET /book."""
    bids = "bids" if "bids" in _dict(item) else "buys"
    asks = "asks" if "asks" in item else "sells"
    return Book(_text(item, "asset_id"), _levels(item, bids), _levels(item, asks))


def trade(item: Json) -> Trade:
    """Read a trade, from the channel or from GET /data/trades: the taker's part and each maker's."""
    parts = [
        TradePart(_text(item, "taker_order_id"), _number(item, "price"), _number(item, "size"), taker=True)
    ]
    for maker in _list(item, "maker_orders"):
        parts.append(  # noqa: PERF401 (one statement a part reads better than a nested comprehension)
            TradePart(
                _text(maker, "order_id"),
                _number(maker, "price"),
                _number(maker, "matched_amount"),
                taker=False,
            )
        )
    bps = _number(item, "fee_rate_bps", default=0) // SCALE
    return Trade(_text(item, "id"), _text(item, "status").upper(), _text(item, "asset_id"), tuple(parts), bps)


def open_order(item: Json) -> OpenOrder:
    """Read an order from GET /data/orders or GET /data/order/ID."""
    return OpenOrder(
        _text(item, "id"),
        _text(item, "status").upper().removeprefix("ORDER_STATUS_"),
        _text(item, "asset_id"),
        _number(item, "size_matched", default=0),
        _texts(item, "associate_trades"),
    )


def post_reply(item: Json) -> PostReply:
    """Read the answer to POST /order."""
    _dict(item)
    return PostReply(
        item.get("success") is True,
        _optional_text(item, "orderID"),
        _optional_text(item, "status").lower(),
        _optional_text(item, "errorMsg") or _optional_text(item, "error"),
        _texts(item, "tradeIDs"),
    )


def cancel_reply(item: Json) -> CancelReply:
    """Read the answer to any cancel."""
    _dict(item)
    reasons = item.get("not_canceled") or {}
    pairs = tuple((str(key), str(value)) for key, value in _dict(reasons).items())
    return CancelReply(_texts(item, "canceled"), pairs)


def geo(item: Json) -> Geo:
    """Read the answer of the geoblock endpoint; one without a clear ``blocked`` is malformed."""
    blocked = _dict(item).get("blocked")
    if not isinstance(blocked, bool):
        _bad("blocked", blocked, "true or false")
    return Geo(blocked, *(_optional_text(item, key) for key in ("ip", "country", "region")))


def server_time(item: Json) -> tuple[int, int]:
    """Read GET /time as (nanoseconds since 1970, how much later it may really be, in nanoseconds)."""
    value = item.get("time", item.get("timestamp")) if isinstance(item, dict) else item
    if isinstance(value, int) and value >= FIRST_MILLISECONDS:
        value = Decimal(value) / 1000
    elif isinstance(value, str) and value.isdecimal() and len(value) == 13:
        value = f"{value[:10]}.{value[10:]}"
    units = _e8("time", value)
    if units <= 0:
        _bad("time", value, "a time after 1970")
    return units * 10, 1_000_000 if units % SCALE else 1_000_000_000


def heartbeat_id(item: Json) -> str:
    """Read the id to send next: from a good answer, or from the one that says ours was wrong."""
    return _optional_text(_dict(item), "heartbeat_id")


def version(item: Json) -> int:
    """Read GET /version: which order version the exchange takes."""
    value = _dict(item).get("version")
    if isinstance(value, bool) or not isinstance(value, int):
        _bad("version", value, "an integer")
    return value


def tick_size(item: Json) -> str:
    """Read GET /tick-size as the venue's own text, such as ``0.01``."""
    return _decimal_text(item, "minimum_tick_size")


def neg_risk(item: Json) -> bool:
    """Read GET /neg-risk: which of the two exchange contracts settles this market."""
    value = _dict(item).get("neg_risk")
    if not isinstance(value, bool):
        _bad("neg_risk", value, "true or false")
    return value


def page(item: Json) -> tuple[list[Json], str]:
    """Read one page of a listing: its rows and the cursor of the next."""
    return _list(item, "data"), _optional_text(item, "next_cursor")


def error_text(content: bytes) -> tuple[str, float | None]:
    """Read an error's body, whatever it is: a short text and the wait that it asks for, if any."""
    try:
        item = loads(content)
    except MalformedMessageError:
        return content[:120].decode("utf-8", "replace"), None
    if not isinstance(item, dict):
        return str(item)[:120], None
    parts = [str(item[key]) for key in ("error", "error_msg", "errorMsg", "message", "code") if item.get(key)]
    wait = item.get("retry_after_seconds")
    seconds = float(wait) if isinstance(wait, (int, Decimal)) and 0 <= wait < 86400 else None
    return ": ".join(parts)[:120] or str(item)[:120], seconds


def _bad(key: str, value: object, allowed: str) -> NoReturn:
    raise MalformedMessageError(f"{key}: found {str(value)[:60]!r}, allowed is {allowed}")


def _items(content: Json) -> list[dict[str, Json]]:
    found = content if isinstance(content, list) else [content]
    return [_dict(item) for item in found]


def _dict(item: Json) -> dict[str, Json]:
    if not isinstance(item, dict):
        _bad("message", item, "an object")
    return item


def _list(item: Json, key: str) -> list[Json]:
    value = _dict(item).get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        _bad(key, value, "a list")
    return value


def _texts(item: Json, key: str) -> tuple[str, ...]:
    values = _list(item, key)
    for value in values:
        if not isinstance(value, str):
            _bad(key, value, "a list of texts")
    return tuple(values)


def _text(item: Json, key: str) -> str:
    value = _dict(item).get(key)
    if not isinstance(value, str) or not value or len(value) > 200:
        _bad(key, value, "a text")
    return value


def _optional_text(item: Json, key: str) -> str:
    value = item.get(key)
    return value[:200] if isinstance(value, str) else ""


def _e8(key: str, value: Json) -> int:
    try:
        return to_e8(value)
    except NotANumberError as error:
        raise MalformedMessageError(f"{key}: {error}") from error


def _number(item: Json, key: str, default: int | None = None) -> int:
    value = _dict(item).get(key)
    if default is not None and value in (None, ""):
        return default
    units = _e8(key, value)
    if units < 0:
        _bad(key, value, "a number that is not negative")
    return units


def _decimal_text(item: Json, key: str) -> str:
    value = _dict(item).get(key)
    units = _e8(key, value)
    if not 0 < units < SCALE:
        _bad(key, value, "a step between 0 and 1")
    return format(Decimal(units) / SCALE, "f")


def _levels(item: Json, key: str) -> tuple[tuple[int, int], ...]:
    return tuple((_number(level, "price"), _number(level, "size")) for level in _list(item, key))


def _level_change(item: Json) -> LevelChange:
    sides = {"BUY": Side.BUY, "SELL": Side.SELL}
    side = _text(item, "side").upper()
    if side not in sides:
        _bad("side", side, "BUY or SELL")
    return LevelChange(
        _text(item, "asset_id"),
        sides[side],
        _number(item, "price"),
        _number(item, "size"),
        *(None if item.get(key) in (None, "") else _number(item, key) for key in ("best_bid", "best_ask")),
    )
