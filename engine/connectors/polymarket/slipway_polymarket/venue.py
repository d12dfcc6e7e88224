"""The venue's REST API through the official client, made fit for an event loop.

The client signs (EIP-712, L2 HMAC) and shapes requests; its calls block, so they run in threads:
orders, cancels, queries and heartbeats each have their own, so that no kind waits for another.
Three things are ours: the transport (time-outs, the system's trust store, Retry-After kept), exact
amounts (the client's go through floats and lose a cent at 0.29), and no polling for settlement.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from eth_account.messages import encode_typed_data
from py_clob_client_v2 import ApiCreds, ClobClient, OrderPayload  # type: ignore[import-untyped]
from py_clob_client_v2.config import get_contract_config  # type: ignore[import-untyped]
from py_clob_client_v2.constants import (  # type: ignore[import-untyped]
    END_CURSOR,
    INITIAL_CURSOR,
    ORDER_VERSION_MISMATCH_ERROR,
)
from py_clob_client_v2.endpoints import ORDERS, TRADES  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import (  # type: ignore[import-untyped]
    ExchangeOrderBuilderV2,
)
from py_clob_client_v2.order_utils.model.order_data_v2 import (  # type: ignore[import-untyped]
    OrderDataV2,
    SignedOrderV2,
)
from py_clob_client_v2.order_utils.model.side import Side as ChainSide  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils.model.signature_type_v2 import (  # type: ignore[import-untyped]
    SignatureTypeV2,
)

from . import messages
from .errors import MalformedMessageError, RefusedError, VenueError
from .fixed import CHAIN_UNIT, SCALE, to_e8, to_text
from .heartbeat import WrongHeartbeatIdError
from .wire import Side, Tif

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import Settings
    from .credentials import Credentials

TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"
TIMEOUT = httpx.Timeout(5.0, connect=3.0)
KEEP_WARM_S = 50.0
"""Idle connections live this long: less than servers keep theirs, so none dies under an order."""

MOST_PAGES = 100
CENT_E8, CENT = 1_000_000, 10_000
"""0.01 in 1e-8 units, and in base units of the chain."""

SIGNED_VERSIONS = (2, 3)
"""Order versions that share the V2 struct; version 1 is dead since April 2026."""

T = TypeVar("T")


def system_trust() -> ssl.SSLContext:
    """TLS as the host trusts it: the system's store, not the bundle of a Python package."""
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE", TRUST_STORE))


