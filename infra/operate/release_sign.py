"""Signatures by minisign (Ed25519 over BLAKE2b), as Debian has it on the build machine and on every host."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.operate.release_model import ReleaseError

SIGNATURE_SUFFIX = ".minisig"


@dataclass(frozen=True)
class KeyPair:
    """Where the two halves of a signing key are. The secret half never leaves the build machine."""

    secret: Path
    public: Path


def generate_key(directory: Path) -> KeyPair:
    """Make a signing key without a password in ``directory`` (0700, files 0600), or keep the one there."""
    pair = KeyPair(directory / "release.key", directory / "release.pub")
    if pair.secret.exists() and pair.public.exists():
        return pair
    for half in (pair.secret, pair.public):
        if half.exists():
            raise ReleaseError(half, "half of a key pair is there without the other; remove it or bring both")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair.secret.touch(mode=0o600)
    _minisign("-G", "-f", "-W", "-s", str(pair.secret), "-p", str(pair.public), about=directory)
    pair.secret.chmod(0o600)
    pair.public.chmod(0o600)
    return pair


def signature_of(archive: Path) -> Path:
    """Where an archive's signature lies."""
    return archive.with_name(archive.name + SIGNATURE_SUFFIX)


def sign(archive: Path, comment: str, secret: Path) -> Path:
    """Sign ``archive`` with ``comment`` under the signature too; gives the signature's path."""
    signature = signature_of(archive)
    signature.unlink(missing_ok=True)
    arguments = (
        "-s",
        str(secret),
        "-m",
        str(archive),
        "-x",
        str(signature),
        "-t",
        comment,
        "-c",
        "slipway release",
    )
    _minisign("-S", "-W", *arguments, about=archive)
    return signature


def verify(archive: Path, public_key: Path) -> str:
    """Verify an archive's signature; gives its trusted comment. Nothing else may be read before this."""
    if not archive.is_file():
        raise ReleaseError(archive, "no such file")
    if not public_key.is_file():
        raise ReleaseError(archive, f"public key {public_key}: no such file")
    signature = signature_of(archive)
    if not signature.is_file():
        raise ReleaseError(archive, f"unsigned: {signature.name} is not beside it")
    arguments = ("-p", str(public_key), "-m", str(archive), "-x", str(signature))
    return _minisign("-V", "-H", "-Q", *arguments, about=archive).strip("\r\n")


def _minisign(*arguments: str, about: Path) -> str:
    try:
        result = subprocess.run(
            ["minisign", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise ReleaseError(about, "minisign is not installed (apt-get install minisign)") from None
    if result.returncode:
        reason = " ".join((result.stderr + " " + result.stdout).split())
        what = "signature" if arguments[0] == "-V" else f"minisign {arguments[0]}"
        raise ReleaseError(about, f"{what}: {reason or f'exit {result.returncode}'}")
    return result.stdout
