"""Simulators for the tests of this directory: one of each a session, and fresh accounts for each test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from eth_account import Account

from infra.lab.venues import control

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def short_directory() -> Iterator[Path]:
    """A directory with a short name: the path of a unix socket may have 107 characters only."""
    path = Path(tempfile.mkdtemp(prefix="slv-"))
    yield path
    shutil.rmtree(path)


@dataclass
class Reply:
    """An HTTP reply."""

    status: int
    body: Any
    headers: dict[str, str]


def http(
    address: str,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    source: str | None = None,
    host: str | None = None,
) -> Reply:
    """Send one request, byte for byte as given, from ``source`` (an address of the loopback network)."""
    connection = HTTPConnection(address, timeout=20, source_address=(source, 0) if source else None)
    connection.putrequest(method, target, skip_host=host is not None, skip_accept_encoding=True)
    if host is not None:
        connection.putheader("Host", host)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    return Reply(response.status, document, {name.lower(): value for name, value in response.getheaders()})


@dataclass
class BinanceTrader:
    """An account of the Binance simulator with an Ed25519 and an HMAC key, and raw signed requests."""

    simulator: control.Running
    name: str = field(default_factory=lambda: f"trader{next(_numbers)}")
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    secret: str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    key_options: dict[str, Any] = field(default_factory=dict)
    balances: dict[str, str] = field(default_factory=lambda: {"BTC": "10", "USDT": "1000000"})

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.name.encode()).hexdigest()
        self.ed25519_key, self.hmac_key = "e" + digest[1:], "f" + digest[1:]
        self.register()

    def register(self) -> None:
        """Make the account and its keys known."""
        public = (
            self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )
        keys = [
            {"api_key": self.ed25519_key, "public_key": public} | self.key_options,
            {"api_key": self.hmac_key, "secret": self.secret} | self.key_options,
        ]
        self.simulator.admin.add_account({"name": self.name, "keys": keys, "balances": self.balances})

    @property
    def pem(self) -> str:
        """The Ed25519 private key."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign_hmac(self, payload: str) -> str:
        """The HMAC signature of a payload."""
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    def sign_ed25519(self, payload: str) -> str:
        """The Ed25519 signature of a payload, base64."""
        return base64.b64encode(self.private.sign(payload.encode())).decode()

    def rest(self, method: str, path: str, source: str | None = None, **parameters: Any) -> Reply:
        """Send a request signed by HMAC; ``timestamp`` is added unless given (None: left out)."""
        parameters = {"timestamp": int(time.time() * 1000)} | parameters
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        target = f"{path}?{query}&signature={self.sign_hmac(query)}"
        return http(self.simulator.address(), method, target, None, {"X-MBX-APIKEY": self.hmac_key}, source)

    def order(self, method: str = "POST", path: str = "/api/v3/order", **changes: Any) -> Reply:
        """Send a resting limit order with some parameters changed (None: left out)."""
        order = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.001",
            "price": "90000.00",
        }
        return self.rest(method, path, **(order | changes))

    def state(self, part: str) -> Any:
        """This account's entry of a part of the simulator's state."""
        return self.simulator.admin.state()[part][self.name]


def binance_config(directory: Path, **changes: Any) -> dict[str, Any]:
    """A configuration on a free port of every loopback address."""
    number = next(_numbers)
    return {"listen": [{"address": "0.0.0.0"}], "admin_socket": str(directory / f"b{number}.sock")} | changes


@pytest.fixture(scope="session")
def binance_server(short_directory: Path) -> Iterator[control.Running]:
    config = binance_config(
        short_directory, limits={"weight_per_minute": 1_000_000, "connections_per_5min": 10_000}
    )
    with control.running("binance", config, short_directory) as simulator:
        yield simulator


@pytest.fixture
def binance(binance_server: control.Running) -> Iterator[control.Running]:
    """The session's Binance simulator with a frozen market and, before and after, no faults."""
    binance_server.admin.clear_faults()
    binance_server.admin.move_market(frozen=True, mid="100000")
    yield binance_server
    binance_server.admin.clear_faults()


@pytest.fixture
def trader(binance: control.Running) -> BinanceTrader:
    """A fresh account."""
    return BinanceTrader(binance)


@pytest.fixture(scope="session")
def narrow_binance(short_directory: Path) -> Iterator[control.Running]:
    """A Binance simulator with small limits, and with names that serve one thing each."""
    config = binance_config(
        short_directory,
        instruments=[{"max_orders": 2, "market": {"mid": "100000"}}],
        limits={
            "orders_per_day": 3,
            "weight_per_minute": 200,
            "ban_after": 3,
            "ban_seconds": 120,
            "connections_per_5min": 2,
        },
        hosts={"api.lab": ["rest"], "stream.lab": ["streams"]},
    )
    with control.running("binance", config, short_directory) as simulator:
        yield simulator


DOC_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
DOC_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


