"""The Binance simulator's WebSockets: requests, sessions, pings, limits, lives and ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.lab.venues import control
from tests.venues.conftest import BinanceTrader, binance_config
from tests.venues.test_binance_strict import WS_PAYLOAD, WS_SIGNATURE

PING, CLOSE = (
    aiohttp.WSMsgType.PING,
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR},
)


class Peer:
    """A WebSocket client that sees every frame."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def frame(self) -> aiohttp.WSMessage:
        return await self.socket.receive(timeout=15)

    async def json(self) -> Any:
        while True:
            message = await self.frame()
            assert message.type not in CLOSE, f"closed with {self.socket.close_code}"
            if message.type is aiohttp.WSMsgType.TEXT:
                return json.loads(message.data)

    async def until(self, matches: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(15):
            while not matches(document := await self.json()):
                pass
            return document

    async def ask(self, method: str, **parameters: Any) -> Any:
        """Send a request of the WebSocket API and return its reply."""
        number = time.monotonic_ns()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        return await self.until(lambda document: "status" in document)

    async def closed(self) -> int | None:
        """Wait for the end of the connection and return the close code."""
        async with asyncio.timeout(15):
            while (await self.frame()).type not in CLOSE:
                pass
        return self.socket.close_code


@asynccontextmanager
async def peer(simulator: control.Running, path: str, *, autoping: bool = False) -> AsyncIterator[Peer]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://{simulator.address()}{path}", autoping=autoping) as socket,
    ):
        yield Peer(socket)


def signed(trader: BinanceTrader, *, ed25519: bool = False, **parameters: Any) -> dict[str, Any]:
    """Parameters with key, time and signature over them sorted, raw."""
    key = trader.ed25519_key if ed25519 else trader.hmac_key
    parameters = {"apiKey": key, "timestamp": int(time.time() * 1000)} | parameters
    payload = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    sign = trader.sign_ed25519 if ed25519 else trader.sign_hmac
    return parameters | {"signature": sign(payload)}


ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.001",
    "price": "90000.00",
}


def api(test: Callable[[Peer, BinanceTrader], Any], trader: BinanceTrader) -> None:
    async def conversation() -> None:
        async with peer(trader.simulator, "/ws-api/v3") as client:
            await test(client, trader)

    asyncio.run(conversation())


