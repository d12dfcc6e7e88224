"""One deployed lab for all end-to-end tests; each test begins with it at rest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra.lab import preflight

from .stage import Stage, raised


@pytest.fixture(scope="package")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Lab, release, deployment and converge, once; taken down after the last test of this directory."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    stage = Stage(tmp_path_factory.mktemp("e2e"), f"t{os.getpid():x}"[:8])
    problems = preflight.check(stage.lab.settings)
    if problems:
        pytest.skip("; ".join(problems))
    with raised(stage):
        yield stage


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    """The stage at rest: no fault, logged in, disarmed, flat."""
    theatre.rest()
    return theatre
