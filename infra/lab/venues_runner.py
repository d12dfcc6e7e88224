"""The venues of the lab: addresses and names, simulators, and the accounts that are made for a run.

Keys are made when the lab comes up and exist nowhere else. Their values are in ``secrets.json`` (0600) in the
lab's directory; ``put_secrets`` carries them into the cloud's parameter store, as an owner would, under
the names that the plan gives.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import infra
from infra.lab.authority import Authority
from infra.lab.cages import Cage
from infra.lab.commands import replace_text
from infra.lab.settings import LabError, LabSettings
from infra.lab.spawn import start, tail
from infra.lab.venues.control import Admin, SimulatorError
from infra.plan.model import HostPlan

READY_S = 60.0
ACCOUNT = "slipway"
"""The name of the one account that the lab has at each venue."""


@dataclass(frozen=True)
class Venue:
    """Where a simulator is found in the lab."""

    name: str
    address: IPv4Address
    hostnames: tuple[str, ...]
    ports: tuple[int, ...] = (443,)

    @property
    def module(self) -> str:
        """The simulator's Python module."""
        return f"infra.lab.venues.{self.name}"


VENUES = (
    Venue(
        "binance",
        IPv4Address("203.0.113.10"),
        ("api.binance.lab", "ws-api.binance.lab", "stream.binance.lab"),
        (443, 9443),
    ),
    Venue(
        "polymarket",
        IPv4Address("203.0.113.20"),
        ("clob.polymarket.lab", "ws.polymarket.lab", "polymarket.lab"),
    ),
)


def hostnames(venues: Iterable[Venue] = VENUES) -> dict[str, IPv4Address]:
    """Return what the lab's name server must know."""
    return {hostname: venue.address for venue in venues for hostname in venue.hostnames}


