"""What wallets sign (EIP-712): the login message and the V2 order; from the standard, not from a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

LOGIN_MESSAGE = "This message attests that I control the given wallet"
EXCHANGES = {
    False: "0xE111180000d2663C0091e4f400237545B87B996B",
    True: "0xe2222d279d744050d28e00520010520000310F59",
}
"""The V2 exchange contract, by whether the market is a negative-risk one; the same on both chains."""

_LOGIN_TYPES = {
    "ClobAuth": [
        {"name": "address", "type": "address"},
        {"name": "timestamp", "type": "string"},
        {"name": "nonce", "type": "uint256"},
        {"name": "message", "type": "string"},
    ]
}
_ORDER_TYPES = {
    "Order": [
        {"name": "salt", "type": "uint256"},
        {"name": "maker", "type": "address"},
        {"name": "signer", "type": "address"},
        {"name": "tokenId", "type": "uint256"},
        {"name": "makerAmount", "type": "uint256"},
        {"name": "takerAmount", "type": "uint256"},
        {"name": "side", "type": "uint8"},
        {"name": "signatureType", "type": "uint8"},
        {"name": "timestamp", "type": "uint256"},
        {"name": "metadata", "type": "bytes32"},
        {"name": "builder", "type": "bytes32"},
    ]
}


class SignatureError(Exception):
    """A signature is malformed, or what it signs cannot be encoded."""


def login(chain_id: int, address: str, timestamp: str, nonce: int) -> SignableMessage:
    """Return what a wallet signs to make or derive an API key."""
    return encode_typed_data(
        domain_data={"name": "ClobAuthDomain", "version": "1", "chainId": chain_id},
        message_types=_LOGIN_TYPES,
        message_data={"address": address, "timestamp": timestamp, "nonce": nonce, "message": LOGIN_MESSAGE},
    )


def order(chain_id: int, fields: Mapping[str, Any], *, neg_risk: bool) -> SignableMessage:
    """Return what a wallet signs for an order; ``fields`` are the struct's members."""
    return encode_typed_data(
        domain_data={
            "name": "Polymarket CTF Exchange",
            "version": "2",
            "chainId": chain_id,
            "verifyingContract": EXCHANGES[neg_risk],
        },
        message_types=_ORDER_TYPES,
        message_data=dict(fields),
    )


def digest(message: SignableMessage) -> str:
    """Return the hash that is signed, as 0x and 64 hex digits; of an order it is the order's id."""
    return "0x" + keccak(b"\x19" + message.version + message.header + message.body).hex()


def signer(message: SignableMessage, signature: str) -> str:
    """Return the address that signed, lower case; SignatureError if it is no signature at all."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError as error:
        raise SignatureError(f"signature is not hexadecimal: {error}") from error
    if len(raw) != 65 or raw[64] not in {27, 28}:
        raise SignatureError("signature is not 65 bytes ending in 27 or 28")
    try:
        return str(Account.recover_message(message, signature=raw)).lower()
    except Exception as error:  # the library's errors for points off the curve have no common base
        raise SignatureError(str(error)) from error
