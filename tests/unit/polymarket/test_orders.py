"""What the engine is told about an order, in whatever sequence the venue's news come."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_polymarket.messages import OpenOrder, OrderEvent, Trade, TradePart
from slipway_polymarket.orders import Order, Orders, Stage
from slipway_polymarket.wire import Side, Tif

E8 = 10**8


class Told:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def ack(self, client_id: int, venue_id: str) -> None:
        self.all.append(("ack", client_id, venue_id))

    def fill(
        self, client_id: int, price_e8: int, quantity_e8: int, fee_e8: int, side: Side, *, final: bool
    ) -> None:
        self.all.append(("fill", client_id, quantity_e8 // E8, final))

    def canceled(self, client_id: int, left_e8: int) -> None:
        self.all.append(("canceled", client_id, left_e8 // E8))

    def reject(self, client_id: int, code: int, reason: str) -> None:
        self.all.append(("reject", client_id, code))

    def log(self, level: int, message: str) -> None:
        self.all.append(("log", level))


def trade(trade_id: str, size: int, venue_id: str = "0xaa", status: str = "MATCHED") -> Trade:
    return Trade(trade_id, status, "7", (TradePart(venue_id, E8 // 2, size * E8, taker=True),), 0)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def orders(told: Told) -> Orders:
    return Orders(told)


def new(orders: Orders, tif: Tif = Tif.GTC, quantity: int = 10) -> Order:
    order = Order(1, 0, Side.BUY, tif, E8 // 2, quantity * E8)
    assert orders.add(order)
    orders.bind(order, "0xaa")
    return order


def test_ack_fill_fill(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.accepted(order)
    orders.trade(trade("t1", 4))
    orders.trade(trade("t2", 6))
    assert told.all == [("ack", 1, "0xaa"), ("fill", 1, 4, False), ("fill", 1, 6, True)]
    assert orders.open == []


def test_a_trade_counts_once_however_often_it_is_told(orders: Orders, told: Told) -> None:
    new(orders)
    for status in ("MATCHED", "MINED", "CONFIRMED", "MATCHED"):
        orders.trade(trade("t1", 4, status=status))
    assert told.all == [("ack", 1, "0xaa"), ("fill", 1, 4, False)]


def test_a_fill_before_the_reply_acks_first(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.trade(trade("t1", 10))
    orders.accepted(order)
    assert told.all == [("ack", 1, "0xaa"), ("fill", 1, 10, True)]


def test_a_trade_before_the_id_is_known_is_kept(orders: Orders, told: Told) -> None:
    order = Order(1, 0, Side.BUY, Tif.GTC, E8 // 2, 10 * E8)
    orders.add(order)
    orders.trade(trade("t1", 10))
    assert told.all == []
    orders.bind(order, "0xaa")
    assert told.all == [("ack", 1, "0xaa"), ("fill", 1, 10, True)]


def test_a_cancel_waits_for_the_fills_that_it_counts(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.accepted(order)
    orders.event(OrderEvent("0xaa", "CANCELLATION", 4 * E8, "7"))
    assert told.all == [("ack", 1, "0xaa")]
    orders.trade(trade("t1", 4))
    assert told.all[1:] == [("fill", 1, 4, False), ("canceled", 1, 6)]
    assert order.stage is Stage.DONE


def test_an_immediate_order_ends_with_the_last_of_its_trades(orders: Orders, told: Told) -> None:
    order = new(orders, Tif.IOC)
    orders.accepted(order)
    orders.trade(trade("t1", 3))
    orders.owe(order, ("t1", "t2"))
    assert order.stage is Stage.LIVE
    orders.trade(trade("t2", 2))
    assert told.all[1:] == [("fill", 1, 3, False), ("fill", 1, 2, False), ("canceled", 1, 5)]


def test_what_no_trade_explains_is_filled_at_the_orders_price_and_said(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.looked_up(order, OpenOrder("0xaa", "MATCHED", "7", 10 * E8, ()))
    assert told.all == [("ack", 1, "0xaa"), ("log", 4), ("fill", 1, 10, True)]


def test_a_late_fill_after_the_end_is_told_all_the_same(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.ended(order, 0)
    orders.trade(trade("t1", 4))
    assert told.all == [("ack", 1, "0xaa"), ("canceled", 1, 10), ("fill", 1, 4, True)]


def test_a_failed_settlement_is_shouted(orders: Orders, told: Told) -> None:
    new(orders)
    orders.trade(trade("t1", 4, status="FAILED"))
    assert told.all == [("log", 2)]


def test_a_reject_is_the_only_word(orders: Orders, told: Told) -> None:
    order = new(orders)
    orders.rejected(order, 400, "no")
    orders.rejected(order, 400, "no")
    orders.accepted(order)
    orders.ended(order, 0)
    assert told.all == [("reject", 1, 400)]


def test_an_id_is_used_once(orders: Orders) -> None:
    new(orders)
    assert not orders.add(Order(1, 0, Side.SELL, Tif.GTC, 1, 1))


@given(st.permutations(["reply", "t1", "t2", "end", "look-up", "t1", "end"]))
def test_in_any_sequence_it_is_ack_fills_end(news: list[str]) -> None:
    """10 ordered, 7 matched, then canceled: told once each, in a sequence that makes sense."""
    told = Told()
    orders = Orders(told)
    order = new(orders)
    seen: set[str] = set()
    for item in news:
        if item == "reply":
            orders.accepted(order)
        elif item == "end":
            orders.event(OrderEvent("0xaa", "CANCELLATION", 7 * E8, "7"))
        elif item == "look-up":  # whoever looks up takes the order's trades first
            orders.trade(trade("t1", 4))
            orders.trade(trade("t2", 3))
            orders.looked_up(order, OpenOrder("0xaa", "CANCELED", "7", 7 * E8, ("t1", "t2")))
        else:
            orders.trade(trade(item, {"t1": 4, "t2": 3}[item]))
        seen.add(item)
    kinds = [entry[0] for entry in told.all]
    assert kinds == ["ack", "fill", "fill", "canceled"]
    assert sum(entry[2] for entry in told.all if entry[0] == "fill") == 7
    assert told.all[-1] == ("canceled", 1, 3)


def test_ended_orders_are_forgotten_in_the_end(
    orders: Orders, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_polymarket.orders.KEPT", 5)
    for number in itertools.islice(itertools.count(100), 20):
        order = Order(number, 0, Side.BUY, Tif.GTC, 1, 1)
        orders.add(order)
        orders.bind(order, f"0x{number}")
        orders.ended(order, 0)
    assert orders.find("0x100") is None
    assert orders.get(119) is not None
