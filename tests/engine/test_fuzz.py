"""Short, bounded runs of the fuzz targets. Findings are kept by hand as unit tests."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine"
TARGETS = re.search(r"foreach\(name ([^)]*)\)", (ENGINE / "fuzz/CMakeLists.txt").read_text())
assert TARGETS is not None
NAMES = TARGETS.group(1).split()


@pytest.fixture(scope="session")
def fuzz_build() -> Path:
    """The fuzz targets, built with clang."""
    if shutil.which("clang") is None:
        pytest.fail("clang is not installed; the fuzz targets need it (Debian: clang, libclang-rt-14-dev)")
    tree = ENGINE / "build-fuzz"
    tree.mkdir(exist_ok=True)
    with (tree / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "--preset", "fuzz"],
            ["cmake", "--build", "--preset", "fuzz", "--target", *(f"fuzz_{name}" for name in NAMES)],
        ):
            done = subprocess.run(
                command, cwd=ENGINE, capture_output=True, text=True, timeout=900, check=False
            )
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return tree


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(fuzz_build: Path, tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [
            fuzz_build / "bin" / f"fuzz_{name}",
            "-runs=20000",
            "-max_total_time=5",
            "-timeout=5",
            "-max_len=4096",
            "-seed=1",
            f"-dict={ENGINE / 'fuzz/json.dict'}",
            f"-artifact_prefix={tmp_path}/",
            tmp_path,
            ENGINE / "fuzz/seeds" / name,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None
    assert int(runs.group(1)) > 100, "the target hardly ran"
