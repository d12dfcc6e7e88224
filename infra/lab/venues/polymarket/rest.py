"""The REST endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiohttp import web

from infra.lab.venues.common.book import Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.faults import Faults, HttpStatus
from infra.lab.venues.common.fixed import plain_e8
from infra.lab.venues.polymarket import books, faults
from infra.lab.venues.polymarket.auth import Authority, Key
from infra.lab.venues.polymarket.errors import ClobError, bad_payload
from infra.lab.venues.polymarket.exchange import COLLATERAL, Account, Exchange, Listing
from infra.lab.venues.polymarket.geo import Geography
from infra.lab.venues.polymarket.heartbeats import DeadMan
from infra.lab.venues.polymarket.limits import Buckets
from infra.lab.venues.polymarket.orders import ClobOrder, PostedOrder

GONE = "order can't be found - already canceled or matched"


@dataclass
class Venue:
    """The parts of the venue that requests touch; ``flush`` sends the events that they caused."""

    exchange: Exchange
    authority: Authority
    geography: Geography
    dead_man: DeadMan
    buckets: Buckets
    clock: VenueClock
    record: EventRecord
    faults: Faults
    flush: Callable[[], None]
    max_batch: int
    max_cancels: int


@dataclass(frozen=True)
class Private:
    """A request that passed the L2 check."""

    key: Key
    account: Account
    body: bytes
    request: web.Request

    def json(self) -> Any:
        """Return the body as JSON; 400 if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise bad_payload() from None


Answer = Callable[[Private], Awaitable[web.Response]]


