"""Release archives: tar under zstd, the same bytes for the same files; read without believing any of it."""

from __future__ import annotations

import hashlib
import io
import stat
import subprocess
import tarfile
from typing import IO, TYPE_CHECKING

from infra.operate.release_model import ReleaseError, safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEVEL = "-10"
MOST_FILES = 20_000
MOST_BYTES = 2 << 30
"""Unpacked; a signed archive beyond these is a mistake."""


def files_of(tree: Path) -> list[str]:
    """List the regular files below ``tree``, sorted; anything else than files and directories is refused."""
    found = []
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            kind = "symbolic link" if stat.S_ISLNK(mode) else "special file"
            raise ReleaseError(tree, f"{kind}, allowed are plain files and directories", file=name)
        try:
            found.append(safe_path(name))
        except ValueError as error:
            raise ReleaseError(tree, str(error), file=name) from None
    return sorted(found)


def sha256_of(path: Path) -> str:
    """Hash one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(
    tree: Path, names: list[str], archive: Path, epoch: int, progress: Callable[[str, int, int], None]
) -> None:
    """Pack ``names``: sorted, owned by root, mode 0755 or 0644, all times ``epoch``, one zstd thread."""
    compressor = ["zstd", "-q", "-f", LEVEL, "--single-thread", "--no-progress", "-o", str(archive)]
    try:
        process = subprocess.Popen(compressor, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise ReleaseError(archive, "zstd is not installed (apt-get install zstd)") from None
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        with process.stdin as pipe, tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for number, name in enumerate(names):
                progress("pack", number, len(names))
                _add(tar, tree / name, name, epoch)
        errors = process.stderr.read().decode(errors="replace")
    progress("pack", len(names), len(names))
    if process.returncode:
        raise ReleaseError(archive, f"zstd: {errors.strip()}")


def entries(content: bytes, archive: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Read an archive: each file's path, bytes and whether it is executable. ReleaseError on anything odd."""
    seen: set[str] = set()
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(_decompress(content, archive)), mode="r:") as tar:
            for member in tar:
                name = _checked_name(member, archive)
                if member.isdir():
                    continue
                if not member.isreg():
                    raise ReleaseError(archive, "is a link or device, allowed are plain files", file=name)
                if name in seen:
                    raise ReleaseError(archive, "is there twice", file=name)
                seen.add(name)
                size += member.size
                if len(seen) > MOST_FILES or size > MOST_BYTES:
                    raise ReleaseError(
                        archive, f"has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB unpacked"
                    )
                file: IO[bytes] | None = tar.extractfile(member)
                assert file is not None
                yield name, file.read(), bool(member.mode & 0o100)
    except (tarfile.TarError, EOFError) as error:
        raise ReleaseError(archive, f"is no tar archive: {error}") from error


def _add(tar: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    info = tarfile.TarInfo(name)
    status = path.lstat()
    info.size, info.mtime = status.st_size, epoch
    info.mode = 0o755 if status.st_mode & 0o100 else 0o644
    info.uname = info.gname = "root"
    with path.open("rb") as file:
        tar.addfile(info, file)


def _checked_name(member: tarfile.TarInfo, archive: Path) -> str:
    try:
        name = safe_path(member.name)
    except ValueError as error:
        raise ReleaseError(archive, str(error)) from None
    if member.uid or member.gid:
        raise ReleaseError(archive, f"owner {member.uid}:{member.gid}, allowed is 0:0", file=name)
    if member.mode & ~0o755:
        raise ReleaseError(archive, f"mode {member.mode:04o}, allowed are 0644 and 0755", file=name)
    return name


def _decompress(content: bytes, archive: Path) -> bytes:
    command = ["zstd", "-d", "-q", "-c", "--no-progress", "-M256MB"]
    try:
        result = subprocess.run(command, input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise ReleaseError(archive, "zstd is not installed (apt-get install zstd)") from None
    if result.returncode:
        raise ReleaseError(archive, f"zstd: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout
