"""The wheels of a Python connector: fetched once by hash, then kept, so that a host needs no index."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.operate.release_model import ReleaseError

PYTHON = "3.11"
"""Python of the hosts (Debian 12)."""

GLIBC_MINOR = 36
"""glibc 2.36 of the hosts: the newest manylinux wheels that they can load."""


def cache_directory() -> Path:
    """Where built things are kept between runs: ``SLIPWAY_CACHE_DIR`` or /var/cache/slipway."""
    return Path(os.environ.get("SLIPWAY_CACHE_DIR", "/var/cache/slipway"))


def wheelhouse(requirements: Path, target: str) -> Path:
    """Give a directory with every wheel of ``requirements`` (exact, with hashes) for ``target``."""
    machine = target.removeprefix("linux-")
    key = hashlib.sha256(
        f"{PYTHON} {GLIBC_MINOR} {machine}\n".encode() + requirements.read_bytes()
    ).hexdigest()
    root = cache_directory() / "wheels"
    root.mkdir(parents=True, exist_ok=True)
    ready = root / key
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as scratch:
                wheels = Path(scratch) / "wheels"
                _download(requirements, wheels, machine)
                wheels.rename(ready)
    return ready


def _download(requirements: Path, wheels: Path, machine: str) -> None:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 4, -1)]
    platforms += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    command = [*_pip(requirements), "download", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", PYTHON]
    command += [word for platform in platforms for word in ("--platform", platform)]
    command += ["--no-deps", "--requirement", str(requirements), "--dest", str(wheels)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        shutil.rmtree(wheels, ignore_errors=True)
        raise ReleaseError(requirements, f"pip download: {result.stderr.strip()[-800:]}")


def _pip(requirements: Path) -> list[str]:
    """Find a Python that has pip; the one of a locked environment may have none."""
    for python in (sys.executable, "/usr/bin/python3", shutil.which("python3") or ""):
        if python and Path(python).exists():
            command = [python, "-m", "pip"]
            if not subprocess.run([*command, "--version"], capture_output=True, check=False).returncode:
                return command
    raise ReleaseError(requirements, "no pip was found (apt-get install python3-pip)")
