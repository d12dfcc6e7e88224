"""Independent witness: the venue's official SDK holds whole conversations with the Binance simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, UnauthorizedError
from binance_sdk_spot.spot import Spot

from tests.venues.conftest import BinanceTrader


def sdk(trader: BinanceTrader, *, ed25519: bool = True) -> Spot:
    host = trader.simulator.address()
    if ed25519:
        keys = {"api_key": trader.ed25519_key, "private_key": trader.pem}
    else:
        keys = {"api_key": trader.hmac_key, "api_secret": trader.secret}
    return Spot(
        config_rest_api=ConfigurationRestAPI(base_path=f"http://{host}", retries=0, **keys),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=f"ws://{host}/ws-api/v3", **keys),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{host}/stream"),
    )


@asynccontextmanager
async def connected(client: Any) -> AsyncIterator[Any]:
    connection = await client.create_connection()
    try:
        yield connection
    finally:
        await connection.close_connection(close_session=True)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ed25519", [True, False], ids=["ed25519", "hmac"])
def test_rest_from_rules_to_cancel_all(trader: BinanceTrader, ed25519: bool) -> None:
    rest = sdk(trader, ed25519=ed25519).rest_api
    rest.ping()
    assert abs(rest.time().data().server_time) > 0
    symbol = rest.exchange_info(symbol="BTCUSDT").data().symbols[0]
    filters = {one.actual_instance.filter_type: one.actual_instance for one in symbol.filters}
    assert filters["PRICE_FILTER"].tick_size == "0.01000000"
    assert filters["LOT_SIZE"].step_size == "0.00001000"
    assert {"NOTIONAL", "PERCENT_PRICE_BY_SIDE", "MAX_NUM_ORDERS"} <= set(filters)

    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.001}
    rest.order_test(**order, price=90_000)
    assert rest.get_open_orders().data() == []
    placed = rest.new_order(**order, price=90_000, new_client_order_id="first")
    assert placed.data().status == "NEW"
    limits = {(one.rateLimitType, one.interval): one.count for one in placed.rate_limits}
    assert limits["ORDERS", "SECOND"] == 1
    assert limits["REQUEST_WEIGHT", "MINUTE"] >= 1
    assert rest.get_order("BTCUSDT", orig_client_order_id="first").data().order_id == placed.data().order_id

    filled = rest.new_order(**order, price=100_100).data()
    assert filled.status == "FILLED"
    assert [(fill.price, fill.qty) for fill in filled.fills] == [("100001.00000000", "0.00100000")]
    assert [one.client_order_id for one in rest.get_open_orders("BTCUSDT").data()] == ["first"]
    assert rest.delete_order("BTCUSDT", orig_client_order_id="first").data().status == "CANCELED"

    rest.new_order(**order, price=90_000)
    rest.new_order(**order, price=90_001)
    assert len(rest.delete_open_orders("BTCUSDT").data()) == 2
    with pytest.raises(BadRequestError, match="Unknown order sent"):
        rest.delete_open_orders("BTCUSDT")
    balances = {one.asset: one for one in rest.get_account().data().balances}
    assert balances["BTC"].free == "10.00099900"  # 0.001 bought, less 0.1 % fee
    assert balances["USDT"].free == "999899.99900000"
    assert balances["USDT"].locked == "0.00000000"


def test_rest_market_data(trader: BinanceTrader) -> None:
    rest = sdk(trader).rest_api
    ticker = rest.ticker_book_ticker(symbol="BTCUSDT").data().actual_instance
    depth = rest.depth("BTCUSDT", limit=5).data()
    assert (ticker.bid_price, ticker.ask_price) == ("99999.00000000", "100001.00000000")
    assert depth.bids[0][0] == ticker.bid_price
    assert depth.asks[0][0] == ticker.ask_price
    assert len(depth.bids) == 5


def test_websocket_session_with_user_data(trader: BinanceTrader) -> None:
    async def conversation() -> None:
        client = sdk(trader)
        async with connected(client.websocket_api) as api:
            logged_on = (await api.session_logon()).data().result
            assert logged_on.api_key == trader.ed25519_key
            stream = await api.user_data_stream_subscribe()
            events: list[Any] = []
            stream.stream.on("message", lambda event: events.append(event.actual_instance))
            assert (await api.session_status()).data().result.user_data_stream is True
            assert (await api.time()).data().result.server_time > 0
            info = (await api.exchange_info(symbol="BTCUSDT")).data().additional_properties["result"]
            assert [one["symbol"] for one in info["symbols"]] == ["BTCUSDT"]

            order = {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "LIMIT",
                "time_in_force": "GTC",
                "quantity": 0.002,
            }
            await api.order_test(**order, price=120_000)
            placed = await api.order_place(**order, price=120_000, new_client_order_id="rests")
            assert placed.data().result.status == "NEW"
            assert {limit.rateLimitType for limit in placed.rate_limits} == {"ORDERS", "REQUEST_WEIGHT"}
            filled = (await api.order_place(**order, price=99_000, new_client_order_id="takes")).data().result
            assert filled.status == "FILLED"
            assert filled.fills[0].price == "99999.00000000"
            status = (await api.order_status(symbol="BTCUSDT", orig_client_order_id="rests")).data().result
            assert status.status == "NEW"
            opened = (await api.open_orders_status(symbol="BTCUSDT")).data().result
            assert [one.client_order_id for one in opened] == ["rests"]
            canceled = (await api.order_cancel(symbol="BTCUSDT", orig_client_order_id="rests")).data().result
            assert canceled.status == "CANCELED"
            await api.order_place(**order, price=120_000, new_client_order_id="swept")
            swept = (await api.open_orders_cancel_all(symbol="BTCUSDT")).data().result
            assert [one.orig_client_order_id for one in swept] == ["swept"]
            assert (await api.account_status()).data().result.account_type == "SPOT"

            await until(lambda: sum(getattr(event, "x", "") == "CANCELED" for event in events) == 2)
            reports = [(event.x, event.X, event.c, event.C) for event in events if hasattr(event, "x")]
            assert [(x, X) for x, X, _, _ in reports] == [
                ("NEW", "NEW"),
                ("NEW", "NEW"),
                ("TRADE", "FILLED"),
                ("CANCELED", "CANCELED"),
                ("NEW", "NEW"),
                ("CANCELED", "CANCELED"),
            ]
            assert reports[3][3] == "rests"
            trade = next(event for event in events if getattr(event, "x", "") == "TRADE")
            assert (trade.l, trade.z, trade.L, trade.m) == (
                "0.00200000",
                "0.00200000",
                "99999.00000000",
                False,
            )
            await api.session_logout()
            assert (await api.session_status()).data().result.api_key is None

    asyncio.run(conversation())


def test_websocket_signs_each_request_with_hmac(trader: BinanceTrader) -> None:
    async def conversation() -> None:
        async with connected(sdk(trader, ed25519=False).websocket_api) as api:
            stream = await api.user_data_stream_subscribe_signature()
            events: list[Any] = []
            stream.stream.on("message", lambda event: events.append(event.actual_instance))
            order = {
                "symbol": "BTCUSDT",
                "side": "BUY",
                "type": "LIMIT",
                "time_in_force": "GTC",
                "quantity": 0.001,
            }
            assert (await api.order_place(**order, price=90_000)).data().result.status == "NEW"
            await until(lambda: bool(events))
            refused = (await api.session_logon()).data()
            assert refused["error"]["code"] == -4056

    asyncio.run(conversation())


def test_a_resting_order_is_filled_when_the_market_walks_through_it(trader: BinanceTrader) -> None:
    async def conversation() -> None:
        async with connected(sdk(trader).websocket_api) as api:
            await api.session_logon()
            stream = await api.user_data_stream_subscribe()
            events: list[Any] = []
            stream.stream.on("message", lambda event: events.append(event.actual_instance))
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": 0.001}
            await api.order_place(**order, price=99_000)
            trader.simulator.admin.move_market(mid="98500")
            await until(lambda: any(getattr(event, "X", "") == "FILLED" for event in events))
            report = next(event for event in events if getattr(event, "X", "") == "FILLED")
            assert (report.m, report.L) == (True, "99000.00000000")

    asyncio.run(conversation())
    assert trader.state("flat")["open"] == 0


def test_streams_move_several_times_a_second(trader: BinanceTrader) -> None:
    async def conversation() -> None:
        async with connected(sdk(trader).websocket_streams) as streams:
            tickers: list[Any] = []
            depths: list[Any] = []
            trades: list[Any] = []
            (await streams.book_ticker(symbol="btcusdt")).on("message", tickers.append)
            (await streams.partial_book_depth(symbol="btcusdt", levels="5", update_speed="100ms")).on(
                "message", depths.append
            )
            (await streams.trade(symbol="btcusdt")).on("message", trades.append)
            trader.simulator.admin.move_market(frozen=False)
            await until(lambda: len(tickers) >= 4 and len(depths) >= 3)
            assert trader.order(price="110000").body["status"] == "FILLED"
            await until(lambda: bool(trades))
            assert float(tickers[0].b) < float(tickers[0].a)
            assert tickers[0].u < tickers[-1].u
            assert (trades[0].s, trades[0].q, trades[0].m) == ("BTCUSDT", "0.00100000", False)

    asyncio.run(conversation())


def test_the_sdk_reads_refusals(trader: BinanceTrader) -> None:
    rest = sdk(trader).rest_api
    with pytest.raises(BadRequestError, match="Filter failure: PRICE_FILTER"):
        rest.new_order(
            symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=90_000.005
        )
    trader.ed25519_key = "0" * 64
    with pytest.raises(UnauthorizedError, match="Invalid API-key, IP, or permissions"):
        sdk(trader).rest_api.get_account()
