"""Engine releases: assemble, build, sign, check. ``NAME-VERSION-TARGET.tar.zst`` and its ``.minisig``.

A release is the only thing that brings code to a host. Building twice gives the same bytes; checking
believes nothing that is not under the signature, and nothing of the archive before the signature.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.operate import release_archive
from infra.operate.release_assemble import PythonConnector, assemble
from infra.operate.release_model import (
    MANIFEST,
    Needs,
    Precedence,
    ReleaseError,
    ReleaseManifest,
    read_comment,
    read_file_name,
    read_manifest,
)
from infra.operate.release_sign import KeyPair, generate_key, sign, signature_of, verify

__all__ = [
    "KeyPair",
    "Needs",
    "Progress",
    "PythonConnector",
    "Release",
    "ReleaseError",
    "ReleaseManifest",
    "assemble",
    "build",
    "check",
    "generate_key",
    "host_target",
    "manifest_of",
    "signature_of",
    "source_epoch",
    "source_revision",
]

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many are ready, of how many."""


CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Release:
    """A built release."""

    archive: Path
    signature: Path
    sha256: str
    """Of the archive."""

    manifest: ReleaseManifest

    @property
    def identity(self) -> str:
        """The directory under /opt/slipway/releases: ``VERSION-SHA12``."""
        return f"{self.manifest.version}-{self.sha256[:12]}"


def host_target() -> str:
    """Return the target of this machine, such as ``linux-x86_64``."""
    return f"linux-{platform.machine()}"


def source_revision(checkout: Path) -> str:
    """Return the commit that ``checkout`` is at, with ``-dirty`` where files differ from it."""
    revision = _git(checkout, "rev-parse", "HEAD")
    return f"{revision}-dirty" if _git(checkout, "status", "--porcelain") else revision


def source_epoch(checkout: Path) -> int:
    """Return the time that a reproducible build takes for now: SOURCE_DATE_EPOCH, or the commit's own."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given:
        if not given.isdigit():
            raise ReleaseError(
                checkout, f"SOURCE_DATE_EPOCH is {given!r}, allowed is a number of seconds since 1970"
            )
        return int(given)
    return int(_git(checkout, "show", "-s", "--format=%ct", "HEAD"))


def build(
    tree: Path,
    out_dir: Path,
    key: KeyPair,
    *,
    epoch: int | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> Release:
    """Pack and sign an assembled tree. The same tree and ``epoch`` give the same bytes.

    ``epoch`` is the time of every file in it, in seconds since 1970; by default see source_epoch().
    """
    if epoch is None:
        epoch = source_epoch(CHECKOUT)
    manifest_file = tree / MANIFEST
    if not manifest_file.is_file():
        raise ReleaseError(tree, "is missing", file=MANIFEST)
    manifest = read_manifest(manifest_file.read_bytes(), tree)
    names = release_archive.files_of(tree)
    found = {name: release_archive.sha256_of(tree / name) for name in names if name != MANIFEST}
    _compare(found, manifest, tree)
    out_dir.mkdir(parents=True, exist_ok=True)
    archive = out_dir / manifest.archive_name
    scratch = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        release_archive.write(tree, names, scratch, epoch, progress)
        scratch.chmod(0o644)
        sha256 = release_archive.sha256_of(scratch)
        signature_of(archive).unlink(missing_ok=True)
        scratch.rename(archive)
    finally:
        scratch.unlink(missing_ok=True)
    progress("sign", 0, 1)
    signature = sign(archive, manifest.comment(sha256), key.secret)
    progress("sign", 1, 1)
    return Release(archive, signature, sha256, manifest)


def check(
    archive: Path,
    public_key: Path,
    *,
    minimum_version: str | None = None,
    target: str | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> ReleaseManifest:
    """Check a release wholly without unpacking it to disk; ReleaseError where it must not be used.

    ``minimum_version``: an older one is a downgrade and refused. ``target``: what the hosts are,
    this machine's by default.
    """
    progress("verify signature", 0, 1)
    comment = read_comment(verify(archive, public_key), archive)
    content = archive.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != comment.sha256:
        raise ReleaseError(archive, f"sha256 {sha256}, allowed by the trusted comment is {comment.sha256}")
    name, version, file_target = read_file_name(archive)
    found: dict[str, str] = {}
    executable: set[str] = set()
    manifest: ReleaseManifest | None = None
    for path, data, is_executable in release_archive.entries(content, archive):
        progress("check files", len(found), len(manifest.files) if manifest else 0)
        if path == MANIFEST:
            manifest = read_manifest(data, archive)
        else:
            found[path] = hashlib.sha256(data).hexdigest()
            if is_executable:
                executable.add(path)
    if manifest is None:
        raise ReleaseError(archive, "is missing", file=MANIFEST)
    for key, said in (("name", manifest.name), ("version", manifest.version), ("target", manifest.target)):
        signed, named = getattr(comment, key), {"name": name, "version": version, "target": file_target}[key]
        if not said == signed == named:
            raise ReleaseError(
                archive,
                f"{key}: {MANIFEST} says {said!r}, the trusted comment {signed!r}, the file name {named!r}",
            )
    wanted = target or host_target()
    if manifest.target != wanted:
        raise ReleaseError(archive, f"target {manifest.target!r}, allowed here is {wanted!r}", file=MANIFEST)
    if minimum_version is not None and Precedence(manifest.version) < Precedence(minimum_version):
        raise ReleaseError(
            archive, f"downgrade refused: version {manifest.version}, allowed is {minimum_version} or newer"
        )
    _compare(found, manifest, archive)
    programs = [getattr(entry, "executable", None) for entry in (manifest.engine, *manifest.connectors)]
    for program in programs:
        if program is not None and program not in executable:
            raise ReleaseError(archive, "is not executable (mode 0755)", file=program)
    progress("check files", len(found), len(found))
    return manifest


def manifest_of(archive: Path) -> ReleaseManifest:
    """Read the manifest of an archive that check() has passed; this verifies nothing by itself."""
    if not archive.is_file():
        raise ReleaseError(archive, "no such file")
    for path, data, _ in release_archive.entries(archive.read_bytes(), archive):
        if path == MANIFEST:
            return read_manifest(data, archive)
    raise ReleaseError(archive, "is missing", file=MANIFEST)


def _compare(found: dict[str, str], manifest: ReleaseManifest, where: Path) -> None:
    """Compare the files that are there with those that the manifest says."""
    for path in sorted(found.keys() | manifest.files.keys()):
        if path not in found:
            raise ReleaseError(where, f"is in {MANIFEST}, but not there", file=path)
        if path not in manifest.files:
            raise ReleaseError(where, f"is there, but not in {MANIFEST}", file=path)
        if found[path] != manifest.files[path]:
            raise ReleaseError(
                where, f"sha256 {found[path]}, allowed by {MANIFEST} is {manifest.files[path]}", file=path
            )


def _git(checkout: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ReleaseError(checkout, f"git {arguments[0]}: {result.stderr.strip()}")
    return result.stdout.strip()