@dataclass(frozen=True, slots=True)
class Market:
    """What an order for this market must know; fetched once, so that an order costs one request."""

    symbol: str
    tick_e8: int
    neg_risk: bool


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to sign: price and quantity in 1e-8 units."""

    market: Market
    side: Side
    tif: Tif
    price_e8: int
    quantity_e8: int


class _Client(ClobClient):  # type: ignore[misc]
    """The official client over our transport."""

    def __init__(self, transport: httpx.Client, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._transport = transport

    def _get(self, endpoint: str, headers: Any = None, params: Any = None) -> Any:
        return self._request("GET", endpoint, headers, None, params)

    def _post(self, endpoint: str, headers: Any = None, data: Any = None, params: Any = None) -> Any:
        return self._request("POST", endpoint, headers, data, params)

    def _delete(self, endpoint: str, headers: Any = None, data: Any = None, params: Any = None) -> Any:
        return self._request("DELETE", endpoint, headers, data, params)

    def _resolve_transactions_hashes(self, response: Any) -> Any:
        return response  # the official client polls up to 30 s here; the user channel tells us sooner

    def _request(self, method: str, url: str, headers: Any, data: str | None, params: Any) -> Any:
        content = data.encode() if data is not None else None
        try:
            reply = self._transport.request(method, url, headers=headers, content=content, params=params)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise VenueError(0, f"{method} {url}: cannot connect: {error}", unsent=True) from error
        except httpx.HTTPError as error:
            raise VenueError(0, f"{method} {url}: {type(error).__name__}: {error}") from error
        if 200 <= reply.status_code < 300:
            return messages.loads(reply.content)
        text, wait = messages.error_text(reply.content)
        if "heartbeat_id" in reply.text[:400]:
            raise WrongHeartbeatIdError(messages.heartbeat_id(messages.loads(reply.content)))
        if wait is None:
            wait = _seconds(reply.headers.get("Retry-After", ""))
        raise VenueError(reply.status_code, text, wait)


class Venue:
    """Everything that we ask of the venue over HTTP. VenueError, MalformedMessageError on faults."""

    def __init__(self, url: str, settings: Settings, credentials: Credentials, tls: ssl.SSLContext) -> None:
        limits = httpx.Limits(max_connections=16, max_keepalive_connections=16, keepalive_expiry=KEEP_WARM_S)
        headers = {"User-Agent": "slipway-polymarket", "Content-Type": "application/json", "Accept": "*/*"}
        self._transport = httpx.Client(verify=tls, timeout=TIMEOUT, limits=limits, headers=headers)
        self._url = url.rstrip("/")
        self._chain = settings.chain_id
        self._signature_type = SignatureTypeV2(settings.signature_type)
        self._client = _Client(
            self._transport,
            self._url,
            chain_id=settings.chain_id,
            key=credentials.private_key,
            creds=ApiCreds(credentials.api_key, credentials.api_secret, credentials.api_passphrase),
            signature_type=self._signature_type,
            funder=settings.funder,
        )
        self._account = self._client.signer.account
        self._maker = settings.funder or self._account.address
        self._builders: dict[tuple[bool, int], Any] = {}
        self._version = 2
        self._pools = {
            kind: ThreadPoolExecutor(count, thread_name_prefix=kind)
            for kind, count in (("order", 4), ("cancel", 4), ("query", 3), ("heartbeat", 1))
        }

    @property
    def address(self) -> str:
        """The signing wallet's address; not a secret."""
        return str(self._account.address)

    async def check_version(self) -> int:
        """Read and keep the exchange's order version; RefusedError where we cannot sign it."""
        found = messages.version(await self._query(lambda: self._client._get(f"{self._url}/version")))  # noqa: SLF001
        if found not in SIGNED_VERSIONS:
            raise RefusedError(f"the venue takes orders of version {found}; this connector signs 2 and 3")
        self._version = found
        return found

    async def market(self, symbol: str) -> Market:
        """Read a market's tick and settlement contract."""
        params = {"token_id": symbol}
        tick, risk = await asyncio.gather(
            self._query(lambda: self._client._get(f"{self._url}/tick-size", params=params)),  # noqa: SLF001
            self._query(lambda: self._client._get(f"{self._url}/neg-risk", params=params)),  # noqa: SLF001
        )
        return Market(symbol, to_e8(messages.tick_size(tick)), messages.neg_risk(risk))

    async def time(self) -> tuple[int, int]:
        """Read the venue's clock: nanoseconds, and how coarse they are."""
        return messages.server_time(await self._query(self._client.get_server_time))

    async def book(self, symbol: str) -> messages.Book:
        """Read a whole order book."""
        return messages.book(await self._query(lambda: self._client.get_order_book(symbol)))

    async def open_orders(self) -> list[messages.OpenOrder]:
        """Read everything that this account has open, ours or not."""
        return [messages.open_order(row) for row in await self._query(lambda: self._pages(ORDERS, {}))]

    async def order(self, venue_id: str) -> messages.OpenOrder | None:
        """Read one order, open or done; None where the venue does not know it."""
        try:
            found = await self._query(lambda: self._client.get_order(venue_id))
        except VenueError as error:
            if error.status == 404:
                return None
            raise
        return messages.open_order(found) if found else None

    async def trades(self, trade_id: str) -> list[messages.Trade]:
        """Read one trade by its id."""
        rows = await self._query(lambda: self._pages(TRADES, {"id": trade_id}))
        return [messages.trade(row) for row in rows]

    async def submit(self, order: NewOrder, on_signed: Callable[[str], None]) -> messages.PostReply:
        """Sign and send. ``on_signed(order hash)`` is called in the event loop before a byte is sent.

        The hash is the venue's order id, so an order is known by it even if the answer never comes.
        """
        loop = asyncio.get_running_loop()

        def work() -> Any:
            signed, venue_id = self.sign(order)
            loop.call_soon_threadsafe(on_signed, venue_id)
            return self._client.post_order(signed, "FAK" if order.tif == Tif.IOC else "GTC")

        try:
            return messages.post_reply(await self._run("order", work))
        except VenueError as error:
            if ORDER_VERSION_MISMATCH_ERROR not in error.message:
                raise
            await self.check_version()  # the old order was refused whole; a new signature is a new order
            return messages.post_reply(await self._run("order", work))

    async def cancel(self, venue_ids: list[str]) -> messages.CancelReply:
        """Cancel orders by id."""

        def work() -> Any:
            if len(venue_ids) == 1:
                return self._client.cancel_order(OrderPayload(orderID=venue_ids[0]))
            return self._client.cancel_orders(venue_ids)

        return messages.cancel_reply(await self._run("cancel", work))

    async def cancel_all(self) -> messages.CancelReply:
        """Cancel everything that this account has open."""
        return messages.cancel_reply(await self._run("cancel", self._client.cancel_all))

    async def heartbeat(self, heartbeat_id: str) -> str:
        """Send one heartbeat and give the id of the next; WrongHeartbeatIdError says the expected one."""
        return messages.heartbeat_id(
            await self._run("heartbeat", lambda: self._client.post_heartbeat(heartbeat_id))
        )

    def sign(self, order: NewOrder) -> tuple[Any, str]:
        """Sign an order; gives it with its hash. 0.6 ms with libsecp256k1 (coincurve), 11 ms without."""
        builder = self._builder(neg_risk=order.market.neg_risk)
        if order.tif == Tif.IOC and order.side == Side.BUY:
            maker, taker = immediate_buy(order.market, order.price_e8, order.quantity_e8)
        else:
            maker, taker = amounts(order.side, order.price_e8, order.quantity_e8)
        unsigned = builder.build_order(
            OrderDataV2(
                maker=self._maker,
                signer=self._maker if self._signature_type == SignatureTypeV2.POLY_1271 else self.address,
                tokenId=order.market.symbol,
                makerAmount=str(maker),
                takerAmount=str(taker),
                side=ChainSide.BUY if order.side == Side.BUY else ChainSide.SELL,
                signatureType=self._signature_type,
            )
        )
        typed = builder.build_order_typed_data(unsigned)
        if self._signature_type == SignatureTypeV2.POLY_1271:
            signature, digest = builder.build_order_signature(typed), builder.build_order_hash(typed)
        else:  # one encoding gives both
            signed = self._account.sign_message(encode_typed_data(full_message=typed))
            signature, digest = "0x" + bytes(signed.signature).hex(), "0x" + bytes(signed.message_hash).hex()
        return SignedOrderV2(**{**vars(unsigned), "signature": signature}), digest

    def close(self) -> None:
        """Close every connection and let the threads go."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    def _builder(self, *, neg_risk: bool) -> Any:
        key = (neg_risk, self._version)
        if key not in self._builders:
            contracts = get_contract_config(self._chain)
            if self._version == 3:
                contract = contracts.exchange_v3
            else:
                contract = contracts.neg_risk_exchange_v2 if neg_risk else contracts.exchange_v2
            self._builders[key] = ExchangeOrderBuilderV2(
                contract, self._chain, self._client.signer, domain_version=str(self._version)
            )
        return self._builders[key]

    def _pages(self, path: str, params: dict[str, str]) -> list[Any]:
        rows: list[Any] = []
        cursor = INITIAL_CURSOR
        for _ in range(MOST_PAGES):
            headers = self._client._l2_headers("GET", path)  # noqa: SLF001
            reply = self._client._get(  # noqa: SLF001
                f"{self._url}{path}", headers=headers, params={**params, "next_cursor": cursor}
            )
            found, cursor = messages.page(reply)
            rows += found
            if cursor in (END_CURSOR, ""):
                return rows
        raise MalformedMessageError(f"{path}: more than {MOST_PAGES} pages")

    async def _query(self, work: Callable[[], T]) -> T:
        return await self._run("query", work)

    async def _run(self, kind: str, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pools[kind], work)


def amounts(side: Side, price_e8: int, quantity_e8: int) -> tuple[int, int]:
    """(maker, taker) amounts in base units of the chain (1e-6): what we give, what we get.

    Exact wherever tick * 0.01 is a whole base unit, as it is for all of the venue's ticks.
    """
    tokens = quantity_e8 // CHAIN_UNIT
    money = price_e8 * quantity_e8 // (SCALE * CHAIN_UNIT)
    return (money, tokens) if side == Side.BUY else (tokens, money)


def immediate_buy(market: Market, price_e8: int, quantity_e8: int) -> tuple[int, int]:
    """(maker, taker) amounts of an immediate buy, for which the venue wants whole cents of money.

    Cents are cut off, then shares are what that money buys at the price, with as many decimals as the
    market's tick allows (the official client's rounding). So it may be for less than was asked, never
    more; the rest is reported as canceled. (0, …) where not even a cent is left.
    """
    money = price_e8 * quantity_e8 // (SCALE * CENT_E8) * CENT
    step = 10 ** (6 - _amount_decimals(market.tick_e8))
    return money, money * SCALE // price_e8 // step * step


def _amount_decimals(tick_e8: int) -> int:
    """Decimals of a product of price and size: those of the tick and two of the size."""
    digits = to_text(tick_e8).partition(".")[2]
    return len(digits) + 2


def _seconds(text: str) -> float | None:
    return min(float(text), 86400.0) if text.isascii() and text.isdigit() else None
