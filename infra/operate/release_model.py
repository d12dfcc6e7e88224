"""What a release says of itself: ``release.json``, its file name, and its signature's trusted comment.

The three must say the same name, version and target; the comment also binds the archive's sha256,
so that an old signature cannot pass for a new version.
"""

from __future__ import annotations

import re
from functools import total_ordering
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from infra.plan.model import Closed, Name

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "release.json"
SUFFIX = ".tar.zst"

VERSION = r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*)?"
"""Semantic versions; a pre-release part has no hyphens, so that file names can be taken apart."""

TARGET = r"linux-(?:x86_64|aarch64)"
SHA256 = r"[0-9a-f]{64}"
_FILE_NAME = re.compile(rf"([a-z][a-z0-9-]*?)-({VERSION})-({TARGET}){re.escape(SUFFIX)}")
_COMMENT_FORM = "slipway-release name=… version=… target=… sha256=…"
_COMMENT = re.compile(
    rf"slipway-release name=([a-z0-9-]+) version=({VERSION}) target=({TARGET}) sha256=({SHA256})"
)


class ReleaseError(Exception):
    """A release that must not be used; names the archive, the file in it, what was found and allowed."""

    def __init__(self, archive: Path | str, fault: str, *, file: str | None = None) -> None:
        self.archive, self.file, self.fault = archive, file, fault
        super().__init__(": ".join(str(part) for part in (archive, file, fault) if part))


def safe_path(path: str) -> str:
    """Check a path inside a release: relative, plain, no way out; ValueError says what is wrong."""
    pure = PurePosixPath(path)
    if (
        not path
        or len(path) > 240
        or pure.is_absolute()
        or str(pure) != path
        or any(part in (".", "..") for part in pure.parts)
        or not re.fullmatch(r"[\x21-\x7e]+", path)
        or "\\" in path
    ):
        raise ValueError(
            f"path {path[:240]!r}, allowed is a relative path without '..', spaces or double slashes"
        )
    return path


RelativePath = Annotated[str, AfterValidator(safe_path)]
Digest = Annotated[str, StringConstraints(pattern=rf"^{SHA256}$")]
Command = Annotated[tuple[str, ...], Field(min_length=1)]
Version = Annotated[str, StringConstraints(pattern=rf"^{VERSION}$")]
Target = Annotated[str, StringConstraints(pattern=rf"^{TARGET}$")]


class EngineEntry(Closed):
    """The engine: what to run, how to check a configuration with it, how to ask its version."""

    executable: RelativePath
    check: Command
    version: Command


class LibraryConnector(Closed):
    """A connector that the engine loads (broker_interface.h)."""

    venue: Name
    kind: Literal["library"] = "library"
    path: RelativePath


class ProcessConnector(Closed):
    """A connector that is a process of its own (broker_wire.h)."""

    venue: Name
    kind: Literal["process"] = "process"
    executable: RelativePath
    check: Command


class Needs(Closed):
    """What the release asks of a host."""

    huge_pages_2m: Annotated[int, Field(ge=0)] = 0
    locked_memory_mib: Annotated[int, Field(ge=0)] = 0
    isolated_cpus: Annotated[int, Field(ge=0)] = 0
    realtime_priority: Annotated[int, Field(ge=0, le=98)] = 0


class ReleaseManifest(Closed):
    """``release.json``, at the root of every release. ``files`` has every file but this one."""

    contract_version: Literal[1] = 1
    name: Name
    version: Version
    revision: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    target: Target
    engine: EngineEntry
    connectors: tuple[Annotated[LibraryConnector | ProcessConnector, Field(discriminator="kind")], ...]
    needs: Needs = Needs()
    files: dict[RelativePath, Digest]

    @model_validator(mode="after")
    def _what_is_named_is_there(self) -> ReleaseManifest:
        named = {self.engine.executable, self.engine.check[0], self.engine.version[0]}
        for connector in self.connectors:
            if isinstance(connector, LibraryConnector):
                named.add(connector.path)
            else:
                named |= {connector.executable, connector.check[0]}
        missing = sorted(named - self.files.keys())
        if missing:
            raise ValueError(f"{missing[0]} is named, but is not in `files`")
        venues = [connector.venue for connector in self.connectors]
        twice = sorted({venue for venue in venues if venues.count(venue) > 1})
        if twice:
            raise ValueError(f"connectors: venue {twice[0]} is named twice")
        if MANIFEST in self.files:
            raise ValueError(f"files: {MANIFEST} cannot hold its own hash")
        return self

    @property
    def archive_name(self) -> str:
        """The one file name that this release may have."""
        return f"{self.name}-{self.version}-{self.target}{SUFFIX}"

    def comment(self, sha256: str) -> str:
        """Return the trusted comment that binds this release to its archive's hash."""
        return f"slipway-release name={self.name} version={self.version} target={self.target} sha256={sha256}"


class TrustedComment(Closed):
    """The signed comment, taken apart."""

    name: str
    version: str
    target: str
    sha256: str


def read_manifest(text: bytes, archive: Path | str) -> ReleaseManifest:
    """Read ``release.json``; ReleaseError names each key that is wrong."""
    try:
        return ReleaseManifest.model_validate_json(text)
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"]) or "(whole)"
            found = (
                "" if fault["type"] in ("missing", "value_error") else f", found {str(fault['input'])[:60]!r}"
            )
            faults.append(f"{key}: {fault['msg']}{found}")
        raise ReleaseError(archive, "; ".join(faults), file=MANIFEST) from error


def read_file_name(archive: Path) -> tuple[str, str, str]:
    """Take name, version and target from an archive's file name."""
    match = _FILE_NAME.fullmatch(archive.name)
    if not match:
        raise ReleaseError(archive, f"file name, allowed is NAME-VERSION-TARGET{SUFFIX}")
    return match[1], match[2], match[3]


def read_comment(text: str, archive: Path) -> TrustedComment:
    """Take a trusted comment apart."""
    match = _COMMENT.fullmatch(text)
    if not match:
        raise ReleaseError(
            archive,
            f"trusted comment {text[:120]!r}, allowed is {_COMMENT_FORM!r}",
        )
    return TrustedComment(name=match[1], version=match[2], target=match[3], sha256=match[4])


@total_ordering
class Precedence:
    """Semantic versions in their order: a pre-release comes before its release, numbers before words."""

    def __init__(self, version: str) -> None:
        if not re.fullmatch(VERSION, version):
            raise ValueError(f"version {version!r}, allowed is MAJOR.MINOR.PATCH[-PRERELEASE]")
        core, _, pre = version.partition("-")
        self._core = tuple(int(part) for part in core.split("."))
        self._pre = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".") if part
        )

    def _key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]:
        return self._core, not self._pre, self._pre

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Precedence) and self._key() == other._key()

    def __lt__(self, other: Precedence) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())
