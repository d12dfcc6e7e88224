"""Every parser of the network's JSON: whatever comes, a value or MalformedMessageError, nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway_polymarket import messages
from slipway_polymarket.errors import MalformedMessageError
from slipway_polymarket.fixed import NotANumberError, to_e8, to_text
from slipway_polymarket.wire import Side

TRADE = {
    "event_type": "trade",
    "id": "t1",
    "status": "MATCHED",
    "asset_id": "7",
    "taker_order_id": "0xaa",
    "price": "0.57",
    "size": "10",
    "fee_rate_bps": "0",
    "maker_orders": [{"order_id": "0xbb", "matched_amount": "10", "price": "0.57"}],
}
ORDER = {
    "event_type": "order",
    "id": "0xaa",
    "type": "UPDATE",
    "asset_id": "7",
    "size_matched": "3",
    "status": "LIVE",
    "associate_trades": ["t1"],
}
BOOK = {"event_type": "book", "asset_id": "7", "bids": [{"price": "0.4", "size": "1"}], "asks": []}
CHANGE = {
    "event_type": "price_change",
    "price_changes": [
        {"asset_id": "7", "price": "0.4", "size": "0", "side": "BUY", "best_bid": "0.3", "best_ask": ""}
    ],
}
TICK = {"event_type": "tick_size_change", "asset_id": "7", "new_tick_size": "0.001"}
SAMPLES: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "book": (messages.book, [BOOK]),
    "trade": (messages.trade, [TRADE]),
    "open_order": (messages.open_order, [ORDER]),
    "post_reply": (
        messages.post_reply,
        [{"success": True, "orderID": "0x", "status": "live", "tradeIDs": ["a"]}],
    ),
    "cancel_reply": (messages.cancel_reply, [{"canceled": ["a"], "not_canceled": {"b": "gone"}}]),
    "geo": (messages.geo, [{"blocked": False, "ip": "::1", "country": "IE", "region": "L"}]),
    "server_time": (messages.server_time, [1_790_000_000, "1790000000.25", {"time": 1_790_000_000_123}]),
    "heartbeat_id": (messages.heartbeat_id, [{"heartbeat_id": "x"}]),
    "version": (messages.version, [{"version": 2}]),
    "tick_size": (messages.tick_size, [{"minimum_tick_size": 0.01}]),
    "neg_risk": (messages.neg_risk, [{"neg_risk": True}]),
    "page": (messages.page, [{"data": [1], "next_cursor": "LTE="}]),
}
KEYS = sorted(
    {
        key
        for _, samples in SAMPLES.values()
        for sample in samples
        if isinstance(sample, dict)
        for key in sample
    }
    | set(CHANGE["price_changes"][0])
    | {"order_id", "matched_amount", "error", "retry_after_seconds"}
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.sampled_from(["0.5", "1e9", "-1", "NaN", "BUY", "LIVE", "book", "trade", "order", "9" * 50, "٣"]),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=12,
)


def survives(parse: Callable[[Any], Any], value: Any) -> None:
    with contextlib.suppress(MalformedMessageError):
        parse(value)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_read(name: str) -> None:
    parse, samples = SAMPLES[name]
    for sample in samples:
        parse(messages.loads(json.dumps(sample)))


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_reply_breaks_its_parser(name: str, data: st.DataObject) -> None:
    """Anything at all; and a good sample with any one of its values replaced."""
    parse, samples = SAMPLES[name]
    survives(parse, data.draw(JSON))
    sample = data.draw(st.sampled_from(samples))
    if isinstance(sample, dict):
        survives(parse, sample | {data.draw(st.sampled_from(sorted(sample))): data.draw(JSON)})


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([BOOK, CHANGE, TICK, TRADE, ORDER]),
    st.sampled_from(KEYS),
    JSON,
    st.booleans(),
)
def test_no_frame_breaks_a_channel(sample: dict[str, Any], key: str, value: Any, listed: bool) -> None:
    frame = sample | {key: value}
    text = json.dumps([frame, sample] if listed else frame, default=str)
    survives(messages.market_events, text)
    survives(messages.user_events, text)


@given(st.text() | st.binary())
def test_no_bytes_break_a_channel(text: str | bytes) -> None:
    survives(messages.market_events, text)
    survives(messages.user_events, text)
    if isinstance(text, bytes):
        assert len(messages.error_text(text)[0]) <= 120


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        "NaN",
        "-Infinity",
        "1" * 10_000,
        '{"event_type": "book"',
        "",
        "[[[]]]",
    ],
)
def test_absurd_texts_are_malformed(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        messages.market_events(text)


@given(JSON)
def test_no_error_body_breaks_the_error(value: Any) -> None:
    text, wait = messages.error_text(json.dumps(value, default=str).encode())
    assert len(text) <= 120
    assert wait is None or 0 <= wait < 86400


def test_what_the_venue_says_is_what_we_read() -> None:
    [book] = messages.market_events(json.dumps([BOOK]))
    assert book == messages.Book("7", ((40_000_000, 10**8),), ())
    [change] = messages.market_events(json.dumps(CHANGE))
    assert change == messages.LevelChange("7", Side.BUY, 40_000_000, 0, 30_000_000, None)
    [trade] = messages.user_events(json.dumps(TRADE))
    assert isinstance(trade, messages.Trade)
    assert [part.taker for part in trade.parts] == [True, False]
    assert messages.market_events('[{"event_type": "new_kind"}, {}]') == []
    assert messages.server_time(1_790_000_000) == (1_790_000_000 * 10**9, 10**9)
    assert messages.server_time(1_790_000_000_123) == (1_790_000_000_123 * 10**6, 10**6)
    assert messages.open_order(ORDER | {"status": "ORDER_STATUS_CANCELED"}).status == "CANCELED"
    assert messages.error_text(b'{"error": "Trading restricted"}') == ("Trading restricted", None)
    assert messages.error_text(b'{"code": "post_only_mode", "retry_after_seconds": 12}')[1] == 12


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_numbers_survive_their_text(units: int) -> None:
    assert to_e8(to_text(units)) == units


@given(LEAVES)
def test_no_number_breaks_its_reader(value: Any) -> None:
    with contextlib.suppress(NotANumberError):
        assert -(2**63) < to_e8(value) < 2**63


def test_numbers_are_exact() -> None:
    assert to_e8("0.29") == 29_000_000
    assert to_e8(Decimal("1E-2")) == 1_000_000
    assert to_text(to_e8("-0.0100")) == "-0.01"
    for bad in ("1e5", "", " 1", "0x1", "1_0", True, 0.5, None, "1.", ".5"):
        with pytest.raises(NotANumberError):
            to_e8(bad)
