"""A release that keeps the contract and trades nothing: what the role tests install instead of an engine.

The engine is a few lines of C, so that the running executable is a file of the release, as an
engine's is; the connector is a Python script.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from infra.operate import release

SOURCE = Path(__file__).with_name("release")


def tree(folder: Path, version: str, *, fails: bool = False) -> Path:
    """Write the release's tree; ``fails`` makes an engine that passes its checks and then does not start."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "connectors" / "polymarket").mkdir(parents=True)
    subprocess.run(
        [
            *("cc", "-O1", "-Wall", "-Werror", f'-DVERSION="{version}"', f"-DFAILS={int(fails)}"),
            *("-o", folder / "bin" / "slipway-engine", SOURCE / "engine.c"),
        ],
        check=True,
    )
    (folder / "connectors" / "libslipway_binance.so").write_bytes(
        b"not loaded by the stand-in " + version.encode()
    )
    run = folder / "connectors" / "polymarket" / "run"
    shutil.copy(SOURCE / "connector.py", run)
    run.chmod(0o755)
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    engine = "bin/slipway-engine"
    manifest = {
        "contract_version": 1,
        "name": "reference-engine",
        "version": version,
        "revision": "stand-in",
        "target": "linux-x86_64",
        "engine": {
            "executable": engine,
            "check": [engine, "--check-config"],
            "version": [engine, "--version"],
        },
        "connectors": [
            {"venue": "binance", "kind": "library", "path": "connectors/libslipway_binance.so"},
            {
                "venue": "polymarket",
                "kind": "process",
                "executable": "connectors/polymarket/run",
                "check": ["connectors/polymarket/run", "--check-config"],
            },
        ],
        "needs": {"huge_pages_2m": 0, "locked_memory_mib": 0, "isolated_cpus": 0, "realtime_priority": 0},
        "files": files,
    }
    (folder / "release.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def build(folder: Path, version: str, key: release.KeyPair, *, fails: bool = False) -> release.Release:
    """Build and sign a stand-in release in ``folder``."""
    source = tree(folder / f"tree-{version}", version, fails=fails)
    return release.build(source, folder / f"out-{version}", key, epoch=1_700_000_000)
