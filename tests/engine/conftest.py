"""Builds the engine once a session, with sanitizers, and lends each test one of its own."""

from __future__ import annotations

import fcntl
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = Path(__file__).parents[2] / "engine"

# importlib import mode gives test modules no package to import helpers from; load ours once, by name.
if "engine_harness" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "engine_harness", Path(__file__).with_name("engine_harness.py")
    )
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["engine_harness"] = _module
    _spec.loader.exec_module(_module)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ENGINE, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} failed:\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")


@pytest.fixture(scope="session")
def engine_build() -> Path:
    """The build tree with address and undefined-behaviour sanitizers."""
    tree = ENGINE / "build-test"
    tree.mkdir(exist_ok=True)
    with (tree / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test sessions may share this checkout
        _run("cmake", "--preset", "sanitize")
        _run("cmake", "--build", "--preset", "sanitize", "--target", "engine_tests")
    return tree


@pytest.fixture(scope="session")
def engine_program(engine_build: Path) -> Path:
    return engine_build / "bin" / "slipway-engine"


@pytest.fixture
def engine(engine_program: Path, tmp_path: Path) -> Iterator[object]:
    """An engine that is not started yet."""
    one = sys.modules["engine_harness"].Engine(engine_program, tmp_path)
    yield one
    one.end()
