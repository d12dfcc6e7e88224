"""The simulated venue as a whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from infra.lab.venues.common import admin
from infra.lab.venues.common.book import Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.faults import ClockOffset, Faults
from infra.lab.venues.common.fixed import decimal_e8, plain_e8
from infra.lab.venues.common.sockets import ClientSocket, SocketRules
from infra.lab.venues.polymarket import books
from infra.lab.venues.polymarket import faults as known_faults
from infra.lab.venues.polymarket.auth import Authority
from infra.lab.venues.polymarket.channels import Feed, MarketClient, UserClient
from infra.lab.venues.polymarket.config import PolymarketAccount, PolymarketConfig
from infra.lab.venues.polymarket.exchange import AMOUNT_DECIMALS, Exchange, Listing
from infra.lab.venues.polymarket.geo import Geography
from infra.lab.venues.polymarket.heartbeats import DeadMan
from infra.lab.venues.polymarket.limits import Buckets
from infra.lab.venues.polymarket.rest import RestEndpoints, Venue
from infra.plan.model import Closed


class PolymarketSimulator:
    """The CLOB. Everything happens on one event loop, so a request is matched without interruption."""

    name = "polymarket"

    def __init__(self, config: PolymarketConfig) -> None:
        self._config = config
        self.record = EventRecord()
        self.faults = Faults(known_faults.KNOWN)
        self._clock = VenueClock()
        self._authority = Authority(config.chain_id, self._clock, config.timestamp_tolerance_s, config.seed)
        self._markets: set[MarketClient] = set()
        self._users: set[UserClient] = set()
        self._pending: list[tuple[str, str, dict[str, Any]]] = []
        self._exchange = Exchange(
            config,
            self._clock,
            self.record,
            publish=lambda address, market, event: self._pending.append((address, market, event)),
            traded=lambda listing, fill: self._feed.traded(listing, fill),  # noqa: PLW0108 - made below
        )
        self._feed = Feed(self._exchange, self._clock, self._markets)
        self._dead_man = DeadMan(config.heartbeats, self._heartbeats_stopped)
        for account in config.accounts:
            self._add_keys(account)
        self._rest = RestEndpoints(
            Venue(
                exchange=self._exchange,
                authority=self._authority,
                geography=Geography(config.places, self.faults),
                dead_man=self._dead_man,
                buckets=Buckets(config.limits),
                clock=self._clock,
                record=self.record,
                faults=self.faults,
                flush=self._flush,
                max_batch=config.limits.max_batch,
                max_cancels=config.limits.max_cancels,
            )
        )

    def public(self) -> web.Application:
        """Build REST, geoblock and both channels, all on every listener."""
        app = web.Application(middlewares=[self._rest.guard])
        app.router.add_routes(self._rest.routes())
        app.router.add_get("/ws/market", self._serve_market)
        app.router.add_get("/ws/user", self._serve_user)
        return app

    def admin(self) -> web.Application:
        """Build the lab's endpoints."""
        return admin.application(self)

    async def run(self) -> None:
        """Move every market, check heartbeats, settle trades and close silent sockets."""
        jobs: list[Awaitable[None]] = [self._move(listing) for listing in self._exchange.listings.values()]
        jobs.append(self._every(self._config.heartbeats.check_s, self._dead_man.check))
        jobs.append(self._every(0.05, self._settle_trades))
        await asyncio.gather(*jobs)

    async def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            act()
            self._flush()

    async def _move(self, listing: Listing) -> None:
        await self._every(listing.market.shape.interval_ms / 1000, lambda: self._exchange.step(listing))

    def _settle_trades(self) -> None:
        times = self._config.settlement
        for trade in list(self._exchange.unsettled):
            age_ms = time.monotonic_ns() // 1_000_000 - trade.matched_mono_ms
            if trade.status == "MATCHED" and age_ms >= times.mined_ms:
                trade.status, trade.hash_known = "MINED", True
            elif trade.status == "MINED" and age_ms >= times.confirmed_ms:
                trade.status = "CONFIRMED"
                self._exchange.unsettled.remove(trade)
            else:
                continue
            trade.updated_s = self._clock.seconds()
            self._exchange.publish_trade(trade)

    def stop(self) -> None:
        """Close all sockets."""
        for socket in self._sockets():
            socket.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if self.faults.get(known_faults.SilentUser) is None:
            for address, market, event in pending:
                for client in self._users:
                    client.deliver(address, market, event)
        if self.faults.get(known_faults.SilentMarket) is None:
            self._feed.publish()

    def _heartbeats_stopped(self, api_key: str) -> None:
        for account in self._exchange.accounts.values():
            orders = [order for order in account.open.values() if order.owner == api_key]
            if orders or api_key in self._authority.keys_of(account.address):
                canceled = self._exchange.cancel(orders, "heartbeat")
                self.record.record("heartbeat_expired", account.name, key=api_key, canceled=len(canceled))

    def _sockets(self, kinds: tuple[str, ...] = ("market", "user")) -> list[ClientSocket]:
        sockets = [client.socket for client in self._markets] + [client.socket for client in self._users]
        return [socket for socket in sockets if socket.kind in kinds]

    def _socket(self, kind: str, request: web.Request) -> ClientSocket:
        refused = self.faults.get(known_faults.RefuseConnections)
        if refused is not None and kind in refused.kinds:
            raise web.HTTPServiceUnavailable
        times = self._config.sockets
        rules = SocketRules(life=times.life, speak_within=times.subscribe_within, silence=times.silence)
        return ClientSocket(kind, request, rules, self.record)

    async def _serve_market(self, request: web.Request) -> web.StreamResponse:
        client = MarketClient(self._socket("market", request), self._exchange, self._clock)
        self._markets.add(client)
        try:
            return await client.socket.run(client.on_text)
        finally:
            self._markets.discard(client)

    async def _serve_user(self, request: web.Request) -> web.StreamResponse:
        client = UserClient(self._socket("user", request), self._authority, self._exchange, self.record)
        self._users.add(client)
        try:
            return await client.socket.run(client.on_text)
        finally:
            self._users.discard(client)

    def state(self) -> dict[str, Any]:
        """Return open orders, counters and flatness by account, the markets and the connections."""
        accounts = self._exchange.accounts.values()
        counters = {account.name: self.record.counters(account.name) for account in accounts}
        return {
            "venue": self.name,
            "last_event": self.record.last,
            "open_orders": {
                account.name: [order.document() for order in account.open.values()] for account in accounts
            },
            "flat": {account.name: self.record.flatness(account.name) for account in accounts},
            "counters": counters,
            "totals": admin.totals(counters),
            "balances": {
                account.name: {asset: plain_e8(amount) for asset, amount in account.owned.items()}
                for account in accounts
            },
            "heartbeats": self._dead_man.armed(),
            "market": {token: self._market_state(one) for token, one in self._exchange.listings.items()},
            "connections": [socket.document() for socket in self._sockets()],
        }

    @staticmethod
    def _market_state(listing: Listing) -> dict[str, Any]:
        return {
            "mid": plain_e8(listing.market.mid_e8),
            "bid": books.best(listing, Side.BUY),
            "ask": books.best(listing, Side.SELL),
            "tick": listing.tick,
            "frozen": listing.market.frozen,
        }

    def fault_changed(self, fault: Closed | None) -> None:
        """Carry out what a fault does at once."""
        offset = self.faults.get(ClockOffset)
        self._clock.offset_ns = offset.ms * 1_000_000 if offset else 0
        rejected = self.faults.get(known_faults.RejectKeys)
        names = set(rejected.accounts) if rejected else set()
        self._authority.rejected = {
            one.address for one in self._exchange.accounts.values() if one.name in names
        }
        if isinstance(fault, known_faults.DropConnections):
            for socket in self._sockets(fault.kinds):
                if fault.clean:
                    socket.close()
                else:
                    socket.abort()

    def move_market(self, document: dict[str, Any]) -> dict[str, Any]:
        """Set a token's mid (the first one if not named), freeze or thaw it, or change its tick size."""
        token = str(document.get("symbol") or next(iter(self._exchange.listings)))
        if token not in self._exchange.listings:
            raise ValueError(f"no token {token!r}; there are {', '.join(self._exchange.listings)}")
        if unknown := set(document) - {"symbol", "mid", "frozen", "tick"}:
            raise ValueError(f"unknown keys {sorted(unknown)}; allowed: symbol, mid, frozen, tick")
        listing = self._exchange.listings[token]
        if "frozen" in document:
            listing.market.frozen = bool(document["frozen"])
        if "tick" in document:
            if document["tick"] not in AMOUNT_DECIMALS:
                raise ValueError(f"tick {document['tick']!r}; allowed: {', '.join(AMOUNT_DECIMALS)}")
            old, listing.tick = listing.tick, document["tick"]
            self._feed.tick_changed(listing, old)
        if "mid" in document:
            listing.market.set_mid(decimal_e8(Decimal(str(document["mid"]))))
            self._exchange.settle_ladder(listing)
        self._flush()
        return self._market_state(listing)

    def add_account(self, document: dict[str, Any]) -> None:
        """Add an account, or give a known one new keys."""
        account = PolymarketAccount.model_validate(document)
        self._exchange.add_account(account)
        self._authority.drop(account.address)
        self._add_keys(account)

    def _add_keys(self, account: PolymarketAccount) -> None:
        for credentials in account.keys:
            self._authority.add(credentials, account.address)
