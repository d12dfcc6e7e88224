"""What can be asked of the venue, the same over REST and over the WebSocket API.

Each operation knows its weight, the permission it needs and the parameters it takes; the two front
ends only differ in how a request is carried and signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.config import Permission
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.exchange import Account, Exchange, Listing
from infra.lab.venues.binance.limits import RateLimits
from infra.lab.venues.binance.orders import ResponseType, SpotOrder
from infra.lab.venues.common.book import Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.fixed import format_e8, parse_e8

DECIMAL_FORM = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_FORM = r"^[a-zA-Z0-9-_]{1,36}$"
SYMBOL_FORM = r"^[\w\-._&&[^a-z]]{1,50}$"
"""As the venue prints it in its refusals (Java's notation: no lower-case letters)."""

TIME_PARAMETERS = frozenset({"timestamp", "recvWindow", "signature", "apiKey"})
ORDER_PARAMETERS = frozenset(
    {
        "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId",
        "newOrderRespType", "selfTradePreventionMode", "strategyId", "strategyType",
    }
)  # fmt: skip
UNSUPPORTED_ORDER_PARAMETERS = frozenset(
    {"stopPrice", "trailingDelta", "icebergQty", "pegPriceType", "pegOffsetValue", "pegOffsetType"}
)


@dataclass(frozen=True)
class Call:
    """One request that passed the door: its parameters as text, and the account (None if public)."""

    exchange: Exchange
    limits: RateLimits
    clock: VenueClock
    parameters: Mapping[str, str]
    account: Account | None

    @property
    def owner(self) -> Account:
        """The account of a signed request."""
        assert self.account is not None
        return self.account

    def text(self, name: str) -> str | None:
        """Return a parameter, or None if it was not sent; -1105 if it is empty."""
        value = self.parameters.get(name)
        if value == "":
            raise ApiError(400, -1105, f"Parameter '{name}' was empty.")
        return value

    def needed(self, name: str) -> str:
        """Return a parameter that must be there; -1102 if it is not."""
        value = self.parameters.get(name)
        if not value:
            raise errors.missing(name)
        return value

    def amount(self, name: str) -> int | None:
        """Return a decimal parameter in units of 1e-8; -1100 for no decimal, -1111 for over 8 decimals."""
        text = self.text(name)
        if text is None:
            return None
        if not re.fullmatch(DECIMAL_FORM, text):
            raise errors.illegal(name, DECIMAL_FORM)
        try:
            return parse_e8(text)
        except ValueError:
            raise ApiError(400, -1111, f"Parameter '{name}' has too much precision.") from None

    def whole(self, name: str) -> int | None:
        """Return a whole-number parameter."""
        text = self.text(name)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,20}", text):
            raise errors.illegal(name, "^[0-9]{1,20}$")
        return int(text)

    def client_id(self, name: str) -> str | None:
        """Return a client order id."""
        text = self.text(name)
        if text is not None and not re.fullmatch(CLIENT_ID_FORM, text, re.ASCII):
            raise errors.illegal(name, CLIENT_ID_FORM)
        return text

    def listing(self) -> Listing:
        """Return the listing of ``symbol``; -1100 for a malformed one, -1121 for an unknown one."""
        symbol = self.needed("symbol")
        if not re.fullmatch(r"[\w.\-&]{1,50}", symbol) or symbol != symbol.upper():
            raise errors.illegal("symbol", SYMBOL_FORM)
        return self.exchange.listing(symbol)


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked. ``permission`` None: public, no key needed."""

    answer: Callable[[Call], Any]
    parameters: frozenset[str] = frozenset()
    permission: Permission | None = None
    weight: int | Callable[[Mapping[str, str]], int] = 1
    places_order: bool = False

    def weigh(self, parameters: Mapping[str, str]) -> int:
        """Return the weight of a request with these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)

    def check_parameters(self, parameters: Mapping[str, str]) -> None:
        """-1104 for a parameter that this operation does not know."""
        known = self.parameters | (TIME_PARAMETERS if self.permission else frozenset())
        read = sum(name in known for name in parameters)
        if read != len(parameters):
            counts = f"read '{read}' parameter(s) but was sent '{len(parameters)}'."
            raise ApiError(400, -1104, f"Not all sent parameters were read; {counts}")


def _ping(_call: Call) -> Any:
    return {}


def _time(call: Call) -> Any:
    return {"serverTime": call.clock.ms()}


def _exchange_info(call: Call) -> Any:
    wanted = call.text("symbols")
    if (one := call.text("symbol")) is not None:
        listings = [call.exchange.listing(one)]
    elif wanted is not None:
        listings = [call.exchange.listing(name) for name in re.findall(r"[^\[\]\",\s]+", wanted)]
    else:
        listings = list(call.exchange.listings.values())
    return {
        "timezone": "UTC",
        "serverTime": call.clock.ms(),
        "rateLimits": call.limits.definitions(),
        "exchangeFilters": [],
        "symbols": [listing.rules.document() for listing in listings],
    }


