"""One deployed lab for all end-to-end tests; each test begins with it at rest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra.lab import preflight
from infra.lab.settings import LabSettings

from .stage import Stage, raised


@pytest.fixture(scope="package")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Lab, release, deployment and converge, once; taken down after the last test of this directory."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = tmp_path_factory.mktemp("e2e")
    problems = preflight.check(LabSettings(directory=folder / "lab", prefix="slt", port=0))
    if problems:
        pytest.skip("; ".join(problems))
    with raised(folder) as stage:
        yield stage


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    """The stage at rest: no fault, logged in, disarmed, flat."""
    theatre.rest()
    return theatre
