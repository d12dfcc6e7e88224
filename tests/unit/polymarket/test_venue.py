"""Signatures and amounts, against the published vectors and exact arithmetic."""

from __future__ import annotations

import ssl
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from slipway_polymarket import messages
from slipway_polymarket.book import TopOfBook
from slipway_polymarket.config import Settings
from slipway_polymarket.credentials import Credentials
from slipway_polymarket.errors import RefusedError, VenueError
from slipway_polymarket.geo import check
from slipway_polymarket.heartbeat import WrongHeartbeatIdError
from slipway_polymarket.venue import Market, NewOrder, Venue, amounts, immediate_buy
from slipway_polymarket.wire import Side, Tif

E8 = 10**8
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
DIGEST = "0xf69f17dcabb49e64a79a669ea5336cd3ce518c083c821664f295c62e39baedec"
SIGNATURE = (
    "0x745070770d383e6f4e6431858070edacbea294ed0e2b16f147127edafc51b59a"
    "6e788aaeda02cce5989ee10cc983a4045313e1ec7075c5a5b84f6212b097d36a1b"
)


@pytest.fixture
def venue() -> Any:
    found = Venue(
        "https://venue.lab",
        Settings(),
        Credentials(KEY, "key", "A" * 43 + "=", "pass"),
        ssl.create_default_context(),
    )
    yield found
    found.close()