@pytest.fixture(scope="session")
def documented_binance(short_directory: Path) -> Iterator[control.Running]:
    """A Binance simulator in which the documentation's own requests can be good."""
    litecoin = {"symbol": "LTCBTC", "base": "LTC", "quote": "BTC", "tick": "0.000001", "lot": "0.01"}
    litecoin |= {"min_price": "0.000001", "min_notional": "0.0001"}
    litecoin |= {"market": {"mid": "0.2", "deviation_ticks": 0}}
    config = binance_config(
        short_directory,
        accounts=[{"name": "doc", "keys": [{"api_key": DOC_KEY, "secret": DOC_SECRET}]}],
        instruments=[litecoin, {"market": {"mid": "50000"}}],
    )
    with control.running("binance", config, short_directory) as simulator:
        yield simulator


YES = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
RISKY = "1"
"""A token of a negative-risk market."""

CONDITION = "0x" + "5f" * 32


@dataclass
class Wallet:
    """A wallet with an API key at the Polymarket simulator, and raw requests of both levels."""

    simulator: control.Running
    name: str = field(default_factory=lambda: f"wallet{next(_numbers)}")
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seed = hashlib.sha256(self.name.encode()).digest()
        self.private_key = "0x" + seed.hex()
        self.address: str = Account.from_key(self.private_key).address
        self.api_key, self.passphrase = f"key-{self.name}", "open sesame"
        self.secret = base64.urlsafe_b64encode(hashlib.sha256(seed).digest()).decode()
        self.simulator.admin.add_account(
            {
                "name": self.name,
                "address": self.address,
                "keys": [{"api_key": self.api_key, "secret": self.secret, "passphrase": self.passphrase}],
            }
            | self.options
        )

    @property
    def url(self) -> str:
        """The simulator's URL."""
        return f"http://{self.simulator.address()}"

    def headers(self, method: str, path: str, body: bytes = b"", offset_s: float = 0) -> dict[str, str]:
        """L2 headers, with a clock that is off by ``offset_s``."""
        timestamp = str(int(time.time() + offset_s))
        message = f"{timestamp}{method}{path}".encode() + body
        code = hmac.new(base64.urlsafe_b64decode(self.secret), message, hashlib.sha256).digest()
        return {
            "POLY_ADDRESS": self.address,
            "POLY_SIGNATURE": base64.urlsafe_b64encode(code).decode(),
            "POLY_TIMESTAMP": timestamp,
            "POLY_API_KEY": self.api_key,
            "POLY_PASSPHRASE": self.passphrase,
        }

    def send(
        self,
        method: str,
        path: str,
        document: Any = None,
        changes: dict[str, str] | None = None,
        source: str | None = None,
        offset_s: float = 0,
    ) -> Reply:
        """Send a signed request, with some headers changed."""
        body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
        headers = self.headers(method, path.partition("?")[0], body, offset_s) | (changes or {})
        return http(self.simulator.address(), method, quote(path, safe="/?=&"), body or None, headers, source)

    def state(self, part: str) -> Any:
        """This account's entry of a part of the simulator's state."""
        return self.simulator.admin.state()[part][self.name]


def polymarket_config(directory: Path, **changes: Any) -> dict[str, Any]:
    """A configuration on a free port of every loopback address."""
    number = next(_numbers)
    return {"listen": [{"address": "0.0.0.0"}], "admin_socket": str(directory / f"p{number}.sock")} | changes


@pytest.fixture(scope="session")
def polymarket_server(short_directory: Path) -> Iterator[control.Running]:
    config = polymarket_config(
        short_directory,
        instruments=[
            {},
            {"condition_id": "0x" + "ee" * 32, "yes": RISKY, "no": "2", "neg_risk": True, "tick": "0.001"},
        ],
        places=[
            {"network": "127.0.7.0/24", "country": "GB", "region": "ENG", "status": "close_only"},
            {"network": "127.0.8.0/24", "country": "IR", "status": "blocked"},
        ],
    )
    with control.running("polymarket", config, short_directory) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def hasty_polymarket(short_directory: Path) -> Iterator[control.Running]:
    """A Polymarket simulator in fast motion (dead-man switch, settlement, silence), with a small bucket."""
    config = polymarket_config(
        short_directory,
        heartbeats={"expire_s": 1, "check_s": 0.2},
        settlement={"mined_ms": 200, "confirmed_ms": 400, "hash_in_reply": False},
        limits={"orders_per_second": 0.01, "burst": 3},
        sockets={"subscribe_within": 0.5, "silence": 1},
    )
    with control.running("polymarket", config, short_directory) as simulator:
        simulator.admin.move_market(frozen=True, mid="0.50")
        yield simulator


@pytest.fixture
def polymarket(polymarket_server: control.Running) -> Iterator[control.Running]:
    """The session's Polymarket simulator with a frozen market and, before and after, no faults."""
    polymarket_server.admin.clear_faults()
    polymarket_server.admin.move_market(frozen=True, mid="0.50", tick="0.01")
    yield polymarket_server
    polymarket_server.admin.clear_faults()


@pytest.fixture
def wallet(polymarket: control.Running) -> Wallet:
    """A fresh wallet."""
    return Wallet(polymarket)
