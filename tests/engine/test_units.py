"""The C unit tests, the histogram against another implementation, and what a release build is made of."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

ENGINE = Path(__file__).parents[2] / "engine"
UNITS = sorted(path.stem for path in (ENGINE / "tests").glob("test_*.c"))


@pytest.mark.parametrize("unit", UNITS)
def test_unit(engine_build: Path, unit: str) -> None:
    done = subprocess.run(
        [engine_build / "bin" / unit], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_every_unit_is_known_to_ctest() -> None:
    listed = re.search(r"set\(unit_tests ([^)]*)\)", (ENGINE / "tests/CMakeLists.txt").read_text())
    assert listed is not None
    assert sorted(f"test_{name}" for name in listed.group(1).split()) == UNITS


@pytest.mark.parametrize("spread", ["uniform", "long tail", "few", "edges"])
def test_histogram_agrees_with_hdrhistogram(engine_build: Path, spread: str) -> None:
    chance = random.Random(spread)
    values = {
        "uniform": [chance.randrange(1, 10_000_000) for _ in range(20_000)],
        "long tail": [min(int(chance.lognormvariate(10, 3)) + 1, 59_000_000_000) for _ in range(20_000)],
        "few": [7, 7, 100_000, 3],
        "edges": [
            edge + step
            for power in range(1, 35)
            for edge in (1 << power,)
            for step in (-1, 0, 1)
            if edge + step > 0
        ],
    }[spread]
    peer = HdrHistogram(1, 60_000_000_000, 3)
    for value in values:
        peer.record_value(value)
    percents = (0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0)
    done = subprocess.run(
        [engine_build / "bin" / "histogram_tool"],
        input="\n".join(map(str, values)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [int(line) for line in done.stdout.split()] == [peer.get_value_at_percentile(p) for p in percents]


def _release(source: Path, tree: Path) -> Path:
    """Configure, build and install a release of the engine alone; its install tree."""
    prefix = tree / "install"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DSLIPWAY_TESTS=OFF", "-DSLIPWAY_REVISION=abc123"]
    commands: tuple[list[str | Path], ...] = (
        ["cmake", "-G", "Ninja", "-S", source, "-B", tree, *options, f"-DCMAKE_INSTALL_PREFIX={prefix}"],
        ["cmake", "--build", tree],
        ["cmake", "--install", tree],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return prefix


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The engine alone, built twice from two source paths in two trees."""
    made = []
    for name in ("one", "another-longer-name"):
        base = tmp_path_factory.mktemp(name)
        for part in ("src", "include"):
            shutil.copytree(ENGINE / part, base / "engine" / part)
        shutil.copy(ENGINE / "CMakeLists.txt", base / "engine")
        made.append(_release(base / "engine", base / "tree"))
    return made[0], made[1]


def test_release_build_is_reproducible(releases: tuple[Path, Path]) -> None:
    first, second = (
        {
            str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in tree.rglob("*")
            if path.is_file()
        }
        for tree in releases
    )
    assert list(first) == ["bin/slipway-engine"]
    assert first == second


def test_release_build_is_hardened(releases: tuple[Path, Path]) -> None:
    program = releases[0] / "bin/slipway-engine"
    read = subprocess.run(
        ["readelf", "-hldsW", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "DYN (Position-Independent Executable file)" in read
    assert "GNU_RELRO" in read
    assert "BIND_NOW" in read
    assert re.search(r"GNU_STACK.* RW ", read), "executable stack"
    assert "__stack_chk_fail" in read
    assert re.search(r"__\w+_chk\b", read.replace("__stack_chk_fail", "")), "_FORTIFY_SOURCE left no trace"
    assert "RUNPATH" not in read
    assert "RPATH" not in read


def test_release_states_its_revision(releases: tuple[Path, Path]) -> None:
    done = subprocess.run(
        [releases[0] / "bin/slipway-engine", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "revision abc123" in done.stdout