def _depth(call: Call) -> Any:
    book, limit = call.listing().book, call.whole("limit") or 100
    bids, asks = (
        [[format_e8(price), format_e8(quantity)] for price, quantity in book.depth(side, min(limit, 5000))]
        for side in Side
    )
    return {"lastUpdateId": book.sequence, "bids": bids, "asks": asks}


def depth_weight(parameters: Mapping[str, str]) -> int:
    """Weight of a depth request, by its limit."""
    limit = int(parameters.get("limit", "100")) if parameters.get("limit", "100").isdigit() else 100
    return next(weight for most, weight in ((100, 5), (500, 25), (1000, 50), (10**20, 250)) if limit <= most)


def _ticker(listing: Listing) -> dict[str, str]:
    bid, ask = listing.book.best(Side.BUY) or (0, 0), listing.book.best(Side.SELL) or (0, 0)
    return {
        "symbol": listing.instrument.symbol,
        "bidPrice": format_e8(bid[0]),
        "bidQty": format_e8(bid[1]),
        "askPrice": format_e8(ask[0]),
        "askQty": format_e8(ask[1]),
    }


def _book_ticker(call: Call) -> Any:
    if call.text("symbol") is not None:
        return _ticker(call.listing())
    return [_ticker(listing) for listing in call.exchange.listings.values()]


def _order(call: Call, *, test: bool) -> SpotOrder:
    if extra := UNSUPPORTED_ORDER_PARAMETERS & set(call.parameters):
        raise ApiError(400, -1106, f"Parameter '{min(extra)}' sent when not required.")
    listing = call.listing()
    side, kind = call.needed("side"), call.needed("type")
    if side not in Side.__members__:
        raise ApiError(400, -1117, "Invalid side.")
    if kind not in {"LIMIT", "LIMIT_MAKER", "MARKET"}:
        raise ApiError(400, -1116, "Invalid orderType.")
    if (mode := call.text("selfTradePreventionMode")) not in {None, "NONE"}:
        raise ApiError(400, -1130, f"Data sent for parameter 'selfTradePreventionMode' is not valid: {mode}")
    lasting = _lasting(call, kind)
    price, quantity, quote = _amounts(call, kind)
    return call.exchange.place(
        call.owner,
        listing,
        side=Side(side),
        kind=kind,
        time_in_force=lasting,
        price_e8=price,
        quantity_e8=quantity,
        quote_quantity_e8=quote,
        client_id=call.client_id("newClientOrderId"),
        test=test,
    )


def _lasting(call: Call, kind: str) -> str:
    """Return the time in force; only LIMIT orders have one to choose."""
    if kind != "LIMIT":
        if call.text("timeInForce") is not None:
            raise ApiError(400, -1106, "Parameter 'timeInForce' sent when not required.")
        return "GTC"
    lasting = call.needed("timeInForce")
    if lasting not in {"GTC", "IOC", "FOK"}:
        raise ApiError(400, -1115, "Invalid timeInForce.")
    return lasting


def _amounts(call: Call, kind: str) -> tuple[int, int, int]:
    """Return price, quantity and quote quantity, 0 for what this type of order does not take."""
    unwanted = "price" if kind == "MARKET" else "quoteOrderQty"
    if call.text(unwanted) is not None:
        raise ApiError(400, -1106, f"Parameter '{unwanted}' sent when not required.")
    quantity, quote = call.amount("quantity"), call.amount("quoteOrderQty")
    if kind != "MARKET":
        for name in ("quantity", "price"):
            call.needed(name)
    elif quantity is None and quote is None:
        text = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
        raise ApiError(400, -1102, text)
    elif quantity is not None and quote is not None:
        raise ApiError(400, -1128, "Combination of optional parameters invalid.")
    return call.amount("price") or 0, quantity or 0, quote or 0


def _place(call: Call) -> Any:
    response: ResponseType
    match call.text("newOrderRespType"):
        case None | "FULL":
            response = "FULL"
        case "ACK":
            response = "ACK"
        case "RESULT":
            response = "RESULT"
        case _:
            raise ApiError(400, -1100, "Illegal characters found in parameter 'newOrderRespType'.")
    call.limits.check_orders(call.owner.name)
    return _order(call, test=False).placed(response)


def _test(call: Call) -> Any:
    _order(call, test=True)
    return {}


