"""What wallets sign (EIP-712): the login message and the V2 order; from the standard, not from a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

LOGIN_MESSAGE = "This message attests that I control the given wallet"
EXCHANGES = {
    False: "0xE111180000d2663C0091e4f400237545B87B996B",
    True: "0xe2222d279d744050d28e00520010520000310F59",
}
"""The V2 exchange contract, by whether the market is a negative-risk one; the same on both chains."""

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: a larger s is the same signature in another coat, and contracts refuse it."""

_BITS = {"uint8": 8, "uint256": 256}


class SignatureError(Exception):
    """A signature is malformed, or what it signs cannot be encoded."""


@dataclass(frozen=True)
class Struct:
    """An EIP-712 type: its name and its members as (type, name), none of which is a struct itself."""

    name: str
    members: tuple[tuple[str, str], ...]

    def hash(self, values: Mapping[str, Any]) -> bytes:
        """Return hashStruct of ``values``; SignatureError for one that its type cannot hold."""
        members = ",".join(f"{kind} {name}" for kind, name in self.members)
        encoded = b"".join(_encode(kind, name, values[name]) for kind, name in self.members)
        return keccak(keccak(f"{self.name}({members})".encode()) + encoded)


def _encode(kind: str, name: str, value: Any) -> bytes:
    if kind == "string":
        return keccak(str(value).encode())
    if kind == "bytes32" and isinstance(value, bytes) and len(value) == 32:
        return value
    if kind == "address":
        try:
            raw = bytes.fromhex(str(value).removeprefix("0x"))
        except ValueError:
            raw = b""
        if len(raw) == 20:
            return raw.rjust(32, b"\0")
    if kind in _BITS and isinstance(value, int) and 0 <= value < 1 << _BITS[kind]:
        return value.to_bytes(32, "big")
    raise SignatureError(f"{name}: {value!r} is no {kind}")


_LOGIN_DOMAIN = Struct("EIP712Domain", (("string", "name"), ("string", "version"), ("uint256", "chainId")))
_ORDER_DOMAIN = Struct("EIP712Domain", (*_LOGIN_DOMAIN.members, ("address", "verifyingContract")))
_LOGIN = Struct(
    "ClobAuth",
    (("address", "address"), ("string", "timestamp"), ("uint256", "nonce"), ("string", "message")),
)
_ORDER = Struct(
    "Order",
    (
        ("uint256", "salt"),
        ("address", "maker"),
        ("address", "signer"),
        ("uint256", "tokenId"),
        ("uint256", "makerAmount"),
        ("uint256", "takerAmount"),
        ("uint8", "side"),
        ("uint8", "signatureType"),
        ("uint256", "timestamp"),
        ("bytes32", "metadata"),
        ("bytes32", "builder"),
    ),
)


def login_digest(chain_id: int, address: str, timestamp: str, nonce: int) -> bytes:
    """Return the hash that a wallet signs to make or derive an API key."""
    domain = {"name": "ClobAuthDomain", "version": "1", "chainId": chain_id}
    values = {"address": address, "timestamp": timestamp, "nonce": nonce, "message": LOGIN_MESSAGE}
    return keccak(b"\x19\x01" + _LOGIN_DOMAIN.hash(domain) + _LOGIN.hash(values))


def order_digest(chain_id: int, fields: Mapping[str, Any], *, neg_risk: bool) -> bytes:
    """Return the hash that a wallet signs for an order, which is also the order's id."""
    domain = {
        "name": "Polymarket CTF Exchange",
        "version": "2",
        "chainId": chain_id,
        "verifyingContract": EXCHANGES[neg_risk],
    }
    return keccak(b"\x19\x01" + _ORDER_DOMAIN.hash(domain) + _ORDER.hash(fields))


def signer(digest: bytes, signature: str) -> str:
    """Return the address that signed, lower case; SignatureError if it is no signature at all."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError as error:
        raise SignatureError(f"signature is not hexadecimal: {error}") from error
    if len(raw) != 65 or raw[64] not in {27, 28}:
        raise SignatureError("signature is not 65 bytes ending in 27 or 28")
    if int.from_bytes(raw[32:64], "big") > HALF_ORDER:
        raise SignatureError("signature has a large s")
    try:
        public = Signature(raw[:64] + bytes([raw[64] - 27])).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError, ValueError) as error:
        raise SignatureError(str(error)) from error
    return public.to_address().lower()
