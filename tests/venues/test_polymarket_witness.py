"""Independent witness: the venue's official client in whole conversations with the Polymarket simulator."""

from __future__ import annotations

import time
from typing import Any

import pytest
from py_clob_client_v2 import (
    ApiCreds,
    AssetType,
    BalanceAllowanceParams,
    BookParams,
    ClobClient,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderType,
    PartialCreateOrderOptions,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException

from infra.lab.venues import control
from tests.venues.conftest import CONDITION, RISKY, YES, Wallet


def client(wallet: Wallet, **options: Any) -> ClobClient:
    credentials = ApiCreds(wallet.api_key, wallet.secret, wallet.passphrase)
    return ClobClient(wallet.url, chain_id=137, key=wallet.private_key, creds=credentials, **options)


def bid(price: float = 0.40, size: float = 10, side: str = "BUY", **changes: Any) -> OrderArgsV2:
    return OrderArgsV2(token_id=YES, price=price, size=size, side=side, **changes)


def test_keys_are_made_derived_and_deleted(wallet: Wallet) -> None:
    clob = ClobClient(wallet.url, chain_id=137, key=wallet.private_key)
    with pytest.raises(PolyApiException, match="Could not derive api key"):
        clob.derive_api_key()
    made = clob.create_api_key()
    with pytest.raises(PolyApiException, match="Could not create api key"):
        clob.create_api_key()
    assert clob.derive_api_key() == made
    assert clob.create_or_derive_api_key() == made
    assert clob.create_api_key(nonce=7) != made
    clob.set_api_creds(made)
    assert made.api_key in clob.get_api_keys()["apiKeys"]
    assert clob.get_open_orders() == []
    clob.delete_api_key()
    with pytest.raises(PolyApiException, match="Unauthorized/Invalid api key"):
        clob.get_open_orders()


def test_public_data(wallet: Wallet) -> None:
    clob = ClobClient(wallet.url, chain_id=137)
    assert clob.get_ok() == "OK"
    assert abs(int(clob.get_server_time()) - time.time()) < 5
    assert clob.get_version() == 2
    assert (clob.get_tick_size(YES), clob.get_neg_risk(YES), clob.get_fee_rate_bps(YES)) == ("0.01", False, 0)
    book = clob.get_order_book(YES)
    assert (book["bids"][-1]["price"], book["asks"][-1]["price"]) == ("0.49", "0.51")
    assert [float(level["price"]) for level in book["bids"]] == sorted(
        float(one["price"]) for one in book["bids"]
    )
    assert clob.get_order_book_hash(dict(book)) == book["hash"]
    assert clob.get_order_books([BookParams(token_id=YES)])[0]["asset_id"] == YES
    assert clob.get_midpoint(YES) == {"mid": "0.5"}
    assert (clob.get_price(YES, "BUY"), clob.get_price(YES, "SELL")) == ({"price": "0.49"}, {"price": "0.51"})
    assert clob.get_spread(YES) == {"spread": "0.02"}
    market = clob.get_markets()["data"][0]
    assert (market["condition_id"], market["tokens"][0]["token_id"]) == (CONDITION, YES)
    assert clob.get_market(CONDITION)["minimum_tick_size"] == 0.01
    assert clob.get_clob_market_info(CONDITION)["mos"] == 5


def test_an_order_rests_and_is_cancelled(wallet: Wallet) -> None:
    clob = client(wallet)
    reply = clob.create_and_post_order(bid())
    assert (reply["success"], reply["status"], reply["errorMsg"]) == (True, "live", "")
    (opened,) = clob.get_open_orders(OpenOrderParams(market=CONDITION, asset_id=YES))
    assert opened["id"] == reply["orderID"]
    assert (opened["price"], opened["original_size"], opened["size_matched"]) == ("0.4", "10", "0")
    assert clob.get_order(reply["orderID"])["status"] == "LIVE"
    payload = OrderPayload(orderID=reply["orderID"])
    assert clob.cancel_order(payload) == {"canceled": [reply["orderID"]], "not_canceled": {}}
    assert clob.cancel_order(payload)["not_canceled"] == {
        reply["orderID"]: "order can't be found - already canceled or matched"
    }
    assert clob.get_order(reply["orderID"])["status"] == "CANCELED"


def test_orders_are_filled_and_money_moves(wallet: Wallet) -> None:
    clob = client(wallet)
    bought = clob.create_and_post_order(bid(0.55))
    assert (bought["status"], bought["takingAmount"], bought["makingAmount"]) == ("matched", "10", "5.1")
    sold = clob.create_and_post_order(bid(0.45, 20, "SELL"), order_type=OrderType.FAK)
    assert (sold["status"], sold["takingAmount"], sold["makingAmount"]) == ("matched", "9.8", "20")
    by_money = clob.create_and_post_market_order(MarketOrderArgsV2(token_id=YES, amount=51, side="BUY"))
    assert (by_money["takingAmount"], by_money["makingAmount"]) == ("100", "51")
    trades = clob.get_trades(TradeParams(asset_id=YES))
    assert [trade["id"] for trade in trades] == [one["tradeIDs"][0] for one in (by_money, sold, bought)]
    assert (trades[-1]["side"], trades[-1]["size"], trades[-1]["price"]) == ("BUY", "10", "0.51")
    assert (trades[-1]["trader_side"], trades[-1]["maker_orders"][0]["matched_amount"]) == ("TAKER", "10")
    collateral = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL)
    assert clob.get_balance_allowance(collateral)["balance"] == str(99_953_700_000)
    shares = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=YES)
    assert clob.get_balance_allowance(shares)["balance"] == str(100_090_000_000)