class RestEndpoints:
    """All endpoints of the CLOB and the geoblock page."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        get, post, delete = web.get, web.post, web.delete
        return [
            get("/ok", self._ok),
            get("/time", self._time),
            get("/version", self._version),
            get("/api/geoblock", self._geoblock),
            get("/tick-size", self._tick_size),
            get("/neg-risk", self._neg_risk),
            get("/fee-rate", self._fee_rate),
            get("/book", self._book),
            post("/books", self._books),
            get("/midpoint", self._midpoint),
            get("/price", self._price),
            get("/spread", self._spread),
            get("/last-trade-price", self._last_trade_price),
            get("/markets", self._markets),
            get("/simplified-markets", self._markets),
            get("/sampling-markets", self._markets),
            get("/sampling-simplified-markets", self._markets),
            get("/markets/{condition_id}", self._market),
            get("/clob-markets/{condition_id}", self._short_market),
            get("/markets-by-token/{token_id}", self._market_by_token),
            post("/auth/api-key", self._create_key),
            get("/auth/derive-api-key", self._derive_key),
            delete("/auth/api-key", self._private(self._delete_key)),
            get("/auth/api-keys", self._private(self._list_keys)),
            get("/auth/ban-status/closed-only", self._private(self._closed_only)),
            post("/order", self._private(self._post_order, new_order=True)),
            post("/orders", self._private(self._post_orders, new_order=True)),
            delete("/order", self._private(self._cancel_order)),
            delete("/orders", self._private(self._cancel_orders)),
            delete("/cancel-all", self._private(self._cancel_all)),
            delete("/cancel-market-orders", self._private(self._cancel_market_orders)),
            get("/data/orders", self._private(self._open_orders)),
            get("/data/order/{order_id}", self._private(self._order)),
            get("/data/trades", self._private(self._trades)),
            get("/balance-allowance", self._private(self._balance)),
            get("/balance-allowance/update", self._private(self._balance_update)),
            post("/v1/heartbeats", self._private(self._heartbeat)),
        ]

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn refusals into answers, and let faults strike."""
        if request.path.startswith("/ws/"):
            return await handler(request)
        fault = self._venue.faults.get(HttpStatus)
        if fault is not None and fault.paths and request.path not in fault.paths:
            fault = None
        failure = None
        if fault is not None:
            failure = ClobError(fault.status, "internal server error", retry_after=fault.retry_after)
        try:
            if failure is not None and fault is not None and not fault.after:
                raise failure
            response = await handler(request)
            if failure is not None:
                raise failure
        except ClobError as error:
            response = _refusal(error)
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        finally:
            self._venue.flush()
        return response

    async def _ok(self, _request: web.Request) -> web.Response:
        return web.json_response("OK")

    async def _time(self, _request: web.Request) -> web.Response:
        return web.json_response(self._venue.clock.seconds())

    async def _version(self, _request: web.Request) -> web.Response:
        fault = self._venue.faults.get(faults.VersionMismatch)
        return web.json_response({"version": fault.version if fault else 2})

    async def _geoblock(self, request: web.Request) -> web.Response:
        return web.json_response(self._venue.geography.document(request.remote or ""))

    def _listing(self, request: web.Request, missing: str | None = None) -> Listing:
        try:
            return self._venue.exchange.listing(request.query.get("token_id"))
        except ClobError as error:
            if missing is not None and error.status == 404:
                raise ClobError(404, missing) from None
            raise

    async def _tick_size(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"minimum_tick_size": float(self._listing(request, "market not found").tick)}
        )

    async def _neg_risk(self, request: web.Request) -> web.Response:
        return web.json_response({"neg_risk": self._listing(request, "market not found").instrument.neg_risk})

    async def _fee_rate(self, request: web.Request) -> web.Response:
        self._listing(request, "fee rate not found for market")
        return web.json_response({"base_fee": 0})

    async def _book(self, request: web.Request) -> web.Response:
        return web.json_response(books.summary(self._listing(request), self._venue.clock.ms()))

    async def _books(self, request: web.Request) -> web.Response:
        try:
            entries = await request.json()
            wanted = [str(entry["token_id"]) for entry in entries]
        except (ValueError, TypeError, KeyError):
            raise ClobError(400, "Invalid payload") from None
        if not isinstance(entries, list):
            raise ClobError(400, "Invalid payload")
        now = self._venue.clock.ms()
        listings = self._venue.exchange.listings
        return web.json_response(
            [books.summary(listings[token], now) for token in wanted if token in listings]
        )

    async def _midpoint(self, request: web.Request) -> web.Response:
        bid, ask = self._both(request)
        return web.json_response({"mid": f"{((bid + ask) / 2).normalize():f}"})

    async def _spread(self, request: web.Request) -> web.Response:
        bid, ask = self._both(request)
        return web.json_response({"spread": f"{(ask - bid).normalize():f}"})

    def _both(self, request: web.Request) -> tuple[Decimal, Decimal]:
        listing = self._listing(request)
        return Decimal(books.best(listing, Side.BUY)), Decimal(books.best(listing, Side.SELL))

    async def _price(self, request: web.Request) -> web.Response:
        listing, side = self._listing(request), request.query.get("side", "")
        if side not in Side.__members__:
            raise ClobError(400, "Invalid side")
        return web.json_response({"price": books.best(listing, Side(side))})

    async def _last_trade_price(self, request: web.Request) -> web.Response:
        listing = self._listing(request)
        price = listing.book.last_price_e8
        document = {
            "price": plain_e8(price) if price else "0.5",
            "side": listing.last_side.value if price else "",
        }
        return web.json_response(document)

    async def _markets(self, _request: web.Request) -> web.Response:
        exchange = self._venue.exchange
        instruments = {
            listing.instrument.condition_id: listing.instrument for listing in exchange.listings.values()
        }
        return web.json_response(books.page([books.market(exchange, one) for one in instruments.values()]))

    def _instrument(self, request: web.Request) -> Listing:
        condition_id = request.match_info["condition_id"]
        for listing in self._venue.exchange.listings.values():
            if listing.instrument.condition_id == condition_id:
                return listing
        raise ClobError(404, "market not found")

    async def _market(self, request: web.Request) -> web.Response:
        return web.json_response(books.market(self._venue.exchange, self._instrument(request).instrument))

    async def _short_market(self, request: web.Request) -> web.Response:
        return web.json_response(
            books.short_market(self._venue.exchange, self._instrument(request).instrument)
        )

    async def _market_by_token(self, request: web.Request) -> web.Response:
        instrument = self._venue.exchange.listing(request.match_info["token_id"]).instrument
        tokens = {"primary_token_id": instrument.yes, "secondary_token_id": instrument.no}
        return web.json_response({"condition_id": instrument.condition_id} | tokens)

    async def _create_key(self, request: web.Request) -> web.Response:
        self._venue.geography.check(request.remote or "", new_order=False)
        address, nonce = self._venue.authority.login(request.headers)
        credentials = self._venue.authority.create(address, nonce)
        self._venue.record.record("key", self._venue.exchange.account(address).name, key=credentials.api_key)
        return _credentials(credentials.api_key, credentials.secret, credentials.passphrase)

    async def _derive_key(self, request: web.Request) -> web.Response:
        address, nonce = self._venue.authority.login(request.headers)
        credentials = self._venue.authority.derive(address, nonce)
        return _credentials(credentials.api_key, credentials.secret, credentials.passphrase)

    def _private(
        self, answer: Answer, *, new_order: bool = False
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.read()
            account = ""
            try:
                self._venue.geography.check(request.remote or "", new_order=new_order)
                key = self._venue.authority.check(request.headers, request.method, request.path, body)
                private = Private(key, self._venue.exchange.account(key.address), body, request)
                account = private.account.name
                if (delay := self._venue.faults.get(faults.Delay)) is not None:
                    await asyncio.sleep(delay.ms / 1000)
                self._check_mode(request, new_order=new_order)
                return await answer(private)
            except ClobError as error:
                self._venue.record.record(
                    "reject" if new_order else "refuse",
                    account,
                    status=error.status,
                    text=error.message,
                    path=request.path,
                    address=request.remote or "",
                )
                raise

        return handle

    def _check_mode(self, request: web.Request, *, new_order: bool) -> None:
        active, trading = self._venue.faults, new_order or request.method == "DELETE"
        if (limited := active.get(faults.TooManyRequests)) is not None:
            raise ClobError(429, "Too Many Requests", retry_after=limited.retry_after)
        if trading and (restart := active.get(faults.Restart)) is not None:
            raise ClobError(
                425, "Too Early: the matching engine is restarting", retry_after=restart.retry_after
            )
        if trading and active.get(faults.Disabled) is not None:
            raise ClobError(503, "Trading is currently disabled. Check polymarket.com for updates")
        if new_order and active.get(faults.CancelOnly) is not None:
            text = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
            raise ClobError(503, text)

    async def _delete_key(self, private: Private) -> web.Response:
        self._venue.authority.delete(private.key)
        return web.json_response("OK")

    async def _list_keys(self, private: Private) -> web.Response:
        return web.json_response({"apiKeys": self._venue.authority.keys_of(private.key.address)})

    async def _closed_only(self, private: Private) -> web.Response:
        status = self._venue.geography.place(private.request.remote or "").status
        return web.json_response({"closed_only": status != "open"})

    def _place(self, private: Private, document: Any) -> dict[str, Any]:
        self._venue.record.record("sent", private.account.name, address=private.request.remote or "")
        if self._venue.faults.get(faults.VersionMismatch) is not None:
            raise ClobError(400, "order_version_mismatch")
        posted = PostedOrder.read(document)
        mode = self._venue.faults.get(faults.PostOnlyMode)
        if mode is not None and not posted.post_only:
            extra = {"code": "post_only_mode", "retry_after_seconds": mode.retry_after_seconds}
            raise ClobError(425, "only post-only orders are accepted", extra=extra)
        return self._venue.exchange.place(private.key, posted)

    async def _post_order(self, private: Private) -> web.Response:
        headers = self._venue.buckets.take(private.key.address, 1, cancel=False)
        return web.json_response(self._place(private, private.json()), headers=headers)

    async def _post_orders(self, private: Private) -> web.Response:
        documents = private.json()
        if not isinstance(documents, list) or not documents:
            raise bad_payload()
        most = self._venue.max_batch
        if len(documents) > most:
            raise ClobError(400, f"Too many orders in payload: {len(documents)}, max allowed: {most}")
        headers = self._venue.buckets.take(private.key.address, len(documents), cancel=False)
        replies = []
        for document in documents:
            try:
                replies.append(self._place(private, document))
            except ClobError as error:
                self._venue.record.record(
                    "reject", private.account.name, status=error.status, text=error.message
                )
                replies.append({"errorMsg": error.message, "orderID": "", "success": False, "status": ""})
        return web.json_response(replies, headers=headers)

    def _cancel(self, private: Private, ids: list[Any]) -> web.Response:
        headers = self._venue.buckets.take(private.key.address, max(1, len(ids)), cancel=True)
        known = {one: private.account.open.get(str(one)) for one in dict.fromkeys(map(str, ids))}
        canceled = self._venue.exchange.cancel([order for order in known.values() if order], "request")
        missing = {one: GONE for one, order in known.items() if order is None}
        return web.json_response({"canceled": canceled, "not_canceled": missing}, headers=headers)

    async def _cancel_order(self, private: Private) -> web.Response:
        document = private.json()
        if not isinstance(document, dict) or not isinstance(document.get("orderID"), str):
            raise bad_payload()
        if not document["orderID"].startswith("0x"):
            raise ClobError(400, "Invalid orderID")
        return self._cancel(private, [document["orderID"]])

    async def _cancel_orders(self, private: Private) -> web.Response:
        ids = private.json()
        if not isinstance(ids, list):
            raise bad_payload()
        if len(ids) > self._venue.max_cancels:
            raise ClobError(400, f"Too many orders in payload, max allowed: {self._venue.max_cancels}")
        return self._cancel(private, ids)

    async def _cancel_all(self, private: Private) -> web.Response:
        return self._cancel(private, list(private.account.open))

    async def _cancel_market_orders(self, private: Private) -> web.Response:
        wanted = private.json()
        if not isinstance(wanted, dict) or not set(wanted) <= {"market", "asset_id"}:
            raise bad_payload()
        return self._cancel(private, [order.id for order in _chosen(private.account, wanted)])

    async def _open_orders(self, private: Private) -> web.Response:
        orders = _chosen(private.account, dict(private.request.query))
        return web.json_response(books.page([order.document() for order in orders]))

    async def _order(self, private: Private) -> web.Response:
        order = self._venue.exchange.orders.get(private.request.match_info["order_id"])
        if order is None or order.account != private.account.address:
            raise ClobError(404, "order not found")
        return web.json_response(order.document())

    async def _trades(self, private: Private) -> web.Response:
        query, address = private.request.query, private.account.address
        rows = [
            trade.document(address)
            for trade in reversed(self._venue.exchange.trades.values())
            if address in trade.accounts()
        ]
        for name in ("id", "market", "asset_id"):
            if name in query:
                rows = [row for row in rows if row[name] == query[name]]
        if "after" in query:
            rows = [row for row in rows if int(row["match_time"]) > int(query["after"])]
        if "before" in query:
            rows = [row for row in rows if int(row["match_time"]) < int(query["before"])]
        return web.json_response(books.page(rows))

    async def _balance(self, private: Private) -> web.Response:
        kind = private.request.query.get("asset_type")
        if kind not in {"COLLATERAL", "CONDITIONAL"}:
            raise ClobError(400, "Invalid asset type")
        asset = COLLATERAL if kind == "COLLATERAL" else private.request.query.get("token_id", "")
        units = private.account.owned.get(asset, 0) // 100
        return web.json_response({"balance": str(units), "allowances": {}, "allowance": str(2**256 - 1)})

    async def _balance_update(self, private: Private) -> web.Response:
        return await self._balance(private)

    async def _heartbeat(self, private: Private) -> web.Response:
        document = private.json()
        heartbeat_id = document.get("heartbeat_id") if isinstance(document, dict) else None
        if heartbeat_id is not None and not isinstance(heartbeat_id, str):
            raise bad_payload()
        following = self._venue.dead_man.beat(private.key.credentials.api_key, heartbeat_id or "")
        self._venue.record.record("heartbeat", private.account.name)
        return web.json_response({"heartbeat_id": following})


def _chosen(account: Account, wanted: dict[str, str]) -> list[ClobOrder]:
    """Return the account's open orders that fit ``market``, ``asset_id`` and ``id`` where those are given."""
    fields: dict[str, Callable[[ClobOrder], str]] = {
        "market": lambda order: order.condition_id,
        "asset_id": lambda order: order.token_id,
        "id": lambda order: order.id,
    }
    chosen = [(read, wanted[name]) for name, read in fields.items() if wanted.get(name)]
    return [order for order in account.open.values() if all(read(order) == value for read, value in chosen)]


def _credentials(api_key: str, secret: str, passphrase: str) -> web.Response:
    return web.json_response({"apiKey": api_key, "secret": secret, "passphrase": passphrase})


def _refusal(error: ClobError) -> web.Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return web.json_response(error.document(), status=error.status, headers=headers)