def _which(call: Call) -> SpotOrder | None:
    listing = call.listing()
    number, client_id = call.whole("orderId"), call.client_id("origClientOrderId")
    if number is None and client_id is None:
        raise ApiError(
            400, -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    return call.exchange.find(call.owner, listing.instrument.symbol, number, client_id)


def _cancel(call: Call) -> Any:
    new_id = call.client_id("newClientOrderId")
    restriction = call.text("cancelRestrictions")
    if restriction not in {None, "ONLY_NEW", "ONLY_PARTIALLY_FILLED"}:
        raise ApiError(400, -1145, "Invalid cancelRestrictions")
    order = _which(call)
    if order is None or order.number not in call.owner.open:
        raise errors.cancel_refused()
    if restriction is not None and order.status != restriction.removeprefix("ONLY_"):
        raise errors.cancel_refused("Order was not canceled due to cancel restrictions.")
    return call.exchange.cancel(call.owner, order, new_id)


def _status(call: Call) -> Any:
    order = _which(call)
    if order is None:
        raise ApiError(400, -2013, "Order does not exist.")
    return order.queried()


def _open_orders(call: Call) -> Any:
    symbol = call.listing().instrument.symbol if call.text("symbol") is not None else None
    return [order.queried() for order in call.exchange.open_orders(call.owner, symbol)]


def _cancel_all(call: Call) -> Any:
    orders = call.exchange.open_orders(call.owner, call.listing().instrument.symbol)
    if not orders:
        raise errors.cancel_refused()
    return [call.exchange.cancel(call.owner, order) for order in orders]


def _account(call: Call) -> Any:
    hide_zero = call.text("omitZeroBalances") == "true"
    maker, taker = call.exchange.fees()
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "commissionRates": {
            "maker": f"{maker:.8f}",
            "taker": f"{taker:.8f}",
            "buyer": f"{Decimal(0):.8f}",
            "seller": f"{Decimal(0):.8f}",
        },
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.owner.updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": format_e8(balance.free), "locked": format_e8(balance.locked)}
            for asset, balance in sorted(call.owner.balances.items())
            if balance.free or balance.locked or not hide_zero
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def _order_count(call: Call) -> Any:
    lines = call.limits.usage("", call.owner.name)
    return [line for line in lines if line["rateLimitType"] == "ORDERS"]


_SYMBOL = frozenset({"symbol"})
_WHICH = frozenset({"symbol", "orderId", "origClientOrderId"})
_SENT = ORDER_PARAMETERS | UNSUPPORTED_ORDER_PARAMETERS

PING = Operation(_ping)
TIME = Operation(_time)
EXCHANGE_INFO = Operation(
    _exchange_info,
    frozenset({"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"}),
    weight=20,
)
DEPTH = Operation(_depth, frozenset({"symbol", "limit"}), weight=depth_weight)
BOOK_TICKER = Operation(
    _book_ticker, frozenset({"symbol"}), weight=lambda parameters: 2 if "symbol" in parameters else 4
)
PLACE = Operation(_place, _SENT, "TRADE", places_order=True)
TEST = Operation(_test, _SENT | {"computeCommissionRates"}, "TRADE")
CANCEL = Operation(_cancel, _WHICH | {"newClientOrderId", "cancelRestrictions"}, "TRADE")
CANCEL_ALL = Operation(_cancel_all, _SYMBOL, "TRADE")
STATUS = Operation(_status, _WHICH, "USER_DATA", weight=4)
OPEN_ORDERS = Operation(
    _open_orders, _SYMBOL, "USER_DATA", weight=lambda parameters: 6 if "symbol" in parameters else 80
)
ACCOUNT = Operation(_account, frozenset({"omitZeroBalances"}), "USER_DATA", weight=20)
ORDER_COUNT = Operation(_order_count, frozenset(), "USER_DATA", weight=40)

REST = {
    ("GET", "/api/v3/ping"): PING,
    ("GET", "/api/v3/time"): TIME,
    ("GET", "/api/v3/exchangeInfo"): EXCHANGE_INFO,
    ("GET", "/api/v3/depth"): DEPTH,
    ("GET", "/api/v3/ticker/bookTicker"): BOOK_TICKER,
    ("POST", "/api/v3/order"): PLACE,
    ("POST", "/api/v3/order/test"): TEST,
    ("DELETE", "/api/v3/order"): CANCEL,
    ("GET", "/api/v3/order"): STATUS,
    ("GET", "/api/v3/openOrders"): OPEN_ORDERS,
    ("DELETE", "/api/v3/openOrders"): CANCEL_ALL,
    ("GET", "/api/v3/account"): ACCOUNT,
    ("GET", "/api/v3/rateLimit/order"): ORDER_COUNT,
}
WS_API = {
    "ping": PING,
    "time": TIME,
    "exchangeInfo": EXCHANGE_INFO,
    "depth": DEPTH,
    "ticker.book": BOOK_TICKER,
    "order.place": PLACE,
    "order.test": TEST,
    "order.cancel": CANCEL,
    "order.status": STATUS,
    "openOrders.status": OPEN_ORDERS,
    "openOrders.cancelAll": CANCEL_ALL,
    "account.status": ACCOUNT,
    "account.rateLimits.orders": ORDER_COUNT,
}
