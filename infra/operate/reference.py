"""A release of the reference engine: built with CMake, collected with its connectors, signed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from infra.operate import release
from infra.operate.command import Command
from infra.operate.release import KeyPair, PythonConnector, Release
from infra.operate.workspace import Workspace

NAME = "reference-engine"


def commands(workspace: Workspace) -> tuple[Command, ...]:
    """Return the CMake lines that build and install the engine under ``out/engine``."""
    build = workspace.root / "out" / "engine" / "build"
    tree = build.parent / "tree"
    return (
        Command(
            (
                "cmake",
                *("-S", "engine", "-B", str(build), "-G", "Ninja"),
                *("-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_INSTALL_PREFIX={tree}"),
                *("-DSLIPWAY_TESTS=OFF", f"-DSLIPWAY_REVISION={release.source_revision(workspace.root)}"),
            )
        ),
        Command(("cmake", "--build", str(build))),
        Command(("cmake", "--install", str(build))),
    )


def source_hash(root: Path) -> str:
    """Return one sha256 over all sources of the engine and its connectors: same hash, same release."""
    digest = hashlib.sha256()
    for path in sorted((root / "engine").rglob("*")):
        relative = path.relative_to(root)
        hidden = any(part.startswith(("build", ".", "__pycache__", "venv")) for part in relative.parts)
        if path.is_file() and not hidden:
            digest.update(f"{relative}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def build(workspace: Workspace, key: KeyPair, tell: Callable[[str], None]) -> Path:
    """Build and sign the reference engine's release unless the present one is of the same sources.

    Returns the archive, in ``out/<stack>/release`` beside its signature and the public key. Raises
    CommandError when the build fails and ReleaseError when what came out breaks the contract.
    """
    stamp = workspace.release_dir / "source.sha256"
    source = source_hash(workspace.root) + key.public.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == source:
        return workspace.release_archive()
    for number, command in enumerate(commands(workspace)):
        command.run(workspace.logs / f"engine-{number}.log", cwd=workspace.root, line=tell)
    assembled = workspace.root / "out" / "engine" / "assembled"
    shutil.rmtree(assembled, ignore_errors=True)

    def progress(what: str, done: int, total: int) -> None:
        tell(f"{what} {done}/{total}")

    release.assemble(
        workspace.root / "out" / "engine" / "tree",
        [PythonConnector("polymarket", workspace.root / "engine" / "connectors" / "polymarket")],
        assembled,
        name=NAME,
        version=version("slipway"),
        revision=release.source_revision(workspace.root),
        target=release.host_target(),
        progress=progress,
    )
    shutil.rmtree(workspace.release_dir, ignore_errors=True)
    built: Release = release.build(assembled, workspace.release_dir, key, progress=progress)
    shutil.copyfile(key.public, workspace.release_public_key)
    release.check(built.archive, workspace.release_public_key)
    stamp.write_text(source, encoding="utf-8")
    return built.archive
