"""A connector that is a process of its own: the engine against a fake one in Python over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest
from engine_harness import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine_harness import Engine

HELLO, SUBMIT, CANCEL, CANCEL_ALL = 1, 2, 3, 4
STATE, QUOTE, ACK, FILL, CANCELED, REJECT, ORPHAN, LOG = range(32, 40)
READY, DISCONNECTED = 2, 0


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack("<HHI", kind, 8 + len(body), 0) + body


def state(value: int, reason: str = "") -> bytes:
    return packet(STATE, struct.pack("<II160s", value, 0, reason.encode()))


def quote(bid: int, ask: int, instrument: int = 0, received: int | None = None) -> bytes:
    stamp = time.monotonic_ns() if received is None else received
    return packet(QUOTE, struct.pack("<qqqqqHHI", bid, 10**8, ask, 10**8, stamp, instrument, 0, 0))


def ack(client_id: int) -> bytes:
    return packet(ACK, struct.pack("<Q80s", client_id, b"venue-id"))


def fill(client_id: int, price: int, quantity: int, side: int, fee: int = 0) -> bytes:
    return packet(FILL, struct.pack("<QqqqBBHI", client_id, price, quantity, fee, side, 1, 0, 0))


def canceled(client_id: int, left: int) -> bytes:
    return packet(CANCELED, struct.pack("<Qq", client_id, left))


def reject(client_id: int, code: int, text: str) -> bytes:
    return packet(REJECT, struct.pack("<QiI160s", client_id, code, 0, text.encode()))


class FakeConnector:
    """The connector's end, played by hand."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(PATIENCE_S)
        self.peer: socket.socket | None = None

    def accept(self) -> tuple[int, int]:
        """Take the engine's connection; its wire version and instrument count."""
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(PATIENCE_S)
        kind, body = self.receive()
        assert kind == HELLO
        version, count = struct.unpack("<II", body)
        return version, count

    def receive(self) -> tuple[int, bytes]:
        assert self.peer is not None
        data = self.peer.recv(4096)
        if not data:
            raise ConnectionError
        kind, length, zero = struct.unpack_from("<HHI", data)
        assert length == len(data)
        assert zero == 0
        return kind, data[8:]

    def receive_kind(self, wanted: int) -> bytes:
        """The next message of this kind; others before it are skipped."""
        while True:
            kind, body = self.receive()
            if kind == wanted:
                return body

    def send(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.send(data)

    def ready(self) -> None:
        """Accept, say READY and give a quote."""
        self.accept()
        self.send(state(READY))
        self.send(quote(40_000_000, 42_000_000))

    def close(self) -> None:
        if self.peer is not None:
            self.peer.close()
        self.listener.close()


def order_of(body: bytes) -> dict[str, int]:
    client_id, price, quantity, instrument, side, tif, _ = struct.unpack("<QqqHBBI", body)
    return {
        "id": client_id,
        "price": price,
        "quantity": quantity,
        "instrument": instrument,
        "side": side,
        "tif": tif,
    }


@pytest.fixture
def socket_path(engine: Engine) -> Path:
    """Make the engine's only venue a process, with prices between 0 and 1."""
    path: Path = engine.directory / "connector.sock"
    engine.venue["connector"] = {"kind": "process", "socket": str(path)}
    engine.venue["settings"] = {}
    engine.venue["instruments"] = [{"symbol": "7" * 78, "tick": "0.01", "lot": "0.01"}]
    engine.strategy.update({"quantity": "10", "spread_bps": 200, "requote_ms": 50, "take_every": 0})
    engine.bounds.update(
        {
            "instruments": ["7" * 78],
            "max_order_quantity": "10",
            "max_position": "100",
            "price_collar_bps": 2000,
        }
    )
    return path


@pytest.fixture
def connector(socket_path: Path) -> Iterator[FakeConnector]:
    one = FakeConnector(socket_path)
    yield one
    one.close()


def test_conversation(engine: Engine, connector: FakeConnector) -> None:
    engine.start()
    assert connector.accept() == (1, 1)
    assert engine.of("connection") == "CONNECTING"
    connector.send(state(READY))
    connector.send(quote(40_000_000, 42_000_000))
    wait_for(lambda: engine.of("connection") == "READY", "ready")
    engine.arm()
    orders: dict[int, dict[str, int]] = {}
    while len(orders) < 2:
        order = order_of(connector.receive_kind(SUBMIT))
        orders[order["side"]] = order
    assert orders[1]["price"] == 40_000_000
    assert orders[2]["price"] == 42_000_000
    assert orders[1]["quantity"] == 10 * 10**8
    connector.send(ack(orders[1]["id"]))
    connector.send(fill(orders[1]["id"], 40_000_000, 10 * 10**8, 1, fee=1000))
    connector.send(reject(orders[2]["id"], 400, "not enough balance"))
    wait_for(lambda: engine.of("filled") == 1 and engine.of("rejected") >= 1, "reports are booked")
    status = engine.status()["venues"]["mock"]
    assert status["position_e8"] == 10 * 10**8
    assert status["fees_e8"] == 1000
    assert status["unrealised_e8"] == 10 * 1_000_000
    assert "not enough balance" in engine.text()


def test_revocation_reaches_the_connector_at_once(engine: Engine, connector: FakeConnector) -> None:
    engine.start()
    connector.ready()
    engine.arm()
    first = order_of(connector.receive_kind(SUBMIT))
    second = order_of(connector.receive_kind(SUBMIT))
    for order in (first, second):
        connector.send(ack(order["id"]))
    engine.permit.unlink()
    connector.receive_kind(CANCEL_ALL)
    assert engine.state() == "HALTED"
    assert engine.of("open_orders") == 2
    connector.receive_kind(CANCEL_ALL)  # again, as nothing was confirmed
    for order in (first, second):
        connector.send(canceled(order["id"], order["quantity"]))
    wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat")


def test_connector_that_comes_later_is_found(engine: Engine, socket_path: Path) -> None:
    engine.start()
    wait_for(lambda: "No such file" in engine.of("reason"), "the missing socket is told")
    one = FakeConnector(socket_path)
    try:
        one.ready()
        wait_for(lambda: engine.of("connection") == "READY", "ready")
    finally:
        one.close()


def test_connector_that_dies_is_found_again_and_swept(
    engine: Engine, connector: FakeConnector, socket_path: Path
) -> None:
    engine.start()
    connector.ready()
    engine.arm()
    order = order_of(connector.receive_kind(SUBMIT))
    connector.send(ack(order["id"]))
    assert connector.peer is not None
    connector.peer.close()
    wait_for(lambda: engine.of("connection") == "DISCONNECTED", "loss noticed")
    assert engine.of("open_orders") > 0, "an order was forgotten with its connection"
    connector.ready()
    connector.receive_kind(CANCEL_ALL)
    # The new process knows nothing of the old orders, so no word of them will ever come.
    wait_for(lambda: engine.of("open_orders") == 0, "lost orders are given up after the sweep")
    assert 'slipway_orders_lost_total{venue="mock"}' in engine.metrics()
    connector.send(quote(40_000_000, 42_000_000))
    assert order_of(connector.receive_kind(SUBMIT))["id"] > order["id"]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x20\x00",
        packet(99, b""),
        packet(STATE, b"\0" * 8),
        struct.pack("<HHI", QUOTE, 999, 0) + b"\0" * 48,
        state(7),
        packet(FILL, struct.pack("<QqqqBBHI", 1, 1, 1, 0, 9, 1, 0, 0)),
        b"\0" * 2000,
        packet(LOG, struct.pack("<iI160s", 99, 0, b"x")),
    ],
)
def test_malformed_message_drops_the_connection_not_the_engine(
    engine: Engine, connector: FakeConnector, bad: bytes
) -> None:
    engine.start()
    connector.ready()
    wait_for(lambda: engine.of("connection") == "READY", "ready")
    connector.send(bad)
    connector.ready()
    wait_for(lambda: engine.of("connection") == "READY", "ready again")
    assert "malformed" in engine.text()


