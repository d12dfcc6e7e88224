"""The simulators as programs: configuration, listeners, TLS, admin socket and a clean end."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from infra.lab.venues import control
from infra.lab.venues.binance.config import BinanceConfig
from infra.lab.venues.common.config import ConfigError, load
from infra.lab.venues.polymarket.config import PolymarketConfig
from tests.venues.conftest import BinanceTrader, binance_config, polymarket_config

MODELS = {"binance": BinanceConfig, "polymarket": PolymarketConfig}
CONFIGS = {"binance": binance_config, "polymarket": polymarket_config}


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


@pytest.mark.parametrize("venue", get_args(control.VenueName))
def test_listens_on_several_ports_with_tls_and_ends_cleanly(
    venue: control.VenueName, short_directory: Path, tmp_path: Path
) -> None:
    certificate_file, key_file = certificate(tmp_path)
    config = CONFIGS[venue](
        short_directory,
        listen=[{"address": "127.0.0.1", "tls": True}, {"address": "127.0.0.1"}],
        certificate=str(certificate_file),
        key=str(key_file),
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    simulator = control.start(venue, path)
    try:
        trust = ssl.create_default_context(cafile=str(certificate_file))
        page = "/api/v3/time" if venue == "binance" else "/time"
        with urllib.request.urlopen(f"https://{simulator.address(0)}{page}", context=trust) as response:
            assert response.status == 200
        with urllib.request.urlopen(f"http://{simulator.address(1)}{page}") as response:
            assert response.status == 200
        assert simulator.ready["venue"] == venue
        assert simulator.ready["pid"] == simulator.process.pid
        assert Path(config["admin_socket"]).stat().st_mode & 0o777 == 0o600
    finally:
        status = control.stop(simulator)
    assert status == 0
    assert not Path(config["admin_socket"]).exists()


BAD = [
    ("binance", {"listen": []}, "listen"),
    ("binance", {"colour": "red"}, "colour"),
    ("binance", {"listen": [{"port": 1, "tls": True}]}, "give 'certificate' and 'key'"),
    ("binance", {"accounts": [{"name": "a", "keys": [{"api_key": "short"}]}]}, "accounts.0.keys.0.api_key"),
    ("binance", {"accounts": [{"name": "a", "keys": [{"api_key": "a" * 64}]}]}, "exactly one of 'secret'"),
    ("binance", {"instruments": [{"tick": "0.0001", "lot": "0.000001"}]}, "multiple of 1e-8"),
    ("polymarket", {"accounts": [{"name": "a", "address": "0x12"}]}, "accounts.0.address"),
    ("polymarket", {"instruments": [{"tick": "0.02"}]}, "instruments.0.tick"),
    ("polymarket", {"chain_id": 1}, "chain_id"),
]


@pytest.mark.parametrize(("venue", "changes", "text"), BAD)
def test_a_bad_configuration_is_named(
    venue: control.VenueName, changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS[venue](tmp_path) | changes))
    with pytest.raises(ConfigError) as refusal:
        load(path, MODELS[venue])
    assert text in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_rsa_keys_are_refused_by_name(tmp_path: Path) -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    account = {"name": "a", "keys": [{"api_key": "a" * 64, "public_key": pem}]}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(binance_config(tmp_path, accounts=[account])))
    with pytest.raises(ConfigError, match="RSA keys are not simulated"):
        load(path, BinanceConfig)


def test_a_missing_file_and_a_taken_port(binance: control.Running, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.lab.venues.binance", "--config", str(tmp_path / "none.json")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, "none.json: No such file" in ended.stderr) == (2, True)
    path = tmp_path / "config.json"
    port = binance.ready["listen"][0]["port"]
    path.write_text(json.dumps(binance_config(tmp_path, listen=[{"port": port}])))
    with pytest.raises(control.SimulatorError, match=f"cannot listen on 127.0.0.1:{port}"):
        control.start("binance", path)


def test_admin_requests_that_make_no_sense_are_explained(binance: control.Running) -> None:
    admin = binance.admin
    for refuse, text in (
        (
            lambda: admin.set_faults(gremlins={}),
            "unknown fault 'gremlins'; known: ban_address, block_addresses",
        ),
        (lambda: admin.set_faults(delay={"ms": 0}), "delay"),
        (lambda: admin.move_market(price=5), "allowed: symbol, mid, frozen"),
        (lambda: admin.move_market(symbol="NOPE"), "there are BTCUSDT"),
        (lambda: admin.move_market(mid="2000000"), "outside"),
        (lambda: admin.add_account({"name": ""}), "name"),
    ):
        with pytest.raises(control.SimulatorError, match=text):
            refuse()


def test_events_wait_for_news(trader: BinanceTrader) -> None:
    admin = trader.simulator.admin
    last = admin.last_event()
    assert admin.events(last, wait=0.05) == []
    trader.order(newClientOrderId="news")
    new = admin.wait_for(lambda event: event["kind"] == "new", last)
    assert (new["account"], new["client_id"], new["price"]) == (trader.name, "news", "90000.00000000")
    with pytest.raises(control.SimulatorError, match="did not come"):
        admin.wait_for(lambda event: event["kind"] == "never", new["seq"], seconds=0.05)
