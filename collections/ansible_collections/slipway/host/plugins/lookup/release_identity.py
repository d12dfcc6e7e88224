"""Who a signed release is, by its signature file alone."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: release_identity
short_description: Name, version and hash of a signed release
description:
  - Reads the minisign signature beside a release archive, checks that its trusted comment was signed with the
    given public key, and returns what it says. The archive itself is not read here, the host does that
    before it unpacks it.
options:
  _terms:
    description: The release archive; its signature lies beside it with the ending C(.minisig).
    required: true
  public_key:
    description: The minisign public key file.
    type: path
    required: true
author: slipway
version_added: 0.1.0
"""

EXAMPLES = """
- name: Show what would be deployed
  ansible.builtin.debug:
    msg: "{{ lookup('slipway.host.release_identity', 'engine-0.1.0-linux-x86_64.tar.zst', public_key='release.pub') }}"
"""

RETURN = """
_raw:
  description: A dictionary with name, version, target, sha256, id and trusted_comment.
  type: list
  elements: dict
"""

COMMENT = re.compile(
    r"^slipway-release name=(?P<name>[a-z0-9-]+) version=(?P<version>[0-9A-Za-z.+-]+) "
    r"target=(?P<target>[a-z0-9_-]+) sha256=(?P<sha256>[0-9a-f]{64})$"
)


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return the identity of each archive in ``terms``."""
        self.set_options(var_options=variables, direct=kwargs)
        key = Path(str(self.get_option("public_key")))
        return [identity(Path(str(term)), key) for term in terms]


def identity(archive: Path, public_key: Path) -> dict[str, str]:
    """Return the identity of ``archive``; AnsibleLookupError when it is missing, unsigned or signed by another."""
    if not archive.is_file():
        raise AnsibleLookupError(f"release archive {archive}: no such file; build one with slipway release build")
    signature = Path(f"{archive}.minisig")
    try:
        lines = signature.read_text(encoding="utf-8").splitlines()
        key = base64.b64decode(public_key.read_text(encoding="utf-8").splitlines()[1], validate=True)
    except FileNotFoundError as error:
        raise AnsibleLookupError(f"release {archive.name} is not accepted: {error.filename} is not there") from None
    except (IndexError, binascii.Error, UnicodeDecodeError):
        raise AnsibleLookupError(f"release {archive.name}: {public_key} is not a minisign public key") from None
    try:
        comment = lines[2].removeprefix("trusted comment: ")
        signed = base64.b64decode(lines[1], validate=True)
        proof = base64.b64decode(lines[3], validate=True)
    except (IndexError, binascii.Error):
        raise AnsibleLookupError(f"release {archive.name}: {signature} is not a minisign signature") from None
    if len(key) != 42 or len(signed) != 74 or signed[2:10] != key[2:10]:
        raise AnsibleLookupError(
            f"release {archive.name} is not accepted: it was signed with key {signed[2:10][::-1].hex().upper()}, "
            f"{public_key} is {key[2:10][::-1].hex().upper()}"
        )
    _verify(archive, key[10:], proof, signed[10:] + comment.encode())
    found = COMMENT.match(comment)
    if found is None:
        raise AnsibleLookupError(f"release {archive.name}: its signed comment is not a slipway release's: {comment!r}")
    words = found.groupdict()
    return {**words, "id": f"{words['version']}-{words['sha256'][:12]}", "trusted_comment": comment}


def _verify(archive: Path, key: bytes, proof: bytes, message: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (loaded only where a release is looked at)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, message)
    except InvalidSignature:
        raise AnsibleLookupError(
            f"release {archive.name} is not accepted: the signature of its comment is wrong "
            f"({archive}.minisig was altered)"
        ) from None
