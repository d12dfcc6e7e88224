"""The Binance connector against the Binance simulator: trading, and each refusal and fault of the venue."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Start = Callable[..., Any]
KEYS = pytest.mark.parametrize("key_type", ["ed25519", "hmac"])


def until(true: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Wait until ``true`` says so."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def from_venue_id(number: int) -> str:
    """The clientOrderId of one of our ids."""
    return f"slw-{number:016x}"


# ---- trading


@KEYS
def test_trades_with_either_kind_of_key(venue: Any, connect: Start, key_type: str) -> None:
    driver = connect(venue, key_type=key_type)
    driver.ready()
    quote = driver.wait(event="quote")
    assert float(quote["bid"]) < float(quote["ask"])

    assert driver.submit(1, "buy", "90000") == 0
    driver.wait(event="ack", id=1)
    assert venue.open_orders()[0]["clientOrderId"] == from_venue_id(1)
    driver.say("cancel 1")
    assert driver.wait(event="cancel", id=1)["left"] == "0.001"

    assert driver.submit(2, "buy", "110000") == 0
    fill = driver.wait(event="fill", id=2, final=True)
    assert fill["quantity"] == "0.001"
    assert float(quote["ask"]) * 0.9 < float(fill["price"]) < float(quote["ask"]) * 1.1

    assert driver.submit(3, "sell", "90000") == 0
    sold = driver.wait(event="fill", id=3, final=True)
    assert float(sold["fee"]) == pytest.approx(float(sold["price"]) * 0.001 * 0.001, rel=1e-4)
    assert [len(driver.some(event=kind, id=2)) for kind in ("ack", "fill", "cancel", "reject")] == [
        1,
        1,
        0,
        0,
    ]


def test_an_event_that_comes_before_its_answer_is_told_once(venue: Any, connect: Start) -> None:
    venue.fault("events_first")
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    driver.say("cancel 1")
    driver.wait(event="cancel", id=1)
    driver.submit(2, "buy", "110000", tif="ioc")
    driver.wait(event="fill", id=2, final=True)
    driver.submit(3, "buy", "90000", tif="ioc")
    assert driver.wait(event="cancel", id=3)["left"] == "0.001"
    told = [
        (event["event"], event["id"])
        for event in driver.some()
        if event["event"] in {"ack", "fill", "cancel"}
    ]
    assert told == [("ack", 1), ("cancel", 1), ("ack", 2), ("fill", 2), ("ack", 3), ("cancel", 3)]


def test_a_large_order_fills_in_parts_that_add_up(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "150000", "2")
    driver.wait(event="fill", id=1, final=True)
    fills = driver.some(event="fill", id=1)
    assert len(fills) > 1
    assert sum(float(fill["quantity"]) for fill in fills) == pytest.approx(2)
    assert [fill["final"] for fill in fills] == [False] * (len(fills) - 1) + [True]


def test_orders_that_break_the_venue_s_filters_are_not_sent(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    sent = len(venue.events("new"))
    for number, (price, quantity, word) in enumerate(
        [
            ("90000.001", "0.001", "PRICE_FILTER"),
            ("90000", "0.001005", "LOT_SIZE"),
            ("90000", "0.00001", "NOTIONAL"),
            ("2000000", "0.001", "PRICE_FILTER"),
            ("90000", "10000", "LOT_SIZE"),
        ],
        start=1,
    ):
        assert driver.submit(number, "buy", price, quantity) == -1
        assert word in driver.some(event="log", level=4)[-1]["text"]
    assert len(venue.events("new")) == sent


@KEYS
def test_submit_and_cancel_allocate_nothing(venue: Any, connect: Start, key_type: str) -> None:
    driver = connect(venue, key_type=key_type)
    driver.ready()
    for number in range(1, 6):
        assert driver.submit(number, "buy", "90000") == 0
        driver.wait(event="ack", id=number)
        driver.say(f"cancel {number}")
        driver.wait(event="cancel", id=number)
    driver.say("count")
    made = driver.wait(event="allocations")
    if not made["counted"]:
        pytest.skip("a build with sanitizers cannot count")
    assert made["count"] == 0


# ---- cancel all


def test_cancel_all_reaches_every_order_of_the_account(venue: Any, connect: Start) -> None:
    ours, other = connect(venue), connect(venue, symbols=("ETHUSDT", "LTCUSDT"))
    ours.ready()
    other.ready()
    for number in range(1, 4):
        assert ours.submit(number, "buy", "90000") == 0
        other.say(f"submit {10 + number} {number % 2} buy 90000 0.001 gtc")
        other.wait(event="ack", id=10 + number)
    ours.wait(event="ack", id=3)
    assert len(venue.open_orders()) == 6
    ours.say("cancel_all")
    ours.wait(event="log", text=lambda text: "no open order" in text)
    assert venue.open_orders() == []
    for number in range(1, 4):
        ours.wait(event="cancel", id=number)
        other.wait(event="cancel", id=10 + number)
    assert ours.submit(9, "buy", "90000") == 0, "orders go out again after the sweep"


def test_no_new_order_goes_out_while_everything_is_canceled(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("delay", ms=300)
    driver.say("cancel_all")
    assert driver.submit(1, "buy", "90000") == -1
    driver.wait(event="log", text=lambda text: "no open order" in text)


def test_cancel_all_works_with_a_clock_that_forbids_orders(venue: Any, connect: Start) -> None:
    first = connect(venue)
    first.ready()
    first.submit(1, "buy", "90000")
    first.wait(event="ack", id=1)
    first.process.kill()
    venue.fault("clock_offset", ms=2500)
    driver = connect(venue)
    driver.wait(event="state", reason=lambda reason: "clock" in reason and "+2" in reason)
    driver.say("cancel_all")
    driver.wait(event="log", text=lambda text: "no open order" in text)
    assert venue.open_orders() == []
    assert driver.some(event="state", state="READY") == []


def test_cancel_all_opens_a_connection_where_it_has_none(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    venue.fault("refuse_connections")
    venue.fault("drop_connections")
    driver.wait(event="state", state="DISCONNECTED")
    driver.say("cancel_all")
    driver.wait(event="sweeping", result=0)
    venue.heal()
    driver.wait(event="log", text=lambda text: "no open order" in text)
    assert venue.open_orders() == []
    driver.wait(event="cancel", id=1)


# ---- refusals


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": "O" * 64}, "-2015"),
        ({"key": "O" * 64, "key_type": "hmac"}, "-2015"),
        ({"key_type": "hmac", "secret": "wrong"}, "-1022"),
    ],
)
def test_a_bad_key_is_refused_and_not_tried_again(
    venue: Any, connect: Start, changes: dict[str, str], code: str
) -> None:
    driver = connect(venue, **changes)
    refused = driver.wait(event="state", state="REFUSED")
    assert code in refused["reason"]
    attempts = len(venue.events("logon_refused"))
    assert driver.submit(1, "buy", "90000") == -1
    time.sleep(1.5)
    assert len(venue.events("logon_refused")) == attempts
    assert driver.some(event="state")[-1] == refused


def test_a_key_revoked_while_trading_is_refused(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("reject_keys", accounts=[venue.account])
    driver.submit(1, "buy", "90000")
    assert "-2015" in driver.wait(event="state", state="REFUSED")["reason"]


def test_a_restricted_location_is_refused(venue: Any, connect: Start) -> None:
    venue.fault("block_addresses", addresses=["127.0.0.1"])
    driver = connect(venue)
    reason = driver.wait(event="state", state="REFUSED")["reason"]
    assert "451" in reason
    assert "restricted location" in reason


def test_an_order_that_the_venue_rejects_is_told_with_its_code(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("reject_orders", code=-2010, message="Market is closed.")
    driver.submit(1, "buy", "90000")
    reject = driver.wait(event="reject", id=1)
    assert (reject["code"], reject["text"]) == (-2010, "Market is closed.")
    assert driver.submit(1, "buy", "90000") == 0, "the id is free again"


# ---- clock


@pytest.mark.parametrize("ms", [1500, -1500, 400])
def test_a_clock_over_the_bound_is_never_ready(venue: Any, connect: Start, ms: int) -> None:
    venue.fault("clock_offset", ms=ms)
    driver = connect(venue)
    reason = driver.wait(event="state", reason=lambda reason: "clock: the venue's is" in reason)["reason"]
    assert "allowed 250 ms" in reason
    assert driver.submit(1, "buy", "90000") == -1
    assert driver.some(event="state", state="READY") == []
    venue.heal()
    driver.ready()


def test_a_timestamp_refused_while_trading_stops_orders_until_the_clock_is_right(
    venue: Any, connect: Start
) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("clock_offset", ms=3000)
    since = driver.mark()
    driver.submit(1, "buy", "90000")
    assert driver.wait(event="reject", id=1)["code"] == -1021
    driver.wait(since, event="state", state="CONNECTING", reason=lambda reason: "clock" in reason)
    assert driver.submit(2, "buy", "90000") == -1
    since = driver.mark()
    venue.heal()
    driver.ready(since)
    assert driver.submit(3, "buy", "90000") == 0
    driver.wait(event="ack", id=3)


# ---- rate limits


def test_the_order_limit_stops_new_orders_and_leaves_cancels(open_venue: Start, connect: Start) -> None:
    venue = open_venue(limits={"orders_per_10s": 2})
    driver = connect(venue)
    driver.ready()
    number = 0

    def limited() -> bool:
        nonlocal number
        number += 1
        driver.submit(number, "buy", "90000")
        return bool(driver.some(event="reject", code=-1015))

    until(limited, "-1015")
    assert driver.submit(99, "buy", "90000") == -1
    known = driver.some(event="ack")[-1]["id"]
    driver.say(f"cancel {known}")
    driver.wait(event="cancel", id=known)


def test_a_ban_silences_the_connector_until_it_is_lifted(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("ban_address", address="127.0.0.1", seconds=2)
    driver.submit(1, "buy", "90000")
    assert driver.wait(event="reject", id=1)["code"] == -1003
    since = driver.mark()
    told = driver.wait(event="log", text=lambda text: "limits our requests" in text)["text"]
    assert 1000 < int(told.split(" for ")[1].split()[0]) <= 2100
    assert driver.submit(2, "buy", "90000") == -1
    driver.ready(since)
    assert driver.submit(3, "buy", "90000") == 0
    driver.wait(event="ack", id=3)


def test_a_429_over_rest_waits_as_long_as_it_is_told(venue: Any, connect: Start) -> None:
    venue.fault("http_status", status=429, retry_after=2)
    driver = connect(venue)
    driver.wait(event="log", text=lambda text: "limits our requests" in text)
    before = time.monotonic()
    venue.heal()
    driver.ready()
    assert time.monotonic() - before > 1.5


# ---- connections


@pytest.mark.parametrize("clean", [True, False])
def test_a_dropped_connection_comes_back_with_its_orders(venue: Any, connect: Start, *, clean: bool) -> None:
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    since = driver.mark()
    venue.fault("drop_connections", clean=clean)
    driver.wait(since, event="state", state="DISCONNECTED")
    driver.ready(since)
    assert driver.some(event="cancel") == driver.some(event="orphan") == driver.some(event="reject") == []
    driver.say("cancel 1")
    driver.wait(event="cancel", id=1)
    driver.wait(since, event="quote")


def test_what_happened_while_away_is_found_at_the_reconcile(venue: Any, connect: Start) -> None:
    driver, other = connect(venue), connect(venue)
    driver.ready()
    other.ready()
    for number, price in ((1, "99000"), (2, "90000"), (3, "89000")):
        driver.submit(number, "buy", price)
        driver.wait(event="ack", id=number)
    venue.fault("silent_user_data")
    venue.market(mid="98000", frozen=True)
    until(lambda: len(venue.open_orders()) == 2, "the fill of order 1")
    second = next(order for order in venue.open_orders() if order["clientOrderId"] == from_venue_id(2))
    since = driver.mark()
    assert driver.some(event="fill") == []
    venue.fault("drop_connections", kinds=["ws_api"])
    driver.ready(since)
    fill = driver.wait(event="fill", id=1)
    assert fill["final"]
    assert float(fill["price"]) <= 99000
    assert driver.some(event="cancel") == []
    # An order that someone else cancels while no event comes.
    other.say("cancel_all")
    other.wait(event="log", text=lambda text: "no open order" in text)
    since = driver.mark()
    venue.fault("drop_connections", kinds=["ws_api"])
    driver.ready(since)
    assert {event["id"] for event in driver.some(event="cancel")} == {2, 3}
    assert second["symbol"] == "BTCUSDT"


def test_orders_of_an_earlier_life_are_told_as_orphans(venue: Any, connect: Start) -> None:
    first = connect(venue)
    first.ready()
    first.submit(1, "buy", "90000")
    venue_id = first.wait(event="ack", id=1)["venue_id"]
    first.process.kill()
    second = connect(venue)
    assert second.wait(event="orphan")["venue_id"] == venue_id
    second.ready()
    second.say("cancel_all")
    second.wait(event="log", text=lambda text: "no open order" in text)
    assert venue.open_orders() == []


def test_an_unanswered_order_is_asked_for_and_not_sent_again(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    venue.fault("no_reply", methods=["order.place"])
    venue.fault("silent_user_data")
    driver.submit(1, "buy", "90000")
    driver.wait(event="log", text=lambda text: "no answer to order.place" in text)
    driver.wait(event="ack", id=1)
    assert len(venue.open_orders()) == 1
    assert driver.some(event="reject") == []


def test_an_unanswered_cancel_is_asked_for(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    venue.fault("no_reply", methods=["order.cancel"])
    venue.fault("silent_user_data")
    driver.say("cancel 1")
    assert driver.wait(event="cancel", id=1)["left"] == "0.001"


def test_a_silent_venue_is_left_for_a_new_connection(venue: Any, connect: Start) -> None:
    venue.fault("no_reply", methods=["openOrders.status"])
    driver = connect(venue)
    driver.wait(event="state", state="DISCONNECTED", reason=lambda reason: "no answer" in reason)
    venue.heal()
    driver.ready()


def test_an_announced_shutdown_loses_no_quote_and_no_order(venue: Any, connect: Start) -> None:
    driver = connect(venue)
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    venue.fault("server_shutdown", grace_ms=4000)
    until(lambda: len(venue.events("connect")) >= 4, "both new connections")
    since = driver.mark()
    driver.ready(since) if driver.some(event="state")[-1]["state"] != "READY" else None
    until(
        lambda: len([c for c in venue.state()["connections"] if c["kind"] == "streams"]) == 1,
        "the old stream closes after the new one opened",
    )
    streams = [event for event in venue.events() if event.get("socket") == "streams"]
    assert [event["kind"] for event in streams] == ["connect", "connect", "disconnect"]
    driver.say("cancel 1")
    driver.wait(event="cancel", id=1)
    assert driver.some(event="reject") == driver.some(event="orphan") == []


def test_failures_are_retried_ever_more_slowly(venue: Any, connect: Start) -> None:
    venue.fault("refuse_connections")
    driver = connect(venue)
    waits: list[int] = []

    def enough() -> bool:
        waits[:] = [
            int(event["text"].rsplit(" in ", 1)[1].split()[0])
            for event in driver.some(event="log", level=4)
            if event["text"].startswith("WebSocket API")
        ]
        return len(waits) >= 4

    until(enough, "four attempts")
    for step, wait in enumerate(waits[:4]):
        assert 125 * 2**step <= wait <= 250 * 2**step
    venue.heal()
    driver.ready()


def test_pings_of_the_venue_are_answered(open_venue: Start, connect: Start) -> None:
    venue = open_venue(sockets={"ping_every": 0.2, "pong_within": 0.7})
    driver = connect(venue)
    driver.ready()
    time.sleep(2)
    assert venue.events("disconnect") == []


@contextmanager
def _ping_server() -> Iterator[tuple[int, list[bytes]]]:
    """A market stream that pings with a payload and keeps the pongs' payloads."""
    pongs: list[bytes] = []
    port: list[int] = []
    up, stop = threading.Event(), threading.Event()

    async def serve_socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        await ws.ping(b"1769000000123")
        message = await ws.receive()
        if message.type is WSMsgType.PONG:
            pongs.append(message.data)
        await ws.receive()
        return ws

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/stream", serve_socket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.append(runner.addresses[0][1])
        up.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(20)
    try:
        yield port[0], pongs
    finally:
        stop.set()
        thread.join()


