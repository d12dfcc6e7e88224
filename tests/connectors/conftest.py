"""A connector library, driven by a small C program, against the venue's simulator on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "engine" / "connectors" / "binance"
BUILD = Path(os.environ.get("SLIPWAY_BINANCE_BUILD", ROOT / "engine" / "build-binance"))
"""Another build of the connector to test, as one with sanitizers (configured already)."""

PATIENCE_S = 30.0
HMAC_SECRET = "lab-secret-of-an-hmac-key"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self._path))


class Venue:
    """One simulator process, and one account in it at a time."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.private_key = Ed25519PrivateKey.generate()
        self._admin = directory / "admin.sock"
        self._accounts = 0
        self._begin = 0
        self.account = ""
        tls = changes.pop("tls", None)
        config: dict[str, Any] = {
            "listen": [{"address": "127.0.0.1", "port": 0, "tls": tls is not None}],
            "admin_socket": str(self._admin),
            "instruments": [
                {"symbol": "BTCUSDT"},
                {"symbol": "ETHUSDT", "base": "ETH"},
                {"symbol": "LTCUSDT", "base": "LTC"},
            ],
        }
        if tls is not None:
            config |= {"certificate": str(tls[0]), "key": str(tls[1])}
        path = directory / "venue.json"
        path.write_text(json.dumps(config | changes), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.lab.venues.binance", "--config", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("READY "), f"the simulator did not start: {line!r}"
        self.port: int = json.loads(line.removeprefix("READY "))["listen"][0]["port"]

    def fresh(self) -> Venue:
        """Forget faults and connections of an earlier test, and begin with a new account."""
        self.heal()
        self.market(mid=100_000, frozen=False)
        deadline = time.monotonic() + PATIENCE_S
        while self.state()["connections"]:
            assert time.monotonic() < deadline, "connections of an earlier test stay open"
            time.sleep(0.02)
        self._accounts += 1
        self.account = f"account{self._accounts}"
        self._begin = self.state()["last_event"]
        public = self.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        keys = [
            {"api_key": self.key("ed25519"), "public_key": public.decode()},
            {"api_key": self.key("hmac"), "secret": HMAC_SECRET},
        ]
        self._ask("POST", "/accounts", {"name": self.account, "keys": keys})
        return self

    def key(self, kind: str) -> str:
        """The account's API key of this kind."""
        return f"{kind:x<32}{self._accounts:032d}"

    def _ask(self, method: str, path: str, document: object = None) -> Any:
        connection = _UnixConnection(self._admin)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    def state(self) -> Any:
        return self._ask("GET", "/state")

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What happened since ``fresh``."""
        events = self._ask("GET", f"/events?since={self._begin}")["events"]
        return [event for event in events if kind in {None, event["kind"]}]

    def fault(self, name: str, **parameters: Any) -> None:
        self._ask("POST", "/faults", {name: parameters})

    def heal(self) -> None:
        self._ask("DELETE", "/faults")

    def market(self, **document: Any) -> None:
        self._ask("POST", "/market", document)

    def open_orders(self) -> list[Any]:
        return list(self.state()["open_orders"][self.account])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Driver:
    """The C program with the connector in it: commands in, events out."""

    def __init__(self, config: Path, environment: dict[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.process = subprocess.Popen(
            [
                str(BUILD / "bin" / "binance_drive"),
                str(BUILD / "connectors" / "libslipway_binance.so"),
                str(config),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._fresh.put(json.loads(line))
        self._fresh.put(None)

    def mark(self) -> int:
        """Where the events stand now, for ``since``."""
        while not self._fresh.empty():
            self._take(0)
        return len(self.events)

    def _take(self, timeout: float) -> bool:
        try:
            event = self._fresh.get(timeout=timeout)
        except queue.Empty:
            return False
        if event is None:
            return False
        self.events.append(event)
        return True

    def wait(self, since: int = 0, timeout: float = PATIENCE_S, **wanted: Any) -> dict[str, Any]:
        """The first event from ``since`` on that has these values; a callable value is a test."""
        deadline = time.monotonic() + timeout
        at = since
        while True:
            while at < len(self.events):
                event = self.events[at]
                at += 1
                if all(
                    name in event and (test(event[name]) if callable(test) else event[name] == test)
                    for name, test in wanted.items()
                ):
                    return event
            left = deadline - time.monotonic()
            if left <= 0 or not self._take(left):
                if at < len(self.events):
                    continue
                shown = "\n".join(str(event) for event in self.events if event["event"] != "quote")
                raise AssertionError(f"{wanted} did not come; what came (without quotes):\n{shown}")

    def some(self, **wanted: Any) -> list[dict[str, Any]]:
        """All events until now that have these values."""
        self.mark()
        return [
            event for event in self.events if all(event.get(name) == value for name, value in wanted.items())
        ]

    def ready(self, since: int = 0) -> dict[str, Any]:
        return self.wait(since, event="state", state="READY")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def submit(self, number: int, side: str, price: str, quantity: str = "0.001", tif: str = "gtc") -> int:
        """Submit on instrument 0; the connector's result (0 sent, -1 not)."""
        since = self.mark()
        self.say(f"submit {number} 0 {side} {price} {quantity} {tif}")
        return int(self.wait(since, event="submitted", id=number)["result"])

    def stop(self) -> int:
        """End the program; its exit status."""
        if self.process.poll() is None and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.say("quit")
        status = self.process.wait(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return status


@pytest.fixture(scope="session")
def built() -> Path:
    """The connector and its driver, compiled (a second time this takes no time)."""
    if not (BUILD / "build.ninja").exists():
        subprocess.run(
            ["cmake", "-S", SOURCE, "-B", BUILD, "-G", "Ninja"], check=True, stdout=subprocess.DEVNULL
        )
    subprocess.run(["ninja", "-C", BUILD], check=True, stdout=subprocess.DEVNULL)
    return BUILD


@pytest.fixture
def open_venue(tmp_path: Path) -> Iterator[Callable[..., Venue]]:
    """Start a simulator with changes to its configuration."""
    venues: list[Venue] = []

    def start(**changes: Any) -> Venue:
        venues.append(Venue(tmp_path, **changes))
        return venues[-1].fresh()

    yield start
    for venue in venues:
        venue.stop()


@pytest.fixture(scope="module")
def shared_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """One simulator for the tests that need nothing special of it: starting one takes seconds."""
    venue = Venue(tmp_path_factory.mktemp("venue"))
    yield venue
    venue.stop()


@pytest.fixture
def venue(shared_venue: Venue) -> Venue:
    return shared_venue.fresh()


@pytest.fixture
def connect(built: Path, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Start the driver against a venue, with changes to settings, mode and credentials."""
    drivers: list[Driver] = []

    def start(
        venue: Venue,
        *,
        key: str | None = None,
        secret: str = HMAC_SECRET,
        key_type: str = "ed25519",
        symbols: tuple[str, ...] = ("BTCUSDT",),
        mode: str = "simulated",
        host: str = "127.0.0.1",
        tls: bool = False,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Driver:
        credentials = tmp_path / f"credentials{len(drivers)}"
        credentials.mkdir()
        pem = venue.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (credentials / "binance_api_key").write_text(f"{key or venue.key(key_type)}\n", encoding="ascii")
        (credentials / "binance_private_key").write_bytes(pem)
        (credentials / "binance_api_secret").write_text(secret, encoding="ascii")
        where, safe = f"{host}:{venue.port}", "s" if tls else ""
        document = {
            "mode": mode,
            "credentials": str(credentials),
            "settings": {
                "endpoints": {
                    "rest": f"http{safe}://{where}",
                    "ws_api": f"ws{safe}://{where}/ws-api/v3",
                    "streams": f"ws{safe}://{where}",
                },
                "recv_window_ms": 1000,
                "key_type": key_type,
                "rollover_hours": 23,
                "clock_bound_ms": 250,
            }
            | settings,
            "instruments": [{"symbol": symbol, "tick": "0.01", "lot": "0.00001"} for symbol in symbols],
        }
        path = tmp_path / f"driver{len(drivers)}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        drivers.append(Driver(path, environment))
        return drivers[-1]

    yield start
    # 1: settings were refused; -9: the test killed it. Anything else is a crash or a sanitizer's finding.
    assert {driver.stop() for driver in drivers} <= {0, 1, -9}
