"""The Polymarket simulator's market and user channels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from infra.lab.venues import control
from tests.venues.conftest import CONDITION, YES, Wallet
from tests.venues.test_polymarket_strict import order, post

CLOSE = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


class Channel:
    """A client of one channel. Messages come one by one, those of an array too."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.waiting: list[Any] = []

    async def text(self) -> str:
        message = await self.socket.receive(timeout=15)
        assert message.type not in CLOSE, f"closed with {self.socket.close_code}"
        return str(message.data)

    async def message(self) -> Any:
        while not self.waiting:
            document = json.loads(await self.text())
            self.waiting += document if isinstance(document, list) else [document]
        return self.waiting.pop(0)

    async def until(self, matches: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(15):
            while not matches(message := await self.message()):
                pass
            return message

    async def closed(self) -> int | None:
        async with asyncio.timeout(15):
            while (await self.socket.receive()).type not in CLOSE:
                pass
        return self.socket.close_code


@asynccontextmanager
async def channel(simulator: control.Running, name: str, first: Any = None) -> AsyncIterator[Channel]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://{simulator.address()}/ws/{name}") as socket,
    ):
        if first is not None:
            await socket.send_json(first)
        yield Channel(socket)


def subscription(**changes: Any) -> dict[str, Any]:
    return {"type": "market", "assets_ids": [YES], "initial_dump": True} | changes


def login(wallet: Wallet, **changes: Any) -> dict[str, Any]:
    auth = {"apiKey": wallet.api_key, "secret": wallet.secret, "passphrase": wallet.passphrase}
    return {"type": "user", "markets": [CONDITION], "auth": auth | changes}


