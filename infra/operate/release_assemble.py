"""The tree of a release: the engine's install tree, its connectors, and ``release.json`` over all of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.operate.release_archive import files_of, sha256_of
from infra.operate.release_model import MANIFEST, Needs, ReleaseError, ReleaseManifest, read_manifest
from infra.operate.release_wheels import wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ENGINE = "bin/slipway-engine"
_LIBRARY = re.compile(r"connectors/libslipway_([a-z][a-z0-9]*)\.so")
_LEFT_OUT = ("__pycache__", "*.pyc", ".*", "venv", "requirements.in", "tests", "*.md")


@dataclass(frozen=True)
class PythonConnector:
    """A process connector in Python: a directory with ``run``, ``requirements.txt`` and its packages."""

    venue: str
    source: Path


def assemble(
    engine_tree: Path,
    connectors: Sequence[PythonConnector],
    out_tree: Path,
    *,
    name: str,
    version: str,
    revision: str,
    target: str,
    needs: Needs | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> ReleaseManifest:
    """Collect everything in ``out_tree`` (which must not exist) and write its ``release.json``."""
    if out_tree.exists():
        raise ReleaseError(out_tree, "is there already; a release is assembled in a new directory")
    files_of(engine_tree)  # refuses links before they are followed
    shutil.copytree(engine_tree, out_tree)
    entries: list[dict[str, Any]] = []
    for path in files_of(out_tree):
        match = _LIBRARY.fullmatch(path)
        if match:
            entries.append({"venue": match[1], "kind": "library", "path": path})
    for number, connector in enumerate(connectors):
        progress(f"connector {connector.venue}", number, len(connectors))
        entries.append(_add(connector, out_tree, target))
    paths = files_of(out_tree)
    files = {}
    for number, path in enumerate(paths):
        progress("hash", number, len(paths))
        files[path] = sha256_of(out_tree / path)
    progress("hash", len(paths), len(paths))
    document = {
        "contract_version": 1,
        "name": name,
        "version": version,
        "revision": revision,
        "target": target,
        "engine": {
            "executable": ENGINE,
            "check": [ENGINE, "--check-config"],
            "version": [ENGINE, "--version"],
        },
        "connectors": sorted(entries, key=lambda entry: str(entry["venue"])),
        "needs": (needs or Needs(locked_memory_mib=64, isolated_cpus=1)).model_dump(),
        "files": files,
    }
    text = json.dumps(document, indent=1) + "\n"
    manifest = read_manifest(text.encode(), out_tree)
    (out_tree / MANIFEST).write_text(text)
    return manifest


def _add(connector: PythonConnector, out_tree: Path, target: str) -> dict[str, Any]:
    """Copy a connector's sources and wheels to ``connectors/VENUE``; the host makes ``venv`` beside them."""
    for needed in ("run", "requirements.txt"):
        if not (connector.source / needed).is_file():
            raise ReleaseError(connector.source, "is missing", file=needed)
    files_of_connector = shutil.ignore_patterns(*_LEFT_OUT)
    home = f"connectors/{connector.venue}"
    shutil.copytree(connector.source, out_tree / home, ignore=files_of_connector, symlinks=True)
    shutil.copytree(wheelhouse(connector.source / "requirements.txt", target), out_tree / home / "wheels")
    run = f"{home}/run"
    return {
        "venue": connector.venue,
        "kind": "process",
        "executable": run,
        "check": [run, "--check-config"],
    }
