"""What a release's minisign signature says, checked against the public key."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

COMMENT = re.compile(
    r"slipway-release name=(?P<name>[a-z0-9-]+) version=(?P<version>[0-9A-Za-z.+-]+) "
    r"target=(?P<target>[a-z0-9_-]+) sha256=(?P<sha256>[0-9a-f]{64})"
)


class SignatureError(Exception):
    """The release is not accepted; the message names the file and what is wrong."""


@lru_cache(maxsize=4)
def identity(archive: Path, public_key: Path) -> dict[str, str]:
    """Return name, version, target, sha256, id and trusted_comment of ``archive``.

    The archive's own bytes are not read: its hash is under the signature, and the host compares before it
    unpacks. Raises SignatureError when it is missing, unsigned, altered or signed with another key.
    """
    if not archive.is_file():
        raise SignatureError(f"release archive {archive}: no such file; build one with slipway release build")
    signature = Path(f"{archive}.minisig")
    if not signature.is_file():
        raise SignatureError(
            f"release {archive.name} is not accepted: it is unsigned, {signature} is not there"
        )
    if not public_key.is_file():
        raise SignatureError(
            f"release {archive.name} cannot be checked: public key {public_key} is not there"
        )
    key = _decoded(public_key, 1, 42)
    signed = _decoded(signature, 1, 74)
    proof = _decoded(signature, 3, 64)
    comment = _lines(signature)[2].removeprefix("trusted comment: ")
    if signed[2:10] != key[2:10]:
        raise SignatureError(
            f"release {archive.name} is not accepted: it was signed with key {_name(signed)}, "
            f"{public_key} is {_name(key)}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(key[10:]).verify(proof, signed[10:] + comment.encode())
    except InvalidSignature:
        raise SignatureError(
            f"release {archive.name} is not accepted: {signature} was altered (its comment is not signed)"
        ) from None
    found = COMMENT.fullmatch(comment)
    if found is None:
        raise SignatureError(f"release {archive.name}: the signed comment is not a release's: {comment!r}")
    words = found.groupdict()
    return {**words, "id": f"{words['version']}-{words['sha256'][:12]}", "trusted_comment": comment}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _decoded(path: Path, line: int, length: int) -> bytes:
    try:
        decoded = base64.b64decode(_lines(path)[line], validate=True)
    except (IndexError, binascii.Error):
        decoded = b""
    if len(decoded) != length:
        raise SignatureError(
            f"{path} is not a minisign file: line {line + 1} should be {length} bytes in base64"
        )
    return decoded


def _name(blob: bytes) -> str:
    """Return the key's number as minisign prints it."""
    return blob[2:10][::-1].hex().upper()