def test_numbers_are_signed_as_they_were_written(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        parameters = signed(trader, **ORDER)
        raw = json.dumps({"id": None, "method": "v3/order.place", "params": parameters})
        raw = raw.replace('"0.001"', "0.001").replace('"90000.00"', "90000.00")
        await client.socket.send_str(raw)
        reply = await client.json()
        assert (reply["id"], reply["status"], reply["result"]["price"]) == (None, 200, "90000.00000000")

    api(conversation, trader)


def test_the_documented_websocket_request_at_its_time(documented_binance: control.Running) -> None:
    parameters = dict(pair.split("=") for pair in WS_PAYLOAD.split("&"))

    async def conversation() -> None:
        async with peer(documented_binance, "/ws-api/v3") as client:
            for signature, status in ((WS_SIGNATURE[:-1] + "5", 400), (WS_SIGNATURE, 200)):
                # 900 ms before the timestamp: its window of 100 ms then lasts a second for a slow machine
                offset = 1645423376532 - 900 - int(time.time() * 1000)
                documented_binance.admin.set_faults(clock_offset={"ms": offset})
                reply = await client.ask("order.place", **parameters, signature=signature)
                assert reply["status"] == status, reply

    asyncio.run(conversation())


def test_refusals_have_the_form_of_replies(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        async def refusal(method: str, **parameters: Any) -> tuple[int, int]:
            reply = await client.ask(method, **parameters)
            assert reply["rateLimits"], reply
            return reply["status"], reply["error"]["code"]

        assert await refusal("order.place", **(signed(trader, **ORDER) | {"price": "80000"})) == (400, -1022)
        assert await refusal("order.place", **ORDER) == (401, -2014)
        assert await refusal("order.place", **signed(trader, **ORDER | {"price": "90000.001"})) == (
            400,
            -1013,
        )
        assert await refusal("order.place", **signed(trader, **ORDER, timestamp=1)) == (400, -1021)
        assert await refusal("order.place", **signed(trader, **ORDER, bogus="1")) == (400, -1104)
        assert await refusal("openOrders.cancelAll", **signed(trader, symbol="BTCUSDT")) == (400, -2011)
        assert await refusal("no.such.method") == (400, -1020)
        assert await refusal("userDataStream.start", apiKey=trader.hmac_key) == (410, -1016)
        assert await refusal("userDataStream.subscribe") == (401, -1002)
        assert await refusal("userDataStream.unsubscribe") == (400, -2036)
        assert await refusal("session.logon", **signed(trader)) == (400, -4056)
        await client.socket.send_str("{")
        assert (await client.json())["error"]["code"] == -1135

    api(conversation, trader)


def test_rate_limits_are_hidden_on_request(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, _trader: BinanceTrader) -> None:
        assert "rateLimits" not in await client.ask("ping", returnRateLimits=False)
        assert "rateLimits" in await client.ask("ping")

    api(conversation, trader)


def test_a_session_ends_when_its_key_does(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        logged_on = await client.ask("session.logon", **signed(trader, ed25519=True))
        assert logged_on["result"]["apiKey"] == trader.ed25519_key
        unsigned = ORDER | {"timestamp": int(time.time() * 1000)}
        assert (await client.ask("order.place", **unsigned))["status"] == 200
        trader.simulator.admin.set_faults(reject_keys={"accounts": [trader.name]})
        reply = await client.ask("order.place", **unsigned)
        assert (reply["id"], reply["status"], reply["error"]["code"]) == (None, 401, -2015)
        trader.simulator.admin.clear_faults()
        assert (await client.ask("session.status"))["result"]["apiKey"] is None

    api(conversation, trader)


def test_one_subscription_an_account_and_its_end_is_told(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        subscribe = "userDataStream.subscribe.signature"
        assert (await client.ask(subscribe, **signed(trader)))["result"] == {"subscriptionId": 0}
        assert (await client.ask(subscribe, **signed(trader)))["error"]["code"] == -2035
        assert (await client.ask("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
        await client.socket.send_json({"id": 1, "method": "userDataStream.unsubscribe"})
        ended = await client.until(lambda document: "event" in document)
        assert (ended["subscriptionId"], ended["event"]["e"]) == (0, "eventStreamTerminated")

    api(conversation, trader)


@pytest.mark.parametrize("events_first", [False, True])
def test_the_order_of_reply_and_events(trader: BinanceTrader, events_first: bool) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        await client.ask("userDataStream.subscribe.signature", **signed(trader))
        await client.socket.send_json({"id": 1, "method": "order.place", "params": signed(trader, **ORDER)})
        first = await client.json()
        assert ("event" in first) is events_first

    if events_first:
        trader.simulator.admin.set_faults(events_first={})
    api(conversation, trader)


def test_orders_outlive_their_connection(trader: BinanceTrader) -> None:
    api(lambda client, trader: client.ask("order.place", **signed(trader, **ORDER)), trader)
    trader.simulator.admin.wait_for(lambda event: event["kind"] == "disconnect")
    assert trader.state("flat")["open"] == 1


def test_a_request_without_a_reply_is_carried_out(trader: BinanceTrader) -> None:
    async def conversation(client: Peer, trader: BinanceTrader) -> None:
        await client.socket.send_json({"id": 1, "method": "order.place", "params": signed(trader, **ORDER)})
        await client.socket.send_json({"id": 2, "method": "ping"})
        assert (await client.json())["id"] == 2

    trader.simulator.admin.set_faults(no_reply={"methods": ["order.place"]})
    api(conversation, trader)
    assert trader.state("flat")["open"] == 1


@pytest.mark.parametrize("path", ["/ws-api/v3", "/stream", "/ws/btcusdt@bookTicker"])
def test_shutdown_is_announced_and_then_happens(binance: control.Running, path: str) -> None:
    async def conversation() -> None:
        async with peer(binance, path) as client:
            binance.admin.set_faults(server_shutdown={"grace_ms": 50})
            told = await client.until(lambda document: "serverShutdown" in json.dumps(document))
            form = {"/ws-api/v3": told.get("event"), "/stream": told.get("data")}.get(path, told)
            assert form["e"] == "serverShutdown"
            assert await client.closed() == 1001

    asyncio.run(conversation())


def test_connections_can_be_cut_and_refused(binance: control.Running) -> None:
    async def conversation() -> None:
        async with peer(binance, "/ws-api/v3") as orders, peer(binance, "/stream") as quotes:
            await orders.ask("ping")
            binance.admin.set_faults(drop_connections={"kinds": ["streams"]})
            assert await quotes.closed() in {None, 1006}
            await orders.ask("ping")
        binance.admin.set_faults(refuse_connections={"kinds": ["ws_api"]})
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with peer(binance, "/ws-api/v3"):
                pass

    asyncio.run(conversation())


class TestStreams:
    def test_control_messages(self, binance: control.Running) -> None:
        async def conversation() -> None:
            async with peer(binance, "/ws/btcusdt@bookTicker") as client:

                async def control_message(**message: Any) -> Any:
                    await client.socket.send_json(message)
                    return await client.until(lambda document: "id" in document or "code" in document)

                assert await control_message(method="SUBSCRIBE", params=["btcusdt@trade"], id=1) == {
                    "result": None,
                    "id": 1,
                }
                listed = await control_message(method="LIST_SUBSCRIPTIONS", id="two")
                assert listed == {"result": ["btcusdt@bookTicker", "btcusdt@trade"], "id": "two"}
                await control_message(method="UNSUBSCRIBE", params=["btcusdt@trade"], id=3)
                assert (await control_message(method="GET_PROPERTY", params=["combined"], id=4))[
                    "result"
                ] is False
                assert (await control_message(method="NONSENSE", id=5))["code"] == 2

        asyncio.run(conversation())

    def test_more_than_five_messages_a_second_end_the_connection(self, binance: control.Running) -> None:
        async def conversation() -> None:
            async with peer(binance, "/stream") as client:
                for number in range(7):
                    await client.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
                assert await client.closed() == 1008

        asyncio.run(conversation())

    def test_more_than_1024_streams_are_refused(self, binance: control.Running) -> None:
        async def conversation() -> None:
            async with peer(binance, "/stream") as client:
                names = [f"symbol{number}@trade" for number in range(1025)]
                await client.socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
                assert (await client.json())["code"] == 2

        asyncio.run(conversation())

    def test_depth_differences_join_without_a_gap_and_give_the_book(self, binance: control.Running) -> None:
        """The venue's own recipe for a local book: differences on a snapshot give a later snapshot."""

        async def conversation() -> None:
            path = "/ws/btcusdt@depth@100ms"
            async with peer(binance, path) as client, aiohttp.ClientSession() as session:
                url = f"http://{binance.address()}/api/v3/depth?symbol=BTCUSDT&limit=5000"

                async def snapshot() -> Any:
                    async with session.get(url) as response:
                        return await response.json()

                binance.admin.move_market(frozen=False)
                events = [await client.json()]
                start = await snapshot()
                book = {side: dict(start[side]) for side in ("bids", "asks")}
                last = start["lastUpdateId"]
                events += [await client.json() for _ in range(6)]
                binance.admin.move_market(frozen=True)
                end = await snapshot()
                while events[-1]["u"] < end["lastUpdateId"]:
                    events.append(await client.json())
                for one, following in pairwise(events):
                    assert following["U"] == one["u"] + 1
                for event in events:
                    if event["u"] <= last:
                        continue
                    assert event["U"] <= last + 1
                    for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                        for price, quantity in changes:
                            if float(quantity):
                                book[side][price] = quantity
                            else:
                                book[side].pop(price, None)
                    last = event["u"]
                assert book == {side: dict(end[side]) for side in ("bids", "asks")}

        asyncio.run(conversation())

    def test_a_silent_stream_stays_open(self, binance: control.Running) -> None:
        async def conversation() -> None:
            binance.admin.move_market(frozen=False)
            binance.admin.set_faults(silent_streams={})
            async with peer(binance, "/ws/btcusdt@bookTicker") as client:
                with pytest.raises(TimeoutError):
                    await client.socket.receive(timeout=0.6)

        asyncio.run(conversation())


@pytest.fixture(scope="module")
def hasty(short_directory: Path) -> Iterator[control.Running]:
    """A simulator whose sockets live in fast motion."""
    config = binance_config(short_directory, sockets={"ping_every": 0.2, "pong_within": 0.7, "life": 2.5})
    with control.running("binance", config, short_directory) as simulator:
        yield simulator


@pytest.mark.parametrize("path", ["/ws-api/v3", "/stream"])
def test_who_answers_pings_lives_his_life(hasty: control.Running, path: str) -> None:
    async def conversation() -> None:
        began = time.monotonic()
        async with peer(hasty, path) as client:
            pings = 0
            while (frame := await client.frame()).type not in CLOSE:
                if frame.type is PING:
                    pings += 1
                    await client.socket.pong(frame.data)
            assert client.socket.close_code == 1001
            assert pings >= 5
            assert time.monotonic() - began >= 2.4

    asyncio.run(conversation())


@pytest.mark.parametrize("path", ["/ws-api/v3", "/stream"])
def test_who_does_not_answer_pings_is_dropped(hasty: control.Running, path: str) -> None:
    async def conversation() -> None:
        async with peer(hasty, path) as client:
            assert await client.closed() == 1008

    asyncio.run(conversation())


def test_pongs_may_go_unseen(hasty: control.Running) -> None:
    async def conversation() -> None:
        hasty.admin.set_faults(ignore_pongs={})
        async with peer(hasty, "/ws-api/v3", autoping=True) as client:
            assert await client.closed() == 1008

    try:
        asyncio.run(conversation())
    finally:
        hasty.admin.clear_faults()


def test_connections_are_counted(narrow_binance: control.Running) -> None:
    async def conversation() -> None:
        for _ in range(2):
            async with peer(narrow_binance, "/stream"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            async with peer(narrow_binance, "/stream"):
                pass

    asyncio.run(conversation())
