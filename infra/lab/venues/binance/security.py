"""Who may do what: API keys, signatures, timestamps and source addresses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.config import ApiKey, BinanceAccount, Permission

KEY_FORM = re.compile(r"^[A-Za-z0-9]{64}$")
WINDOW_FORM = re.compile(r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
DEFAULT_WINDOW_US = 5_000_000
LEAD_US = 1_000_000
"""A timestamp this far ahead of the venue's clock is refused."""

MICROSECONDS_FROM = 10**14
"""Timestamps from here on are microseconds: as milliseconds they would be in the year 5138."""


@dataclass(frozen=True)
class Identity:
    """An API key with the account it belongs to."""

    account: str
    key: ApiKey

    @property
    def is_ed25519(self) -> bool:
        """Tell whether it may log a session on."""
        return self.key.public_key is not None


class Keys:
    """All keys of all accounts."""

    def __init__(self) -> None:
        self._by_key: dict[str, Identity] = {}
        self.rejected_accounts: set[str] = set()

    def add(self, account: BinanceAccount) -> None:
        """Make the account's keys valid, and only those."""
        self._by_key = {text: who for text, who in self._by_key.items() if who.account != account.name}
        for key in account.keys:
            self._by_key[key.api_key] = Identity(account.name, key)

    def identify(self, api_key: str | None, address: str, permission: Permission) -> Identity:
        """Return whose key it is; -2014 for a malformed key, -2015 for any other reason to refuse."""
        if not api_key or not KEY_FORM.match(api_key):
            raise errors.bad_key_format()
        identity = self._by_key.get(api_key)
        if identity is None or not self.allows(identity, address, permission):
            raise errors.bad_key()
        return identity

    def allows(self, identity: Identity, address: str, permission: Permission) -> bool:
        """Tell whether the key may do this from there, now (it may have been changed or deleted)."""
        current = self._by_key.get(identity.key.api_key)
        if current is None or current.account in self.rejected_accounts:
            return False
        networks = current.key.addresses
        at_home = not networks or any(ip_address(address) in network for network in networks)
        return at_home and permission in current.key.permissions


def verify(key: ApiKey, payload: bytes, signature: str) -> None:
    """Check ``signature`` over ``payload``; -1022 if it is not the key's."""
    if key.secret is not None:
        expected = hmac.new(key.secret.encode(), payload, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
            raise errors.bad_signature()
        return
    try:
        raw = base64.b64decode(signature, validate=True)
        if base64.b64encode(raw).decode() != signature:
            raise errors.bad_signature()
        public = load_pem_public_key((key.public_key or "").encode())
        assert isinstance(public, Ed25519PublicKey)
        public.verify(raw, payload)
    except (binascii.Error, InvalidSignature, ValueError):
        raise errors.bad_signature() from None


class Window:
    """A signed request's time window, in microseconds."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        """Read ``timestamp`` (ms or µs) and ``recvWindow`` (ms, three decimals at most)."""
        text = parameters.get("timestamp", "")
        if not text:
            raise errors.missing("timestamp")
        if not re.fullmatch(r"[0-9]{1,20}", text):
            raise errors.illegal("timestamp", "^[0-9]{1,20}$")
        stamp = int(text)
        self.stamp_us = stamp if stamp >= MICROSECONDS_FROM else stamp * 1000
        self.window_us = DEFAULT_WINDOW_US
        window = parameters.get("recvWindow")
        if window is not None:
            if not WINDOW_FORM.match(window):
                raise errors.illegal("recvWindow", WINDOW_FORM.pattern)
            if Decimal(window) > 60_000:
                text = "'recvWindow' contains unexpected value. Cannot be greater than 60000."
                raise errors.ApiError(400, -1102, text)
            self.window_us = int(Decimal(window) * 1000)

    def check_arrival(self, now_us: int) -> None:
        """First look, on receipt: neither a second ahead nor older than the window."""
        if self.stamp_us >= now_us + LEAD_US:
            raise errors.early()
        self.check_matching(now_us)

    def check_matching(self, now_us: int) -> None:
        """Second look, before the matching engine."""
        if now_us - self.stamp_us > self.window_us:
            raise errors.late()
