"""The order book: price-time priority, and what no sequence of orders may break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.lab.venues.common.book import Book, Lasting, Order, Side, WouldCrossError
from infra.lab.venues.common.fixed import format_e8, parse_e8, plain_e8

UNIT = 100_000_000


def order(number: int, side: Side, price: int, quantity: int) -> Order:
    return Order(number, f"account{number}", side, price * UNIT, quantity * UNIT)


def test_best_price_trades_first_then_the_earlier_order() -> None:
    book = Book[Order]()
    for number, price in ((1, 102), (2, 101), (3, 101)):
        book.place(order(number, Side.SELL, price, 5))
    fills = book.place(order(4, Side.BUY, 102, 12))
    assert [(fill.maker.number, fill.price_e8 // UNIT, fill.quantity_e8 // UNIT) for fill in fills] == [
        (2, 101, 5),
        (3, 101, 5),
        (1, 102, 2),
    ]
    assert book.best(Side.SELL) == (102 * UNIT, 3 * UNIT)
    assert book.best(Side.BUY) is None


def test_a_limit_order_rests_at_its_price_with_what_is_left() -> None:
    book = Book[Order]()
    book.place(order(1, Side.SELL, 100, 2))
    resting = order(2, Side.BUY, 100, 5)
    assert len(book.place(resting)) == 1
    assert resting in book
    assert book.depth(Side.BUY) == [(100 * UNIT, 3 * UNIT)]


def test_ioc_leaves_nothing_fok_is_whole_or_nothing_and_post_only_never_takes() -> None:
    book = Book[Order]()
    book.place(order(1, Side.SELL, 100, 2))
    assert book.place(order(2, Side.BUY, 100, 3), Lasting.FOK) == []
    with pytest.raises(WouldCrossError):
        book.place(order(3, Side.BUY, 100, 1), post_only=True)
    assert book.best(Side.SELL) == (100 * UNIT, 2 * UNIT)
    assert len(book.place(order(4, Side.BUY, 100, 3), Lasting.IOC)) == 1
    assert book.best(Side.BUY) is None
    assert book.best(Side.SELL) is None


def test_a_market_order_ignores_its_price_and_never_rests() -> None:
    book = Book[Order]()
    book.place(order(1, Side.BUY, 100, 1))
    book.place(order(2, Side.BUY, 50, 1))
    assert len(book.place(order(3, Side.SELL, 0, 5), at_market=True)) == 2
    assert book.orders() == []


def test_quantity_for_money_walks_the_levels() -> None:
    book = Book[Order]()
    book.place(order(1, Side.SELL, 100, 1))
    book.place(order(2, Side.SELL, 200, 5))
    assert book.quantity_for(Side.BUY, 300 * UNIT) == 2 * UNIT


actions = st.lists(
    st.tuples(
        st.sampled_from(["place", "ioc", "fok", "cancel"]),
        st.sampled_from(list(Side)),
        st.integers(90, 110),
        st.integers(1, 20),
    ),
    max_size=60,
)


@given(actions)
def test_whatever_comes_the_book_is_never_crossed_and_nothing_is_lost(
    steps: list[tuple[str, Side, int, int]],
) -> None:
    book, sent = Book[Order](), []
    for number, (action, side, price, quantity) in enumerate(steps):
        if action == "cancel":
            if resting := book.orders():
                book.cancel(resting[quantity % len(resting)])
            continue
        new = order(number, side, price, quantity)
        sent.append(new)
        fills = book.place(new, {"place": Lasting.GTC, "ioc": Lasting.IOC, "fok": Lasting.FOK}[action])
        for fill in fills:
            better = fill.price_e8 <= new.price_e8 if side is Side.BUY else fill.price_e8 >= new.price_e8
            assert better
        if action == "fok":
            assert new.filled_e8 in {0, new.quantity_e8}
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid[0] < ask[0]
    bought = sum(one.filled_e8 for one in sent if one.side is Side.BUY)
    sold = sum(one.filled_e8 for one in sent if one.side is Side.SELL)
    assert bought == sold
    assert sum(one.spent_e8 for one in sent if one.side is Side.BUY) == sum(
        one.spent_e8 for one in sent if one.side is Side.SELL
    )
    for side in Side:
        resting = sum(one.left_e8 for one in book.orders() if one.side is side)
        assert resting == sum(quantity for _, quantity in book.depth(side))


@given(st.integers(-(10**18), 10**18))
def test_fixed_point_text_comes_back(value: int) -> None:
    assert parse_e8(format_e8(value)) == value
    assert parse_e8(plain_e8(value)) == value


@pytest.mark.parametrize("text", ["", "1.000000001", "NaN", "Infinity", "one", "1e-9"])
def test_what_is_no_number_of_eight_decimals_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|finite"):
        parse_e8(text)
