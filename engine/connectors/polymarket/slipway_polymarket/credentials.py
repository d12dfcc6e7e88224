"""Credentials from systemd's $CREDENTIALS_DIRECTORY, one file each; never printed, never logged."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "polymarket_private_key",
    "polymarket_api_key",
    "polymarket_api_secret",
    "polymarket_api_passphrase",
)


class CredentialError(Exception):
    """A credential is missing or has not the right form; the text names the file, never its content."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """The wallet's signing key (L1) and the API key's three parts (L2)."""

    private_key: str
    api_key: str
    api_secret: str
    api_passphrase: str

    def __repr__(self) -> str:
        return "Credentials(hidden)"


def load(directory: Path | None) -> Credentials:
    """Read the four files and check their form; CredentialError names the one that is wrong."""
    if directory is None:
        raise CredentialError(
            "CREDENTIALS_DIRECTORY is not set; the unit must have LoadCredentialEncrypted= for "
            + ", ".join(NAMES)
        )
    private_key, api_key, api_secret, passphrase = (_read(directory / name) for name in NAMES)
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", private_key):
        raise CredentialError(f"{directory / NAMES[0]}: allowed is 0x and 64 hexadecimal digits")
    try:
        base64.b64decode(api_secret, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CredentialError(
            f"{directory / NAMES[2]}: allowed is URL-safe base64 with its padding"
        ) from None
    return Credentials(private_key, api_key, api_secret, passphrase)


def _read(path: Path) -> str:
    try:
        value = path.read_text("ascii").strip()
    except OSError as error:
        raise CredentialError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CredentialError(f"{path}: allowed is one line of ASCII") from None
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise CredentialError(f"{path}: allowed is one line of ASCII without spaces, found none or more")
    return value