def test_the_published_v2_order_has_its_digest_and_signature(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ExchangeOrderBuilderV2.build_order

    def fixed(self: Any, data: Any) -> Any:
        order = plain(self, data)
        order.salt, order.timestamp = "479249096354", "1780449126930"
        return order

    monkeypatch.setattr(ExchangeOrderBuilderV2, "build_order", fixed)
    # 100 pUSD for 50 shares is a price of 2: no market's, but the vector's.
    order = NewOrder(Market("1234", E8 // 100, neg_risk=False), Side.BUY, Tif.GTC, 2 * E8, 50 * E8)
    signed, digest = venue.sign(order)
    assert (signed.makerAmount, signed.takerAmount) == ("100000000", "50000000")
    assert digest == DIGEST
    assert signed.signature == SIGNATURE


def test_another_contract_gives_another_digest(venue: Venue) -> None:
    digests = {
        venue.sign(NewOrder(Market("1234", 1, neg_risk=risk), Side.BUY, Tif.GTC, E8 // 2, E8))[1]
        for risk in (False, True)
    }
    assert len(digests) == 2


@given(st.integers(1, 9999), st.integers(1, 10**7), st.sampled_from([100, 1000, 10_000]))
def test_amounts_are_exact(ticks: int, hundredths: int, per_one: int) -> None:
    price, quantity = ticks % per_one * (E8 // per_one), hundredths * E8 // 100
    money, shares = amounts(Side.BUY, price, quantity)
    assert Decimal(shares) / 10**6 == Decimal(hundredths) / 100
    assert Decimal(money) / 10**6 == Decimal(price) / E8 * Decimal(hundredths) / 100
    assert amounts(Side.SELL, price, quantity) == (shares, money)


@given(st.integers(1, 99), st.integers(100, 10**6))
def test_immediate_buys_are_whole_cents_and_never_more_than_asked(ticks: int, hundredths: int) -> None:
    price, quantity = ticks * E8 // 100, hundredths * E8 // 100
    money, shares = immediate_buy(Market("7", E8 // 100, neg_risk=False), price, quantity)
    assert money % 10_000 == 0
    assert shares % 100 == 0
    assert money * 100 * E8 <= price * quantity
    assert shares * 100 <= quantity
    if money:  # the price is the one asked, but for what the cut decimals make
        assert abs(Decimal(money) / Decimal(shares) - Decimal(price) / E8) < Decimal("0.0001")


@pytest.mark.parametrize(
    ("status", "body", "headers", "what", "wait"),
    [
        (401, {"error": "Unauthorized/Invalid api key"}, {}, "is_refusal", None),
        (403, {"error": "Trading restricted in your region"}, {}, "is_refusal", None),
        (425, "engine restarting", {"Retry-After": "90"}, "is_pause", 90.0),
        (425, {"code": "post_only_mode", "retry_after_seconds": 7}, {"Retry-After": "90"}, "is_pause", 7.0),
        (429, {"error": "slow down"}, {"Retry-After": "soon"}, "is_pause", None),
        (503, "", {}, "is_pause", None),
        (500, "<html>", {}, "is_unknown", None),
    ],
)
def test_errors_say_what_to_do(
    venue: Venue, status: int, body: Any, headers: dict[str, str], what: str, wait: float | None
) -> None:
    answer(venue, status, body, headers)
    with pytest.raises(VenueError) as error:
        venue._client.cancel_all()
    kinds = {kind for kind in ("is_refusal", "is_pause", "is_unknown") if getattr(error.value, kind)}
    assert kinds == {what}
    assert error.value.retry_after_s == wait


def test_a_wrong_heartbeat_id_brings_the_right_one(venue: Venue) -> None:
    answer(venue, 400, {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": "next"})
    with pytest.raises(WrongHeartbeatIdError) as error:
        venue._client.post_heartbeat("old")
    assert error.value.expected == "next"


def test_no_answer_is_unknown_and_no_connection_is_not(venue: Venue) -> None:
    for fault, unknown in ((httpx.ReadTimeout("late"), True), (httpx.ConnectError("refused"), False)):

        def fail(_: httpx.Request, fault: Exception = fault) -> httpx.Response:
            raise fault

        venue._client._transport = httpx.Client(transport=httpx.MockTransport(fail))
        with pytest.raises(VenueError) as error:
            venue._client.cancel_all()
        assert error.value.is_unknown is unknown


def test_pages_end(venue: Venue) -> None:
    answer(venue, 200, {"data": [], "next_cursor": "MA=="})
    with pytest.raises(messages.MalformedMessageError, match="pages"):
        venue._pages("/data/orders", {})


def answer(venue: Venue, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    def reply(_: httpx.Request) -> httpx.Response:
        kind = {"text": body} if isinstance(body, str) else {"json": body}
        return httpx.Response(status, headers=headers, **kind)

    venue._client._transport = httpx.Client(transport=httpx.MockTransport(reply))


def test_blocked_is_refused_with_place() -> None:
    check(messages.Geo(blocked=False, ip="192.0.2.1", country="IE", region="L"))
    with pytest.raises(RefusedError, match=r"geoblocked: 192\.0\.2\.1 in GB ENG"):
        check(messages.Geo(blocked=True, ip="192.0.2.1", country="GB", region="ENG"))


LEVELS = st.dictionaries(st.integers(1, 99), st.integers(0, 5), max_size=12)


@given(
    LEVELS,
    LEVELS,
    st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 99), st.integers(0, 3)), max_size=30),
)
def test_the_top_is_that_of_a_plain_book(
    bids: dict[int, int], asks: dict[int, int], changes: list[tuple[Side, int, int]]
) -> None:
    top = TopOfBook()
    top.replace(messages.Book("7", tuple(bids.items()), tuple(asks.items())))
    plain = {Side.BUY: dict(bids), Side.SELL: dict(asks)}
    for side, price, size in changes:
        plain[side][price] = size
        best_bid = max((p for p, s in plain[Side.BUY].items() if s), default=0)
        best_ask = min((p for p, s in plain[Side.SELL].items() if s), default=E8)
        change = messages.LevelChange("7", side, price, size, best_bid, best_ask)
        top.change(change)
        assert top.agrees(change)
        wrong = messages.LevelChange("7", side, price, size, best_bid + 1, best_ask)
        assert not top.agrees(wrong)
    live = {side: {p: s for p, s in levels.items() if s} for side, levels in plain.items()}
    best_bid, best_ask = max(live[Side.BUY], default=0), min(live[Side.SELL], default=0)
    assert top.bid == (best_bid, live[Side.BUY].get(best_bid, 0))
    assert top.ask == (best_ask, live[Side.SELL].get(best_ask, 0))
