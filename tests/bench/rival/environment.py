"""pyinfra's own environment, from locked wheels, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.bench.figures import BenchError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VERSION = next(
    line.split("==")[1].split()[0]
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    if line.startswith("pyinfra==")
)


def ensure(cache: Path, uv: Path | None) -> Path:
    """Return the ``pyinfra`` program, installing it first (a few seconds) if these requirements are new."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    place = cache / "bench" / f"pyinfra-{digest}"
    program = place / "bin" / "pyinfra"
    if (place / ".ready").exists():
        return program
    tool = str(uv) if uv is not None and uv.exists() else shutil.which("uv")
    if tool is None:
        raise BenchError("uv is needed to install pyinfra: run make setup, which brings .uv/bin/uv")
    shutil.rmtree(place, ignore_errors=True)
    for argv in (
        [tool, "venv", "--quiet", "--python", "3.11", str(place)],
        [
            *(tool, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")),
            *("--require-hashes", "--requirement", str(REQUIREMENTS)),
        ],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{' '.join(argv)}: {done.stderr.strip()[-1500:]}")
    # Bytecode now, so that the first measured run does not pay for it.
    subprocess.run([program, "--version"], capture_output=True, check=True)
    (place / ".ready").touch()
    return program