def test_a_pong_carries_the_ping_s_payload(venue: Any, connect: Start) -> None:
    with _ping_server() as (port, pongs):
        connect(
            venue,
            endpoints={
                "rest": f"http://127.0.0.1:{venue.port}",
                "ws_api": f"ws://127.0.0.1:{venue.port}/ws-api/v3",
                "streams": f"ws://127.0.0.1:{port}",
            },
        ).ready()
        assert until(lambda: pongs, "a pong") == [b"1769000000123"]


# ---- TLS


def _certificate(directory: Path, name: str) -> tuple[Path, Path, Path]:
    """A CA and a certificate for ``name`` under it: (CA, certificate, key) as PEM files."""
    now = dt.datetime.now(dt.UTC)

    def build(subject: str, issuer: str, key: Any, signer: Any, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = build("lab CA", "lab CA", ca_key, ca_key, ca=True)
    leaf = build(name, "lab CA", key, ca_key, ca=False)
    paths = (directory / "ca.pem", directory / "leaf.pem", directory / "leaf.key")
    paths[0].write_bytes(ca.public_bytes(Encoding.PEM))
    paths[1].write_bytes(leaf.public_bytes(Encoding.PEM))
    paths[2].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def test_trades_over_tls_under_a_trusted_authority(open_venue: Start, connect: Start, tmp_path: Path) -> None:
    ca, certificate, key = _certificate(tmp_path, "localhost")
    venue = open_venue(tls=(certificate, key))
    driver = connect(venue, tls=True, host="localhost", environment={"SSL_CERT_FILE": str(ca)})
    driver.ready()
    driver.submit(1, "buy", "90000")
    driver.wait(event="ack", id=1)
    driver.say("cancel 1")
    driver.wait(event="cancel", id=1)


@pytest.mark.parametrize(("name", "trusted"), [("api.elsewhere.lab", True), ("localhost", False)])
def test_a_certificate_of_another_name_or_authority_is_not_taken(
    open_venue: Start, connect: Start, tmp_path: Path, name: str, *, trusted: bool
) -> None:
    ca, certificate, key = _certificate(tmp_path, name)
    venue = open_venue(tls=(certificate, key))
    environment = {"SSL_CERT_FILE": str(ca)} if trusted else {}
    driver = connect(venue, tls=True, host="localhost", environment=environment)
    for start in ("WebSocket API", "REST", "market streams"):
        text = driver.wait(event="log", text=lambda text, start=start: text.startswith(start))["text"]
        assert "certificate" in text.lower() or "hostname" in text.lower(), text
    assert venue.events("connect") == []
    assert driver.some(event="state", state="READY") == []


# ---- the library


def test_exports_one_symbol(built: Path) -> None:
    library = str(built / "connectors" / "libslipway_binance.so")
    names = subprocess.run(
        ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
    )
    assert [line.split()[-1] for line in names.stdout.splitlines()] == ["slipway_broker"]


def test_settings_that_do_not_fit_end_the_program_with_the_reason(venue: Any, connect: Start) -> None:
    driver = connect(venue, mode="live")
    assert "mode live allows only https" in driver.wait(event="error")["text"]
    assert driver.stop() == 1


def test_cancel_all_called_again_and_again_stays_within_the_weight_limit(
    open_venue: Start, connect: Start
) -> None:
    venue = open_venue(limits={"weight_per_minute": 2000})
    driver = connect(venue)
    driver.ready()
    for _ in range(30):  # a list weighs 80: without a pace these were 2400
        since = driver.mark()
        driver.say("cancel_all")
        driver.wait(since, event="sweeping", result=0)
        time.sleep(0.1)
    assert driver.some(event="log", level=3) == []
    driver.submit(1, "buy", "90000")
    driver.say("cancel_all")
    until(lambda: driver.submit(2, "buy", "90000") == 0, "the end of the sweep")
    driver.wait(event="ack", id=2)
    assert driver.some(event="reject") == []