def test_a_resting_order_is_filled_as_maker_when_the_market_comes(wallet: Wallet) -> None:
    clob = client(wallet)
    order = clob.create_and_post_order(bid(0.45), post_only=True)
    since = wallet.simulator.admin.last_event()
    wallet.simulator.admin.move_market(mid="0.40")
    wallet.simulator.admin.wait_for(lambda event: event["kind"] == "fill" and event["final"], since)
    (trade,) = clob.get_trades()
    assert (trade["trader_side"], trade["maker_orders"][0]["order_id"]) == ("MAKER", order["orderID"])
    assert clob.get_open_orders() == []


def test_many_orders_at_once_and_the_ways_to_cancel_many(wallet: Wallet) -> None:
    clob = client(wallet)

    def post(*prices: float) -> list[str]:
        arguments = [PostOrdersV2Args(order=clob.create_order(bid(price))) for price in prices]
        return [reply["orderID"] for reply in clob.post_orders(arguments)]

    ids = post(0.30, 0.31, 0.32)
    assert sorted(clob.cancel_orders(ids[:2])["canceled"]) == sorted(ids[:2])
    assert clob.cancel_market_orders(OrderMarketCancelParams(asset_id="1"))["canceled"] == []
    assert clob.cancel_market_orders(OrderMarketCancelParams(market=CONDITION))["canceled"] == ids[2:]
    ids = post(0.33, 0.34)
    assert sorted(clob.cancel_all()["canceled"]) == sorted(ids)
    assert clob.cancel_all() == {"canceled": [], "not_canceled": {}}
    flat = wallet.state("flat")
    assert flat["open"] == 0
    assert flat["flat_since"]["mono_ns"] <= time.monotonic_ns()
    assert wallet.state("counters") == {"sent": 5, "acked": 5, "filled": 0, "canceled": 5, "rejected": 0}


def test_part_of_a_batch_may_be_refused(wallet: Wallet) -> None:
    clob = client(wallet)
    good, small = clob.create_order(bid(0.30)), clob.create_order(bid(0.30, size=4))
    replies = clob.post_orders([PostOrdersV2Args(order=good), PostOrdersV2Args(order=small)])
    assert [reply["success"] for reply in replies] == [True, False]
    assert "Size (4) lower than the minimum: 5" in replies[1]["errorMsg"]
    with pytest.raises(PolyApiException, match="Too many orders in payload: 16, max allowed: 15"):
        clob.post_orders([PostOrdersV2Args(order=good)] * 16)


def test_good_till_date(wallet: Wallet) -> None:
    clob, now = client(wallet), int(time.time())
    placed = clob.create_and_post_order(bid(expiration=now + 600), order_type=OrderType.GTD)
    assert clob.get_order(placed["orderID"])["expiration"] == str(now + 600)
    with pytest.raises(PolyApiException, match="invalid expiration"):
        clob.create_and_post_order(bid(expiration=now + 30), order_type=OrderType.GTD)
    with pytest.raises(PolyApiException, match="invalid expiration"):
        clob.create_and_post_order(bid(), order_type=OrderType.GTD)
    wallet.simulator.admin.set_faults(clock_offset={"ms": 600_000})
    wallet.simulator.admin.move_market(frozen=False)
    canceled = wallet.simulator.admin.wait_for(
        lambda event: event["kind"] == "cancel" and event["client_id"] == placed["orderID"]
    )
    assert canceled["reason"] == "expired"


