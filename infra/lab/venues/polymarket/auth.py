"""API keys and the two levels of authentication."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.polymarket import eip712
from infra.lab.venues.polymarket.config import Credentials
from infra.lab.venues.polymarket.errors import ClobError, bad_key, bad_l1


@dataclass(frozen=True)
class Key:
    """An API key with the wallet (lower case) that it belongs to."""

    credentials: Credentials
    address: str


def signature_l2(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Return the L2 signature: URL-safe base64, with padding, of HMAC-SHA256 under the decoded secret."""
    message = f"{timestamp}{method}{path}".encode() + body
    code = hmac.new(base64.urlsafe_b64decode(secret), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(code).decode()


@dataclass
class Authority:
    """All keys. Keys that a wallet makes follow from wallet, nonce and ``seed``, so it can derive them."""

    chain_id: int
    clock: VenueClock
    tolerance_s: int
    seed: int
    rejected: set[str] = field(default_factory=set)
    """Wallets whose keys do not work for now."""

    _keys: dict[str, Key] = field(default_factory=dict)
    _made: set[tuple[str, int]] = field(default_factory=set)

    def add(self, credentials: Credentials, address: str) -> None:
        """Make a key valid."""
        self._keys[credentials.api_key] = Key(credentials, address.lower())

    def drop(self, address: str) -> None:
        """Forget every key of a wallet."""
        self._keys = {name: key for name, key in self._keys.items() if key.address != address.lower()}

    def delete(self, key: Key) -> None:
        """Forget one key."""
        self._keys.pop(key.credentials.api_key, None)

    def keys_of(self, address: str) -> list[str]:
        """Return the wallet's API keys."""
        return [name for name, key in self._keys.items() if key.address == address]

    def login(self, headers: Mapping[str, str]) -> tuple[str, int]:
        """Check L1 headers; return wallet (lower case) and nonce."""
        try:
            address, signature = headers["POLY_ADDRESS"], headers["POLY_SIGNATURE"]
            timestamp, nonce = headers["POLY_TIMESTAMP"], int(headers.get("POLY_NONCE", "0"))
            self._check_time(timestamp)
            signed = eip712.login_digest(self.chain_id, address, timestamp, nonce)
            if eip712.signer(signed, signature) != address.lower():
                raise bad_l1()
        except (KeyError, ValueError, TypeError, eip712.SignatureError):
            raise bad_l1() from None
        return address.lower(), nonce

    def _check_time(self, timestamp: str) -> None:
        if not timestamp.isdigit() or abs(self.clock.seconds() - int(timestamp)) > self.tolerance_s:
            raise ValueError("timestamp is too far off")

    def _credentials(self, address: str, nonce: int) -> Credentials:
        material = hashlib.sha512(f"{self.seed}/{address}/{nonce}".encode()).digest()
        return Credentials(
            api_key=str(uuid5(NAMESPACE_URL, f"{self.seed}/{address}/{nonce}")),
            secret=base64.urlsafe_b64encode(material[:32]).decode(),
            passphrase=material[32:].hex(),
        )

    def create(self, address: str, nonce: int) -> Credentials:
        """Make the key of a wallet and nonce; 400 if it is there already."""
        if (address, nonce) in self._made:
            raise ClobError(400, "Could not create api key")
        self._made.add((address, nonce))
        credentials = self._credentials(address, nonce)
        self.add(credentials, address)
        return credentials

    def derive(self, address: str, nonce: int) -> Credentials:
        """Return a key that was made before; 400 if it was not, or is deleted."""
        credentials = self._credentials(address, nonce)
        if credentials.api_key not in self._keys:
            raise ClobError(400, "Could not derive api key!")
        return credentials

    def check(self, headers: Mapping[str, str], method: str, path: str, body: bytes) -> Key:
        """Check L2 headers over a request; ``path`` is without the query."""
        key = self._keys.get(headers.get("POLY_API_KEY", ""))
        if key is None or key.address in self.rejected:
            raise bad_key()
        timestamp = headers.get("POLY_TIMESTAMP", "")
        try:
            self._check_time(timestamp)
        except ValueError:
            raise bad_key() from None
        expected = signature_l2(key.credentials.secret, timestamp, method, path, body)
        facts = (
            (expected, headers.get("POLY_SIGNATURE", "")),
            (key.credentials.passphrase, headers.get("POLY_PASSPHRASE", "")),
            (key.address, headers.get("POLY_ADDRESS", "").lower()),
        )
        if not all(hmac.compare_digest(left.encode(), right.encode()) for left, right in facts):
            raise bad_key()
        return key

    def check_socket(self, auth: object) -> Key:
        """Check the ``auth`` of the user channel: key, secret and passphrase themselves."""
        given = auth if isinstance(auth, dict) else {}
        key = self._keys.get(str(given.get("apiKey", "")))
        if key is None or key.address in self.rejected:
            raise bad_key()
        facts = (
            (key.credentials.secret, given.get("secret")),
            (key.credentials.passphrase, given.get("passphrase")),
        )
        if not all(hmac.compare_digest(left.encode(), str(right).encode()) for left, right in facts):
            raise bad_key()
        return key
