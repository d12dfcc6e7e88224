"""The connector as a process, the simulator as a process, and the test between them as the engine."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
CONNECTOR = ROOT / "engine/connectors/polymarket"
sys.path.insert(0, str(CONNECTOR))

from slipway_polymarket import wire  # noqa: E402

PATIENCE_S = 30.0
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
PRIVATE_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
KEY = {
    "api_key": "11111111-2222-3333-4444-555555555555",
    "secret": "A" * 43 + "=",
    "passphrase": "open-sesame",
}


def wait_for(what: str, ready: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until ``ready()`` gives something true, and give that."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = ready()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {patience_s} s in vain for {what}")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and a server certificate under it."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def builder(name: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=4))
        )

    ca = (
        builder("test CA", ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    leaf = (
        builder("localhost", key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    found = Authority(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    found.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    found.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return found


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("admin", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@dataclass
class Simulator:
    """The venue, with its admin socket."""

    process: subprocess.Popen[str]
    port: int
    admin: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = _UnixConnection(self.admin)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            content = reply.read()
            assert reply.status < 300, content
            return json.loads(content) if content else None
        finally:
            connection.close()

    def open_orders(self) -> list[Any]:
        return list(self.ask("GET", "/state")["open_orders"].get("engine", []))

    def events(self, since: int = 0) -> list[Any]:
        return list(self.ask("GET", f"/events?since={since}")["events"])

    @property
    def last_event(self) -> int:
        return int(self.ask("GET", f"/events?since={10**12}")["last"])

    def fault(self, name: str, **parameters: Any) -> None:
        self.ask("POST", "/faults", {name: parameters})

    def heal(self) -> None:
        self.ask("DELETE", "/faults")


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Simulator]:
    directory = tmp_path_factory.mktemp("sim")
    config = {
        "listen": [{"address": "127.0.0.1", "port": 0, "tls": True}],
        "certificate": str(authority.certificate),
        "key": str(authority.key),
        "admin_socket": str(directory / "admin.sock"),
        "accounts": [{"name": "engine", "address": ADDRESS, "keys": [KEY]}],
        "heartbeats": {"expire_s": 2.5, "check_s": 0.5},
    }
    (directory / "config.json").write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.lab.venues.polymarket", "--config", str(directory / "config.json")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("READY "), line
        ready = json.loads(line[6:])
        yield Simulator(process, ready["listen"][0]["port"], ready["admin_socket"])
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()


@pytest.fixture
def venue(simulator: Simulator) -> Iterator[Simulator]:
    """The simulator without faults, its market standing still at 0.50 with a spread of two ticks."""
    simulator.heal()
    simulator.ask("POST", "/market", {"mid": "0.50", "frozen": True})
    yield simulator
    simulator.heal()


@dataclass
class Connector:
    """The connector's process."""

    process: subprocess.Popen[str]
    socket_path: Path
    notified: queue.Queue[str]
    errors: list[str] = field(default_factory=list)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def launched(
    directory: Path,
    authority: Authority,
    port: int,
    secrets: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> Iterator[Connector]:
    """A connector that has said READY to its service manager; stopped at the end."""
    here, stream = f"https://localhost:{port}", f"wss://localhost:{port}"
    config = {
        "config_version": 1,
        "venue": "polymarket",
        "mode": "simulated",
        "socket": str(directory / "connector.sock"),
        "endpoints": {
            "clob": here,
            "market_ws": f"{stream}/ws/market",
            "user_ws": f"{stream}/ws/user",
            "geoblock": f"{here}/api/geoblock",
        },
        "settings": {"heartbeat_s": 1, "clock_bound_ms": 500, **(settings or {})},
        "instruments": [{"symbol": TOKEN, "tick": "0.01", "lot": "0.01"}],
    }
    (directory / "config.json").write_text(json.dumps(config))
    credentials = {
        "polymarket_private_key": PRIVATE_KEY,
        "polymarket_api_key": KEY["api_key"],
        "polymarket_api_secret": KEY["secret"],
        "polymarket_api_passphrase": KEY["passphrase"],
    }
    (directory / "credentials").mkdir(exist_ok=True)
    for name, value in (credentials | (secrets or {})).items():
        (directory / "credentials" / name).write_text(value + "\n")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    (directory / "notify.sock").unlink(missing_ok=True)
    notify.bind(str(directory / "notify.sock"))
    environment = os.environ | {
        "PYTHONPATH": str(CONNECTOR),
        "CREDENTIALS_DIRECTORY": str(directory / "credentials"),
        "SSL_CERT_FILE": str(authority.ca),
        "NOTIFY_SOCKET": str(directory / "notify.sock"),
        "WATCHDOG_USEC": "1000000",
    }
    environment.pop("WATCHDOG_PID", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway_polymarket", "--config", str(directory / "config.json")],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = Connector(process, directory / "connector.sock", queue.Queue())
    threads = [
        threading.Thread(target=_collect, args=(process.stderr, found.errors)),
        threading.Thread(target=_listen, args=(notify, found.notified)),
    ]
    for thread in threads:
        thread.start()
    try:
        until(found.notified, lambda text: text == "READY=1")
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        notify.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        process.stderr.close()
        notify.close()


@pytest.fixture
def start(tmp_path: Path, authority: Authority, venue: Simulator) -> Iterator[Callable[..., Connector]]:
    """Start a connector of the test's own; ``secrets`` changes credentials, others the settings."""
    with contextlib.ExitStack() as running:

        def begin(*, secrets: dict[str, str] | None = None, **settings: Any) -> Connector:
            return running.enter_context(launched(tmp_path, authority, venue.port, secrets, settings))

        yield begin


def _collect(stream: Any, into: list[str]) -> None:
    for line in stream:
        sys.stderr.write(line)
        into.append(line)


def _listen(receiver: socket.socket, into: queue.Queue[str]) -> None:
    while True:
        try:
            content = receiver.recv(4096)
        except OSError:
            return
        if not content:
            return
        into.put(content.decode())


def until(source: queue.Queue[str], accept: Callable[[str], bool]) -> str:
    """Take texts until one is accepted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            text = source.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            raise AssertionError("no such notification") from None
        if accept(text):
            return text


class Engine:
    """The engine's end of the socket: keeps everything that it is told."""

    def __init__(self, path: Path, instruments: int = 1, version: int = wire.VERSION) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.told: list[tuple[wire.Type, dict[str, Any]]] = []
        self._read = 0
        self._next_id = time.time_ns()
        self.send(wire.Type.HELLO, version, instruments)

    def send(self, kind: wire.Type, *values: int) -> None:
        packing = wire.LAYOUTS[kind].packing
        self.socket.send(packing.pack(kind, packing.size, 0, *values))

    def submit(self, side: wire.Side, price: str, quantity: str, tif: wire.Tif = wire.Tif.GTC) -> int:
        self._next_id += 1
        amounts = (round(float(text) * 100) * 1_000_000 for text in (price, quantity))
        self.send(wire.Type.SUBMIT, self._next_id, *amounts, 0, side, tif, 0)
        return self._next_id

    def cancel(self, client_id: int) -> None:
        self.send(wire.Type.CANCEL, client_id)

    def expect(self, kind: wire.Type, patience_s: float = PATIENCE_S, **wanted: Any) -> dict[str, Any]:
        """Read on until a message of this kind with these values, and give it."""
        deadline = time.monotonic() + patience_s
        while True:
            while self._read < len(self.told):
                found, values = self.told[self._read]
                self._read += 1
                if found == kind and all(values[key] == value for key, value in wanted.items()):
                    return values
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind.name} {wanted}; last were {self.told[-8:]}"
            if select.select([self.socket], [], [], left)[0]:
                self._take(self.socket.recv(4096))

    def ready(self) -> None:
        self.expect(wire.Type.STATE, state=wire.State.READY)

    def reports(self, client_id: int) -> list[str]:
        """The kinds of all reports on one order, in their order."""
        return [kind.name for kind, values in self.told if values.get("client_id") == client_id]

    def _take(self, packet: bytes) -> None:
        assert packet, f"the connector closed; last were {self.told[-8:]}"
        kind = wire.Type(wire.HEADER.unpack_from(packet)[0])
        layout = wire.LAYOUTS[kind]
        values = [
            value.rstrip(b"\0").decode() if isinstance(value, bytes) else value
            for value in layout.packing.unpack(packet)[3:]
        ]
        self.told.append((kind, dict(zip(layout.fields, values, strict=True))))

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def connector(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, simulator: Simulator
) -> Iterator[Connector]:
    """A connector that many tests use one after the other, as one engine after the other would."""
    with launched(tmp_path_factory.mktemp("connector"), authority, simulator.port) as found:
        yield found


Connect = Callable[..., Engine]


@pytest.fixture
def connect(venue: Simulator) -> Iterator[Connect]:
    """Connect an engine to a connector; whatever happens, it is gone and the account flat at the end."""
    engines: list[Engine] = []

    def begin(connector: Connector, **parameters: int) -> Engine:
        engines.append(Engine(connector.socket_path, **parameters))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()
    venue.heal()
    wait_for("flat", lambda: not venue.open_orders())


@pytest.fixture
def engine(connector: Connector, connect: Connect) -> Engine:
    """An engine that is connected and READY."""
    found = connect(connector)
    found.ready()
    return found
