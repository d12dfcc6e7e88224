"""The simulated venue as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any

from aiohttp import web

from infra.lab.venues.binance import faults as known_faults
from infra.lab.venues.binance.config import BinanceAccount, BinanceConfig
from infra.lab.venues.binance.door import Door
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.exchange import Exchange, Listing
from infra.lab.venues.binance.limits import RateLimits
from infra.lab.venues.binance.rest import RestFrontEnd, restricted_response
from infra.lab.venues.binance.security import Keys
from infra.lab.venues.binance.streams import MAX_STREAMS, Feed, StreamClient
from infra.lab.venues.binance.ws_api import CONNECT_WEIGHT, Session
from infra.lab.venues.common import admin
from infra.lab.venues.common.book import MARKET_ACCOUNT, Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.faults import ClockOffset, Faults
from infra.lab.venues.common.fixed import decimal_e8, format_e8
from infra.lab.venues.common.sockets import ClientSocket, SocketRules
from infra.plan.model import Closed


class BinanceSimulator:
    """Binance spot. Everything happens on one event loop, so a request is matched without interruption."""

    name = "binance"

    def __init__(self, config: BinanceConfig) -> None:
        self._config = config
        self.record = EventRecord()
        self.faults = Faults(known_faults.KNOWN)
        self._clock = VenueClock()
        self._limits = RateLimits(config.limits, self._clock)
        self._keys = Keys()
        self._sessions: set[Session] = set()
        self._clients: set[StreamClient] = set()
        self._pending: list[tuple[str, dict[str, Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._exchange = Exchange(
            config,
            self._clock,
            self.record,
            limits=self._limits,
            publish=lambda account, event: self._pending.append((account, event)),
            traded=lambda symbol, fill: self._feed.traded(symbol, fill),  # noqa: PLW0108 - made below
        )
        self._feed = Feed(self._exchange, self._clock, self._clients)
        for account in config.accounts:
            self._keys.add(account)
        self._door = Door(
            self._exchange,
            keys=self._keys,
            limits=self._limits,
            clock=self._clock,
            record=self.record,
            faults=self.faults,
        )
        self._rest = RestFrontEnd(self._door, self._flush)

    def public(self) -> web.Application:
        """REST under /api, the WebSocket API and the streams, on every listener."""
        app = web.Application(middlewares=[self._at_the_border])
        app.router.add_get("/ws-api/v3", self._serve_ws_api)
        app.router.add_get("/ws", self._serve_raw_streams)
        app.router.add_get("/ws/{streams:.+}", self._serve_raw_streams)
        app.router.add_get("/stream", self._serve_combined_streams)
        app.router.add_route("*", "/{path:.*}", self._rest.handle)
        return app

    def admin(self) -> web.Application:
        """Return the lab's endpoints."""
        return admin.application(self)

    async def run(self) -> None:
        """Move every market and send the depth streams."""
        jobs = [self._move(listing) for listing in self._exchange.listings.values()]
        await asyncio.gather(*jobs, self._send_depth("@100ms", 0.1), self._send_depth("", 1.0))

    async def _move(self, listing: Listing) -> None:
        while True:
            await asyncio.sleep(listing.market.shape.interval_ms / 1000)
            self._exchange.step(listing)
            self._flush()

    async def _send_depth(self, speed: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self.faults.get(known_faults.SilentStreams) is None:
                self._feed.publish_depth(speed)

    def stop(self) -> None:
        """Close all sockets."""
        for socket in self._sockets():
            socket.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for account, event in pending:
            for session in self._sessions:
                session.deliver(account, event)
        if self.faults.get(known_faults.SilentStreams) is None:
            self._feed.publish()

    def _sockets(self, kinds: tuple[str, ...] = ("ws_api", "streams")) -> list[ClientSocket]:
        sockets = [session.socket for session in self._sessions] + [client.socket for client in self._clients]
        return [socket for socket in sockets if socket.kind in kinds]

    @web.middleware
    async def _at_the_border(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        address = ip_address(request.remote or "0.0.0.0")  # noqa: S104 - a source address, nothing is bound
        blocked = self.faults.get(known_faults.BlockAddresses)
        networks = [*self._config.blocked_addresses, *map(ip_network, blocked.addresses if blocked else ())]
        if any(address in network for network in networks):
            self.record.record("blocked", address=str(address), path=request.path)
            return restricted_response()
        use = "ws_api" if request.path.startswith("/ws-api") else "rest"
        use = "streams" if request.path.startswith(("/ws/", "/stream")) or request.path == "/ws" else use
        host = (request.host or "").partition(":")[0]
        if use not in self._config.hosts.get(host, (use,)):
            return web.Response(status=404, text=f"{host} does not serve {use}")
        return await handler(request)

    def _admit(self, request: web.Request, kind: str) -> web.Response | None:
        refused = self.faults.get(known_faults.RefuseConnections)
        if refused is not None and kind in refused.kinds:
            return web.Response(status=503)
        try:
            self._limits.connect(request.remote or "")
            if kind == "ws_api":
                self._limits.spend(request.remote or "", CONNECT_WEIGHT)
        except ApiError as error:
            return web.json_response(error.document(), status=error.status)
        return None

    def _socket(self, kind: str, request: web.Request, inbound_per_second: int = 0) -> ClientSocket:
        times = self._config.sockets
        rules = SocketRules(times.ping_every, times.pong_within, times.life, inbound_per_second)
        socket = ClientSocket(kind, request, rules, self.record)
        socket.ignore_pongs = self.faults.get(known_faults.IgnorePongs) is not None
        return socket

    async def _serve_ws_api(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._admit(request, "ws_api")) is not None:
            return refusal
        show_limits = request.query.get("returnRateLimits", "true") != "false"
        session = Session(self._socket("ws_api", request), self._door, self._flush, show_limits=show_limits)
        self._sessions.add(session)
        try:
            return await session.socket.run(session.on_text)
        finally:
            self._sessions.discard(session)

    async def _serve_raw_streams(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info.get("streams", "").split("/")
        return await self._serve_streams(request, names, combined=False)

    async def _serve_combined_streams(self, request: web.Request) -> web.StreamResponse:
        return await self._serve_streams(request, request.query.get("streams", "").split("/"), combined=True)

    async def _serve_streams(
        self, request: web.Request, names: list[str], *, combined: bool
    ) -> web.StreamResponse:
        if (refusal := self._admit(request, "streams")) is not None:
            return refusal
        wanted = [name for name in names if name]
        if len(wanted) > MAX_STREAMS:
            return web.Response(status=400, text=f"more than {MAX_STREAMS} streams")
        socket = self._socket("streams", request, self._config.sockets.stream_messages_per_second)
        client = StreamClient(socket, wanted, combined=combined)
        self._clients.add(client)
        try:
            return await socket.run(client.on_text)
        finally:
            self._clients.discard(client)

    def state(self) -> dict[str, Any]:
        """Open orders, counters and flatness by account, the markets and the connections."""
        accounts = self._exchange.accounts.values()
        counters = {account.name: self.record.counters(account.name) for account in accounts}
        return {
            "venue": self.name,
            "last_event": self.record.last,
            "open_orders": {
                account.name: [order.queried() for order in account.open.values()] for account in accounts
            },
            "flat": {account.name: self.record.flatness(account.name) for account in accounts},
            "counters": counters,
            "totals": admin.totals(counters),
            "balances": {
                account.name: {
                    asset: {"free": format_e8(balance.free), "locked": format_e8(balance.locked)}
                    for asset, balance in account.balances.items()
                }
                for account in accounts
            },
            "market": {
                symbol: self._market_state(listing) for symbol, listing in self._exchange.listings.items()
            },
            "connections": [socket.document() for socket in self._sockets()],
        }

    @staticmethod
    def _market_state(listing: Listing) -> dict[str, Any]:
        bid, ask = listing.book.best(Side.BUY), listing.book.best(Side.SELL)
        return {
            "mid": format_e8(listing.market.mid_e8),
            "bid": format_e8(bid[0]) if bid else None,
            "ask": format_e8(ask[0]) if ask else None,
            "frozen": listing.market.frozen,
        }

    def fault_changed(self, fault: Closed | None) -> None:
        """Carry out what a fault does at once."""
        offset = self.faults.get(ClockOffset)
        self._clock.offset_ns = offset.ms * 1_000_000 if offset else 0
        rejected = self.faults.get(known_faults.RejectKeys)
        self._keys.rejected_accounts = set(rejected.accounts) if rejected else set()
        deaf = self.faults.get(known_faults.IgnorePongs) is not None
        for socket in self._sockets():
            socket.ignore_pongs = deaf
        if fault is None:
            self._limits.lift()
        elif isinstance(fault, known_faults.BanAddress):
            self._limits.ban(fault.address, fault.seconds)
        elif isinstance(fault, known_faults.DropConnections):
            for socket in self._sockets(fault.kinds):
                if fault.clean:
                    socket.close()
                else:
                    socket.abort()
        elif isinstance(fault, known_faults.ServerShutdown):
            self._announce_shutdown(fault)

    def _announce_shutdown(self, fault: known_faults.ServerShutdown) -> None:
        event = {"e": "serverShutdown", "E": self._clock.ms()}
        sockets = self._sockets(fault.kinds)
        combined = {client.socket for client in self._clients if client.combined}
        for socket in sockets:
            if socket.kind == "ws_api":
                socket.send({"event": event})
            else:
                socket.send({"stream": "!serverShutdown", "data": event} if socket in combined else event)

        async def close_later() -> None:
            await asyncio.sleep(fault.grace_ms / 1000)
            for socket in sockets:
                socket.close()

        task = asyncio.get_running_loop().create_task(close_later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def move_market(self, document: dict[str, Any]) -> dict[str, Any]:
        """Set the mid of a symbol (the only one if not named), or freeze or thaw it."""
        symbol = document.get("symbol") or next(iter(self._exchange.listings))
        if symbol not in self._exchange.listings:
            raise ValueError(f"no symbol {symbol!r}; there are {', '.join(self._exchange.listings)}")
        if unknown := set(document) - {"symbol", "mid", "frozen"}:
            raise ValueError(f"unknown keys {sorted(unknown)}; allowed: symbol, mid, frozen")
        listing = self._exchange.listings[symbol]
        if "frozen" in document:
            listing.market.frozen = bool(document["frozen"])
        if "mid" in document:
            listing.market.set_mid(decimal_e8(Decimal(str(document["mid"]))))
            self._exchange.settle_ladder(listing)
        self._flush()
        return self._market_state(listing)

    def add_account(self, document: dict[str, Any]) -> None:
        """Add an account, or give a known one new keys."""
        account = BinanceAccount.model_validate(document)
        if account.name == MARKET_ACCOUNT:
            raise ValueError("an account needs a name")
        self._exchange.add_account(account)
        self._keys.add(account)