def run(conversation: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(conversation())


def of(kind: str) -> Callable[[Any], bool]:
    return lambda message: message["event_type"] == kind


def test_the_market_channel_begins_with_the_book_in_an_array(polymarket: control.Running) -> None:
    async def conversation() -> None:
        async with channel(polymarket, "market", subscription()) as market:
            (book,) = json.loads(await market.text())
            assert (book["event_type"], book["asset_id"], book["market"]) == ("book", YES, CONDITION)
            assert (book["bids"][-1]["price"], book["asks"][-1]["price"]) == ("0.49", "0.51")
            await market.socket.send_str("PING")
            assert await market.text() == "PONG"

    run(conversation)


def test_price_changes_keep_a_book_equal_to_the_venues(polymarket: control.Running) -> None:
    async def conversation() -> None:
        async with (
            channel(polymarket, "market", subscription()) as market,
            aiohttp.ClientSession() as session,
        ):
            first = await market.message()
            book = {
                (side, level["price"]): level["size"]
                for side, levels in (("BUY", first["bids"]), ("SELL", first["asks"]))
                for level in levels
            }
            polymarket.admin.move_market(frozen=False)
            for _ in range(5):
                event = await market.until(of("price_change"))
                for change in event["price_changes"]:
                    book[change["side"], change["price"]] = change["size"]
            polymarket.admin.move_market(frozen=True)
            async with session.get(f"http://{polymarket.address()}/book?token_id={YES}") as response:
                last = await response.json()
            await market.socket.send_str("PING")
            while (text := await market.text()) != "PONG":
                for change in json.loads(text).get("price_changes", []):
                    book[change["side"], change["price"]] = change["size"]
            left = {key: size for key, size in book.items() if size != "0"}
            assert left == {
                (side, level["price"]): level["size"]
                for side, levels in (("BUY", last["bids"]), ("SELL", last["asks"]))
                for level in levels
            }
            assert float(event["price_changes"][0]["best_bid"]) < float(event["price_changes"][0]["best_ask"])

    run(conversation)


def test_trades_and_tick_sizes_are_told(wallet: Wallet) -> None:
    async def conversation() -> None:
        async with channel(wallet.simulator, "market", subscription(initial_dump=False)) as market:
            await market.socket.send_str("PING")
            assert await market.text() == "PONG"  # no dump was sent before it
            post(wallet, order(wallet, makerAmount="5500000"))
            trade = await market.until(of("last_trade_price"))
            assert (trade["price"], trade["size"], trade["side"]) == ("0.51", "10", "BUY")
            wallet.simulator.admin.move_market(tick="0.001")
            tick = await market.until(of("tick_size_change"))
            assert (tick["old_tick_size"], tick["new_tick_size"]) == ("0.01", "0.001")

    run(conversation)


def test_tokens_come_and_go_on_one_connection(polymarket: control.Running) -> None:
    async def conversation() -> None:
        async with channel(polymarket, "market", subscription(assets_ids=[])) as market:
            assert json.loads(await market.text()) == []
            await market.socket.send_json({"assets_ids": [YES], "operation": "subscribe"})
            assert (await market.message())["asset_id"] == YES
            await market.socket.send_json({"assets_ids": [YES], "operation": "unsubscribe"})
            polymarket.admin.move_market(mid="0.45")
            await market.socket.send_str("PING")
            assert await market.text() == "PONG"

    run(conversation)


@pytest.mark.parametrize("first", [{"type": "user", "assets_ids": [YES]}, {"type": "market"}, ["x"]])
def test_a_wrong_subscription_ends_the_connection(polymarket: control.Running, first: Any) -> None:
    async def conversation() -> None:
        async with channel(polymarket, "market", first) as market:
            assert await market.closed() == 1008

    run(conversation)


def test_the_user_channel_tells_the_life_of_orders(wallet: Wallet) -> None:
    async def conversation() -> None:
        async with channel(wallet.simulator, "user", login(wallet)) as user:
            await user.socket.send_str("PING")
            assert await user.text() == "PONG"
            resting = post(wallet, order(wallet)).body["orderID"]
            placed = await user.message()
            assert (placed["event_type"], placed["type"], placed["id"]) == ("order", "PLACEMENT", resting)
            assert (placed["price"], placed["original_size"], placed["size_matched"]) == ("0.4", "10", "0")
            wallet.send("DELETE", "/cancel-all")
            canceled = await user.message()
            assert (canceled["type"], canceled["id"], canceled["owner"]) == (
                "CANCELLATION",
                resting,
                wallet.api_key,
            )

            taken = post(wallet, order(wallet, makerAmount="5500000")).body
            assert (await user.message())["type"] == "PLACEMENT"
            update = await user.message()
            assert (update["type"], update["size_matched"]) == ("UPDATE", "10")
            statuses = []
            for _ in range(3):
                trade = await user.message()
                assert (trade["event_type"], trade["taker_order_id"]) == ("trade", taken["orderID"])
                assert (trade["price"], trade["size"], trade["trader_side"]) == ("0.51", "10", "TAKER")
                statuses.append(trade["status"])
            assert statuses == ["MATCHED", "MINED", "CONFIRMED"]
            assert trade["transaction_hash"] == taken["transactionsHashes"][0]

    run(conversation)


def test_a_fill_as_maker_is_in_the_makers_list(wallet: Wallet) -> None:
    async def conversation() -> None:
        async with channel(wallet.simulator, "user", login(wallet)) as user:
            order_id = post(wallet, order(wallet)).body["orderID"]
            wallet.simulator.admin.move_market(mid="0.30")
            trade = await user.until(of("trade"))
            assert (trade["trader_side"], trade["trade_owner"]) == ("MAKER", wallet.api_key)
            (own,) = [maker for maker in trade["maker_orders"] if maker["owner"] == wallet.api_key]
            assert (own["order_id"], own["matched_amount"], own["price"]) == (order_id, "10", "0.4")

    run(conversation)


def test_markets_filter_and_strangers_hear_nothing(wallet: Wallet) -> None:
    stranger = Wallet(wallet.simulator)

    async def conversation() -> None:
        async with (
            channel(wallet.simulator, "user", login(wallet) | {"markets": ["0x00"]}) as elsewhere,
            channel(wallet.simulator, "user", login(stranger) | {"markets": []}) as foreign,
        ):
            for one in (elsewhere, foreign):
                await one.socket.send_str("PING")
                assert await one.text() == "PONG"
            post(wallet, order(wallet))
            for one in (elsewhere, foreign):
                await one.socket.send_str("PING")
                assert await one.text() == "PONG"

    run(conversation)


@pytest.mark.parametrize("changes", [{"apiKey": "x"}, {"secret": "x"}, {"passphrase": "x"}])
def test_wrong_credentials_end_the_connection(wallet: Wallet, changes: dict[str, str]) -> None:
    async def conversation() -> None:
        async with channel(wallet.simulator, "user", login(wallet, **changes)) as user:
            assert await user.closed() == 1008

    run(conversation)


def test_faults_silence_cut_and_refuse(wallet: Wallet) -> None:
    async def conversation() -> None:
        admin = wallet.simulator.admin
        async with (
            channel(wallet.simulator, "market", subscription()) as market,
            channel(wallet.simulator, "user", login(wallet)) as user,
        ):
            await market.message()
            admin.set_faults(silent_market={}, silent_user={})
            admin.move_market(mid="0.45")
            post(wallet, order(wallet))
            for one in (market, user):
                await one.socket.send_str("PING")
                assert await one.text() == "PONG"
            admin.set_faults(drop_connections={"kinds": ["user"]})
            assert await user.closed() in {None, 1006}
            await market.socket.send_str("PING")
            assert await market.text() == "PONG"
            admin.set_faults(drop_connections={"clean": True})
            assert await market.closed() == 1001
        admin.set_faults(refuse_connections={"kinds": ["market"]})
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with channel(wallet.simulator, "market"):
                pass

    run(conversation)


def test_who_says_nothing_is_closed(hasty_polymarket: control.Running) -> None:
    async def conversation() -> None:
        async with (
            channel(hasty_polymarket, "market") as mute,
            channel(hasty_polymarket, "market", subscription()) as brief,
        ):
            await brief.message()
            assert await mute.closed() == 1008
            assert await brief.closed() == 1008

    run(conversation)