def test_text_without_an_end_and_with_control_characters(engine: Engine, connector: FakeConnector) -> None:
    engine.start()
    connector.ready()
    connector.send(packet(STATE, struct.pack("<II160s", READY, 0, b"\xffno end\n<0>forged" * 10)))
    wait_for(lambda: "no end" in engine.of("reason"), "told")
    assert "slipway_state" in engine.metrics()
    assert not [line for line in engine.text().splitlines() if line.startswith("<0>forged")]


@pytest.mark.parametrize(
    ("price", "quantity"), [(0, 1), (1, 0), (-1, 1), (2**63 - 1, 2**63 - 1), (10**17 + 1, 1), (-(2**63), 5)]
)
def test_impossible_fill_halts(engine: Engine, connector: FakeConnector, price: int, quantity: int) -> None:
    engine.start()
    connector.ready()
    engine.arm()
    order = order_of(connector.receive_kind(SUBMIT))
    connector.send(fill(order["id"], price, quantity, 1))
    wait_for(lambda: "impossible fill" in engine.status()["reason"], "halted")
    wait_for(engine.latch.exists, "latched")


def test_hostile_quotes_are_survived(engine: Engine, connector: FakeConnector) -> None:
    engine.start()
    connector.ready()
    engine.arm()
    connector.receive_kind(SUBMIT)
    extremes = (-(2**63), -1, 0, 1, 2**63 - 1)
    for bid in extremes:
        for ask in extremes:
            connector.send(quote(bid, ask, received=bid))
    connector.send(quote(1, 2, instrument=65535))
    connector.send(quote(40_000_000, 42_000_000))
    wait_for(lambda: "slipway_quotes_total" in engine.metrics(), "alive")
    assert engine.status()["venues"]["mock"]["tick_to_order_ns"]["max"] < 60 * 10**9


