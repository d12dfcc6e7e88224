"""Converged hosts pass every check, at rest and under way, and a second converge leaves them alone."""

from __future__ import annotations

import pytest

from .stage import Stage

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def test_verify_passes_disarmed(stage: Stage) -> None:
    assert stage.failed_checks() == {}


def test_verify_passes_armed_and_trading(stage: Stage) -> None:
    stage.arm()
    stage.await_trading()
    assert stage.failed_checks() == {}
    assert set(stage.states().values()) == {"ACTIVE"}


def test_a_second_converge_changes_nothing(stage: Stage) -> None:
    before = stage.running()
    played = stage.converge()
    assert not played.failed, played.output
    assert played.changed == dict.fromkeys(stage.hosts, 0), played.output
    predicted = stage.converge("--check", "--diff")
    assert not predicted.failed, predicted.output
    assert predicted.changed == dict.fromkeys(stage.hosts, 0)
    assert not [line for line in predicted.output.splitlines() if line.startswith(("+++", "---", "@@"))]
    assert stage.running() == before