def test_v1_orders_are_refused_and_the_client_does_not_get_round_it(wallet: Wallet) -> None:
    clob = client(wallet)
    with pytest.raises(PolyApiException) as refusal:
        clob.create_and_post_order(bid(), PartialCreateOrderOptions(version=1))
    assert refusal.value.status_code == 400
    assert refusal.value.error_msg == {"error": "order_version_mismatch"}
    wallet.simulator.admin.set_faults(version_mismatch={"version": 3})
    assert clob.get_version() == 3
    with pytest.raises(PolyApiException, match="order_version_mismatch"):
        clob.create_and_post_order(bid())


def test_an_order_signed_for_another_exchange_is_refused(wallet: Wallet) -> None:
    clob = client(wallet)
    for options in (PartialCreateOrderOptions(neg_risk=True), PartialCreateOrderOptions(version=3)):
        with pytest.raises(PolyApiException, match="invalid signature"):
            clob.create_and_post_order(bid(), options)


def test_negative_risk_markets_have_their_own_exchange(wallet: Wallet) -> None:
    clob = client(wallet)
    assert clob.get_neg_risk(RISKY) is True
    risky = OrderArgsV2(token_id=RISKY, price=0.401, size=10, side="BUY")
    assert clob.create_and_post_order(risky)["status"] == "live"
    with pytest.raises(PolyApiException, match="invalid signature"):
        clob.create_and_post_order(risky, PartialCreateOrderOptions(neg_risk=False))


def test_a_proxy_wallet_signs_for_its_funder(polymarket: control.Running) -> None:
    funder = "0x" + "ab" * 20
    wallet = Wallet(polymarket, options={"funder": funder})
    assert client(wallet, signature_type=2, funder=funder).create_and_post_order(bid())["status"] == "live"
    with pytest.raises(PolyApiException, match="maker address not allowed"):
        client(wallet, signature_type=2, funder="0x" + "cd" * 20).create_and_post_order(bid())


def test_server_time_saves_a_client_with_a_wrong_clock(wallet: Wallet) -> None:
    wallet.simulator.admin.set_faults(clock_offset={"ms": 60_000})
    with pytest.raises(PolyApiException, match="Unauthorized/Invalid api key"):
        client(wallet).get_open_orders()
    assert client(wallet, use_server_time=True).get_open_orders() == []


def test_heartbeats_keep_orders_alive_and_their_end_cancels_them(hasty_polymarket: control.Running) -> None:
    wallet, bystander = Wallet(hasty_polymarket), Wallet(hasty_polymarket)
    clob = client(wallet)
    clob.create_and_post_order(bid())
    client(bystander).create_and_post_order(bid())
    heartbeat, began = "", time.monotonic()
    while time.monotonic() - began < 2.5:
        heartbeat = clob.post_heartbeat(heartbeat)["heartbeat_id"]
        hasty_polymarket.admin.events(hasty_polymarket.admin.last_event(), wait=0.3)
    assert len(clob.get_open_orders()) == 1
    with pytest.raises(PolyApiException) as refusal:
        clob.post_heartbeat("wrong")
    assert refusal.value.status_code == 400
    assert refusal.value.error_msg["error_msg"] == "Invalid Heartbeat ID"
    assert refusal.value.error_msg["heartbeat_id"] == heartbeat
    heartbeat = clob.post_heartbeat(heartbeat)["heartbeat_id"]
    beaten = time.monotonic_ns()
    expired = hasty_polymarket.admin.wait_for(
        lambda event: event["kind"] == "heartbeat_expired" and event["account"] == wallet.name
    )
    assert 0.9e9 < expired["mono_ns"] - beaten < 6e9
    assert expired["canceled"] == 1
    assert clob.get_open_orders() == []
    assert len(client(bystander).get_open_orders()) == 1  # who never sent one has no dead-man switch
    assert clob.post_heartbeat("")["heartbeat_id"]  # disarmed: it begins anew


def test_the_client_follows_a_trade_to_the_chain(hasty_polymarket: control.Running) -> None:
    clob = client(Wallet(hasty_polymarket))
    reply = clob.create_and_post_order(bid(0.55))
    assert len(reply["transactionsHashes"]) == 1
    (trade,) = clob.get_trades(TradeParams(id=reply["tradeIDs"][0]))
    assert trade["status"] in {"MINED", "CONFIRMED"}
    assert trade["transaction_hash"] == reply["transactionsHashes"][0]
