"""Whole conversations with the Polymarket connector: engine's socket on one side, the venue on the other."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from polymarket_bench import (
    KEY,
    PATIENCE_S,
    PRIVATE_KEY,
    TOKEN,
    Authority,
    Connect,
    Connector,
    Engine,
    Simulator,
    authority,
    connect,
    connector,
    engine,
    simulator,
    start,
    until,
    venue,
    wait_for,
)
from slipway_polymarket import wire
from slipway_polymarket.config import Settings
from slipway_polymarket.credentials import Credentials
from slipway_polymarket.venue import Market, NewOrder, Venue
from slipway_polymarket.wire import Side, State, Tif, Type

__all__ = ["authority", "connect", "connector", "engine", "simulator", "start", "venue"]
"""Fixtures: pytest finds them here by name, before those of the same names in conftest.py."""

E8 = 10**8


def test_a_day_of_an_engine(connector: Connector, connect: Connect, venue: Simulator) -> None:
    assert stat.S_IMODE(connector.socket_path.stat().st_mode) == 0o660
    engine = connect(connector)
    engine.ready()
    until(connector.notified, lambda text: text == "STATUS=READY")
    until(connector.notified, lambda text: text == "WATCHDOG=1")
    quote = next(values for kind, values in engine.told if kind == Type.QUOTE)
    assert 0 < quote["bid_e8"] < quote["ask_e8"] < E8
    assert quote["bid_quantity_e8"] > 0 < quote["ask_quantity_e8"]
    assert 0 < time.monotonic_ns() - quote["received_mono_ns"] < 60e9

    resting = engine.submit(Side.BUY, "0.10", "10.29")  # 10.29 * 100 in floats is 1028.99…: must stay exact
    ack = engine.expect(Type.ACK, client_id=resting)
    [order] = venue.open_orders()
    assert ack["venue_id"] == order["id"]
    assert (order["original_size"], order["price"], order["side"]) == ("10.29", "0.1", "BUY")

    taking = engine.submit(Side.BUY, "0.60", "20", Tif.IOC)
    fill = engine.expect(Type.FILL, client_id=taking)
    assert fill["quantity_e8"] == 20 * E8
    assert 0.49 * E8 < fill["price_e8"] <= 0.60 * E8
    assert (fill["final"], fill["side"]) == (1, Side.BUY)
    assert engine.reports(taking) == ["ACK", "FILL"]

    engine.cancel(resting)
    assert engine.expect(Type.CANCELED, client_id=resting)["left_e8"] == 10_29 * E8 // 100
    assert engine.reports(resting) == ["ACK", "CANCELED"]
    assert venue.open_orders() == []

    several = [engine.submit(side, price, "7") for side, price in ((Side.BUY, "0.20"), (Side.SELL, "0.90"))]
    for order_id in several:
        wait_for_report(engine, Type.ACK, order_id)
    engine.send(Type.CANCEL_ALL)
    wait_for("flat", lambda: not venue.open_orders())
    engine.expect(Type.LOG, text="flat: the venue has nothing open")
    for order_id in several:
        wait_for_report(engine, Type.CANCELED, order_id)
    engine.ready()  # and it may trade again
    engine.close()


def wait_for_report(engine: Engine, kind: Type, client_id: int) -> None:
    """Wait for a report that may have come already: orders sent together are answered in any sequence."""
    if kind.name not in engine.reports(client_id):
        engine.expect(kind, client_id=client_id)


def test_an_immediate_order_that_meets_nobody_is_taken_and_canceled(engine: Engine) -> None:
    order = engine.submit(Side.BUY, "0.02", "50", Tif.IOC)
    assert engine.expect(Type.CANCELED, client_id=order)["left_e8"] == 50 * E8
    assert engine.reports(order) == ["ACK", "CANCELED"]


def test_an_immediate_order_fills_in_part_and_ends(engine: Engine, venue: Simulator) -> None:
    top = next(values for kind, values in reversed(engine.told) if kind == Type.QUOTE)
    price = f"{top['ask_e8'] / E8:.2f}"
    quantity = (top["ask_quantity_e8"] // E8 + 3000) * E8
    order = engine.submit(Side.BUY, price, f"{quantity // E8}", Tif.IOC)
    left = engine.expect(Type.CANCELED, client_id=order)["left_e8"]
    fills = [v["quantity_e8"] for k, v in engine.told if k == Type.FILL and v["client_id"] == order]
    assert sum(fills) + left == quantity
    assert sum(fills) == top["ask_quantity_e8"]
    assert engine.reports(order)[0] == "ACK"
    assert engine.reports(order)[-1] == "CANCELED"


def test_a_resting_order_fills_when_the_market_comes(engine: Engine, venue: Simulator) -> None:
    order = engine.submit(Side.BUY, "0.30", "12")
    engine.expect(Type.ACK, client_id=order)
    venue.ask("POST", "/market", {"mid": "0.20"})
    while not engine.expect(Type.FILL, client_id=order)["final"]:
        pass
    fills = [v for k, v in engine.told if k == Type.FILL and v["client_id"] == order]
    assert sum(fill["quantity_e8"] for fill in fills) == 12 * E8
    assert {fill["price_e8"] for fill in fills} == {30_000_000}


@pytest.mark.parametrize(
    ("price", "quantity", "says"),
    [
        ("0.10", "1", "minimum"),
        ("0.00", "10", "allowed are multiples"),
        ("1.00", "10", "allowed are multiples"),
    ],
)
def test_bad_orders_are_rejected_with_the_reason(
    engine: Engine, price: str, quantity: str, says: str
) -> None:
    order = engine.submit(Side.BUY, price, quantity)
    assert says in engine.expect(Type.REJECT, client_id=order)["text"]
    assert engine.reports(order) == ["REJECT"]


def test_a_cancel_that_overtakes_its_order_is_not_lost(engine: Engine, venue: Simulator) -> None:
    order = engine.submit(Side.BUY, "0.10", "10")
    engine.cancel(order)
    engine.expect(Type.CANCELED, client_id=order)
    assert venue.open_orders() == []


def test_engine_gone_means_flat_at_the_venue(engine: Engine, venue: Simulator) -> None:
    for price in ("0.10", "0.11", "0.12"):
        engine.expect(Type.ACK, client_id=engine.submit(Side.BUY, price, "10"))
    assert len(venue.open_orders()) == 3
    engine.close()
    wait_for("flat", lambda: not venue.open_orders(), 5)


def test_a_stop_leaves_nothing_open(
    start: Callable[..., Connector], connect: Connect, venue: Simulator
) -> None:
    connector = start()
    engine = connect(connector)
    engine.ready()
    engine.expect(Type.ACK, client_id=engine.submit(Side.BUY, "0.10", "10"))
    connector.signal(signal.SIGTERM)
    assert connector.process.wait(20) == 0
    assert venue.open_orders() == []
    assert not connector.socket_path.exists()


def test_a_stopped_process_is_cancelled_by_the_venue_and_finds_out(
    start: Callable[..., Connector], connect: Connect, venue: Simulator
) -> None:
    connector = start()
    engine = connect(connector)
    engine.ready()
    order = engine.submit(Side.BUY, "0.10", "10")
    engine.expect(Type.ACK, client_id=order)
    wait_for("a heartbeat", lambda: [e for e in venue.events() if e["kind"] == "heartbeat"])
    connector.signal(signal.SIGSTOP)
    wait_for("the dead man", lambda: not venue.open_orders(), 15)
    assert [e for e in venue.events() if e["kind"] == "heartbeat_expired"]
    connector.signal(signal.SIGCONT)
    engine.expect(Type.CANCELED, client_id=order)
    wait_for("heartbeats again", lambda: venue.events()[-1]["kind"] == "heartbeat")
    engine.close()


def test_heartbeats_come_only_while_an_engine_is_there(
    connector: Connector, connect: Connect, venue: Simulator
) -> None:
    engine = connect(connector)
    engine.ready()
    wait_for("a heartbeat", lambda: [e for e in venue.events() if e["kind"] == "heartbeat"])
    engine.close()
    until(connector.notified, lambda text: "no engine connected" in text)
    since = venue.last_event
    time.sleep(1.5)  # one and a half of its intervals
    assert not [e for e in venue.events(since) if e["kind"] == "heartbeat"]


def test_a_wrong_key_is_refused_and_not_tried_again(
    start: Callable[..., Connector], connect: Connect, venue: Simulator
) -> None:
    since = venue.last_event
    connector = start(secrets={"polymarket_api_key": "99999999-2222-3333-4444-555555555555"})
    until(connector.notified, lambda text: text.startswith("STATUS=REFUSED: HTTP 401"))
    asked = len(venue.events(since))
    engine = connect(connector)
    reason = engine.expect(Type.STATE, state=State.REFUSED)["reason"]
    assert "401" in reason
    order = engine.submit(Side.BUY, "0.10", "10")
    assert "not ready" in engine.expect(Type.REJECT, client_id=order)["text"]
    time.sleep(1.0)
    assert len(venue.events(since)) - asked <= 4  # the one try that the engine's coming made
    assert KEY["secret"] not in "".join(connector.errors)
    assert PRIVATE_KEY[2:] not in "".join(connector.errors)
    engine.close()


def test_geoblocked_is_refused(start: Callable[..., Connector], connect: Connect, venue: Simulator) -> None:
    venue.fault("block_addresses", addresses=["127.0.0.0/8"], country="GB")
    engine = connect(start())
    assert "geoblocked: 127.0.0.1 in GB" in engine.expect(Type.STATE, state=State.REFUSED)["reason"]
    engine.close()


def test_a_region_that_closes_later_refuses_but_still_cancels(engine: Engine, venue: Simulator) -> None:
    resting = engine.submit(Side.BUY, "0.10", "10")
    engine.expect(Type.ACK, client_id=resting)
    venue.fault("block_addresses", addresses=["127.0.0.0/8"], country="GB")
    order = engine.submit(Side.BUY, "0.11", "10")
    assert engine.expect(Type.REJECT, client_id=order)["code"] == 403
    assert any(k == Type.STATE and v["state"] == State.REFUSED for k, v in engine.told) or engine.expect(
        Type.STATE, state=State.REFUSED
    )
    engine.cancel(resting)
    engine.expect(Type.CANCELED, client_id=resting)
    assert venue.open_orders() == []


@pytest.mark.parametrize(
    ("fault", "parameters", "code"),
    [
        ("restart", {"retry_after": 2}, 425),
        ("too_many_requests", {"retry_after": 2}, 429),
        ("cancel_only", {}, 503),
    ],
)
def test_the_venues_wish_to_wait_is_honoured(
    engine: Engine, venue: Simulator, fault: str, parameters: dict[str, int], code: int
) -> None:
    venue.fault(fault, **parameters)
    began = time.monotonic()
    order = engine.submit(Side.BUY, "0.10", "10")
    # A heartbeat may have heard of the pause first: then it is ours that refuses.
    reject = engine.expect(Type.REJECT, client_id=order)
    assert reject["code"] == code or f"HTTP {code}" in reject["text"]
    venue.heal()
    engine.ready()
    assert time.monotonic() - began >= 1.5
    engine.expect(Type.ACK, client_id=engine.submit(Side.BUY, "0.10", "10"))


def test_an_order_without_an_answer_is_looked_up_not_sent_again(engine: Engine, venue: Simulator) -> None:
    since = venue.last_event
    venue.fault("http_status", status=500, paths=["/order"], after=True)
    order = engine.submit(Side.BUY, "0.10", "10")
    engine.expect(Type.ACK, client_id=order)
    venue.heal()
    assert len([e for e in venue.events(since) if e["kind"] == "new"]) == 1
    engine.cancel(order)
    engine.expect(Type.CANCELED, client_id=order)


def test_an_order_that_never_arrived_is_rejected_in_the_end(engine: Engine, venue: Simulator) -> None:
    venue.fault("http_status", status=500, paths=["/order"])
    order = engine.submit(Side.BUY, "0.10", "10")
    time.sleep(0.3)
    venue.heal()
    assert "no trace" in engine.expect(Type.REJECT, client_id=order)["text"]
    assert engine.reports(order) == ["REJECT"]


def test_fills_during_a_blind_user_stream_are_found(engine: Engine, venue: Simulator) -> None:
    order = engine.submit(Side.BUY, "0.30", "12")
    engine.expect(Type.ACK, client_id=order)
    venue.fault("refuse_connections", kinds=["user"])
    venue.fault("drop_connections", kinds=["user"])
    engine.expect(Type.STATE, state=State.CONNECTING)
    venue.ask("POST", "/market", {"mid": "0.20"})
    wait_for("the fill", lambda: not venue.open_orders())
    venue.heal()
    while not engine.expect(Type.FILL, client_id=order)["final"]:
        pass
    fills = [v["quantity_e8"] for k, v in engine.told if k == Type.FILL and v["client_id"] == order]
    assert sum(fills) == 12 * E8
    engine.ready()


def test_a_lost_market_stream_comes_back_with_a_fresh_book(engine: Engine, venue: Simulator) -> None:
    venue.fault("drop_connections", kinds=["market"])
    assert "market stream lost" in engine.expect(Type.STATE, state=State.CONNECTING)["reason"]
    venue.heal()
    engine.expect(Type.QUOTE, instrument=0)
    if engine.told[-1][1].get("state") != State.READY:
        engine.ready()


def test_orders_of_others_are_told_as_orphans(
    connector: Connector, connect: Connect, venue: Simulator, authority: Authority
) -> None:
    stranger = Venue(
        f"https://localhost:{venue.port}",
        Settings(),
        Credentials(PRIVATE_KEY, KEY["api_key"], KEY["secret"], KEY["passphrase"]),
        ssl.create_default_context(cafile=authority.ca),
    )
    order = NewOrder(Market(TOKEN, E8 // 100, neg_risk=False), Side.BUY, Tif.GTC, E8 // 10, 10 * E8)
    reply = asyncio.run(stranger.submit(order, lambda _venue_id: None))
    stranger.close()
    engine = connect(connector)
    found = engine.expect(Type.ORPHAN)
    assert (found["venue_id"], found["instrument"]) == (reply.venue_id, 0)
    engine.ready()
    engine.send(Type.CANCEL_ALL)
    wait_for("flat", lambda: not venue.open_orders())
    engine.close()


def test_a_wrong_clock_is_not_ready(
    start: Callable[..., Connector], connect: Connect, venue: Simulator
) -> None:
    venue.fault("clock_offset", ms=1500)
    engine = connect(start())
    deadline = time.monotonic() + 20
    while "clock differs from the venue's by -1" not in (
        reason := engine.expect(Type.STATE, state=State.CONNECTING)["reason"]
    ):
        assert time.monotonic() < deadline, reason
    venue.heal()
    engine.ready()
    engine.close()


def test_one_engine_at_a_time_and_only_one_that_fits(
    engine: Engine, connector: Connector, connect: Connect
) -> None:
    for parameters, says in (
        ({}, "another engine"),
        ({"instruments": 2}, "2 instruments"),
        ({"version": 9}, "wire version 9"),
    ):
        other = connect(connector, **parameters)
        assert says in other.expect(Type.STATE, state=State.REFUSED)["reason"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(str(connector.socket_path))
        stranger.send(b"hello?")
        stranger.settimeout(PATIENCE_S)
        assert wire.HEADER.unpack_from(stranger.recv(4096))[0] == Type.STATE
        assert stranger.recv(4096) == b""
    engine.expect(Type.ACK, client_id=engine.submit(Side.BUY, "0.10", "10"))


def test_the_token_is_as_long_as_the_venues_are() -> None:
    assert len(TOKEN) == 77