class VenuesRunner:
    """The simulators of one lab."""

    def __init__(self, settings: LabSettings, venues: Sequence[Venue] = VENUES) -> None:
        self.settings = settings
        self.venues = tuple(venues)
        self.directory = settings.directory / "venues"

    @property
    def secrets_file(self) -> Path:
        """The file with the values of all credentials, by credential name."""
        return self.settings.directory / "secrets.json"

    def admin_socket(self, venue: str) -> Path:
        """Return the unix socket of a simulator's admin endpoint."""
        return self.directory / f"{venue}.sock"

    def log(self, venue: str) -> Path:
        """Return the file that a simulator prints to."""
        return self.directory / f"{venue}.log"

    def alive(self, venue: str) -> bool:
        """Tell whether a simulator answers on its admin socket."""
        try:
            self.admin(venue, "GET", "/state")
        except LabError:
            return False
        return True

    def ensure(self, authority: Authority) -> None:
        """Start every simulator that does not answer, and wait until all are ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        started = []
        for venue in self.venues:
            self._account(venue)
            cage = Cage.of(self.settings, f"venue-{venue.name}")
            if not cage.empty() and self.alive(venue.name):
                continue
            cage.kill()
            self.admin_socket(venue.name).unlink(missing_ok=True)
            config = self._write_config(venue, authority)
            start(
                cage,
                [
                    *("ip", "netns", "exec", self.settings.venues),
                    *(sys.executable, "-m", venue.module, "--config", str(config)),
                ],
                self.log(venue.name),
                {"PYTHONPATH": str(Path(infra.__file__).resolve().parents[1]), "PYTHONUNBUFFERED": "1"},
            )
            started.append((venue, cage))
        for venue, cage in started:
            self._await_ready(venue, cage)

    def secrets(self) -> dict[str, str]:
        """Return the values of all credentials that the lab made, by credential name."""
        if not self.secrets_file.exists():
            return {}
        found: dict[str, str] = json.loads(self.secrets_file.read_text(encoding="utf-8"))
        return found

    def put_secrets(self, hosts: Iterable[HostPlan], endpoint: str | None) -> list[str]:
        """Put the lab's credentials into the parameter store under the plans' names; return those names.

        Values go to the region of the host that reads them, as SecureString. Raises LabError naming a
        credential that the lab has no value for.
        """
        import boto3  # noqa: PLC0415 - slow to import, and needed here alone

        values = self.secrets()
        written = []
        for host in hosts:
            client = boto3.client(
                "ssm",
                region_name=host.region,
                endpoint_url=endpoint,
                aws_access_key_id="lab",
                aws_secret_access_key="lab",  # noqa: S106 - the lab's cloud accepts any
            )
            for connector in host.connectors:
                for credential in connector.credentials:
                    if credential.name not in values:
                        known = ", ".join(sorted(values)) or "none"
                        raise LabError(
                            f"host {host.name}, venue {connector.venue}: the lab made no credential "
                            f"{credential.name!r} (it has: {known})"
                        )
                    client.put_parameter(
                        Name=credential.parameter,
                        Value=values[credential.name],
                        Type="SecureString",
                        Overwrite=True,
                    )
                    written.append(credential.parameter)
        return written

    def allow(self, addresses: Mapping[str, Sequence[IPv4Address]]) -> None:
        """Tell venues which source addresses may use the lab's account: ``{"binance": [address]}``."""
        for venue in self.venues:
            if venue.name in addresses:
                networks = [f"{address}/32" for address in addresses[venue.name]]
                account = self._account(venue, allowed=networks)
                self.admin(venue.name, "POST", "/accounts", account)

    def admin(self, venue: str, method: str, path: str, body: Any = None) -> Any:
        """Ask a simulator's admin endpoint and return its JSON answer; LabError when it refuses."""
        try:
            return Admin(self.admin_socket(venue), timeout=30).ask(method, path, body)
        except SimulatorError as error:
            raise LabError(f"the {venue} simulator {error}") from error

    def _account(self, venue: Venue, allowed: list[str] | None = None) -> dict[str, Any]:
        """Return the account's document for the simulator, making its keys the first time."""
        path = self.directory / f"{venue.name}.account.json"
        if path.exists():
            account: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if allowed is None:
                return account
        else:
            account, values = _ACCOUNTS[venue.name]() if venue.name in _ACCOUNTS else ({"name": ACCOUNT}, {})
            replace_text(self.secrets_file, json.dumps(self.secrets() | values, indent=1), mode=0o600)
        if allowed is not None:
            _restrict(account, allowed)
        replace_text(path, json.dumps(account, indent=1), mode=0o600)
        return account

    def _write_config(self, venue: Venue, authority: Authority) -> Path:
        certificate = authority.server(venue.name, venue.hostnames)
        document = {
            "listen": [{"address": str(venue.address), "port": port, "tls": True} for port in venue.ports],
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "admin_socket": str(self.admin_socket(venue.name)),
            "accounts": [self._account(venue)],
        }
        path = self.directory / f"{venue.name}.json"
        replace_text(path, json.dumps(document, indent=1), mode=0o600)
        return path

    def _await_ready(self, venue: Venue, cage: Cage) -> None:
        log = self.log(venue.name)
        deadline = time.monotonic() + READY_S
        while not any(line.startswith("READY") for line in log.read_text(errors="replace").splitlines()):
            if cage.empty():
                raise LabError(f"the {venue.name} simulator ended at its start (see {log}): {tail(log)}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"the {venue.name} simulator is not ready after {READY_S:g} s (see {log}): {tail(log)}"
                )
            time.sleep(0.02)


def _binance_account() -> tuple[dict[str, Any], dict[str, str]]:
    alphabet = string.ascii_letters + string.digits
    api_key = "".join(secrets.choice(alphabet) for _ in range(64))
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"name": ACCOUNT, "keys": [{"api_key": api_key, "public_key": public.decode()}]}
    return account, {"binance_api_key": api_key, "binance_private_key": private.decode()}


def _polymarket_account() -> tuple[dict[str, Any], dict[str, str]]:
    from eth_account import Account  # noqa: PLC0415 - slow to import, and needed once a lab

    wallet = Account.create()
    values = {
        "polymarket_private_key": "0x" + wallet.key.hex().removeprefix("0x"),
        "polymarket_api_key": str(uuid.uuid4()),
        "polymarket_api_secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "polymarket_api_passphrase": secrets.token_hex(32),
    }
    account = {
        "name": ACCOUNT,
        "address": wallet.address,
        "keys": [
            {
                "api_key": values["polymarket_api_key"],
                "secret": values["polymarket_api_secret"],
                "passphrase": values["polymarket_api_passphrase"],
            }
        ],
    }
    return account, values


def _restrict(account: dict[str, Any], networks: list[str]) -> None:
    """Bind the account's keys to source addresses, where the venue's keys can be (an API key has a list)."""
    for key in account.get("keys", []):
        if "passphrase" not in key:
            key["addresses"] = networks


_ACCOUNTS = {"binance": _binance_account, "polymarket": _polymarket_account}