PROCESS = textwrap.dedent(
    """
    import importlib.util, sys
    sys.path.insert(0, sys.argv[1])
    spec = importlib.util.spec_from_file_location("engine_harness", sys.argv[1] + "/engine_harness.py")
    module = importlib.util.module_from_spec(spec); sys.modules["engine_harness"] = module
    spec.loader.exec_module(module)
    import test_process_connector as wire, pathlib, select
    one = wire.FakeConnector(pathlib.Path(sys.argv[2]))
    one.ready()
    resting = {}
    while True:
        if select.select([one.peer], [], [], 0.02)[0]:
            kind, body = one.receive()
            if kind == wire.SUBMIT:
                order = wire.order_of(body); resting[order["id"]] = order; one.send(wire.ack(order["id"]))
            elif kind in (wire.CANCEL, wire.CANCEL_ALL):
                ids = [int.from_bytes(body[:8], "little")] if kind == wire.CANCEL else list(resting)
                for number in ids:
                    order = resting.pop(number, None)
                    if order: one.send(wire.canceled(number, order["quantity"]))
        one.send(wire.quote(40_000_000, 42_000_000))
    """
)


def test_stopped_connector_process_stops_new_orders_and_comes_back(engine: Engine, socket_path: Path) -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120
    process = subprocess.Popen([sys.executable, "-c", PROCESS, here, str(socket_path)])
    try:
        wait_for(socket_path.exists, "the connector listens")
        engine.start()
        engine.trade()
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: 'slipway_venue_stale{venue="mock"} 1' in engine.metrics(), "noticed")
        sent = engine.of("sent")
        engine.permit.unlink()
        wait_for(lambda: engine.state() == "HALTED", "halted, not flat: nobody confirms")
        time.sleep(0.3)
        assert engine.of("open_orders") > 0
        assert engine.of("sent") == sent
        os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat once it answers")
        engine.arm()
        wait_for(lambda: engine.of("sent") > sent, "trades again")
    finally:
        process.kill()
        process.wait()
