"""Results of a verification, read back from pytest's own file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.operate import verify
from infra.operate.command import Command, CommandError

CASES = """
import pytest
@pytest.mark.parametrize("node_name", ["lab-01", "lab-02"])
def test_clock_is_right(node_name): assert node_name != "lab-02", "clock is wrong"
@pytest.mark.parametrize(("node_name", "venue"), [pytest.param("lab-01", "v", id="lab-01-v")])
def test_skipped_is_not_passed(node_name, venue): pytest.skip("never")
"""


def _junit(tmp_path: Path, cases: str) -> Path:
    (tmp_path / "test_clock.py").write_text(cases)
    junit = tmp_path / "j.xml"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={junit}",
            str(tmp_path),
        ],
        check=False,
        capture_output=True,
        cwd=tmp_path,
    )
    return junit


def test_every_case_is_read_with_its_host(tmp_path: Path) -> None:
    checks = verify.results(_junit(tmp_path, CASES), ("lab-01", "lab-02"))
    assert [(c.host, c.name, c.concern, c.passed) for c in checks] == [
        ("lab-01", "clock is right", "clock", True),
        ("lab-02", "clock is right", "clock", False),
        ("lab-01", "skipped is not passed (v)", "clock", False),
    ]
    assert "clock is wrong" in checks[1].message


def test_no_checks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nothing was verified"):
        verify.results(_junit(tmp_path, ""), ("lab-01",))


def test_a_failing_command_shows_its_line_and_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    seen: list[str] = []
    command = Command(("sh", "-c", "echo one; echo two >&2; exit 3"), {"A": "b c"})
    with pytest.raises(CommandError, match=r"A='b c' sh -c [\s\S]*ended with 3[\s\S]*two"):
        command.run(log, cwd=tmp_path, line=seen.append)
    assert seen == ["one", "two"]
    assert log.read_text() == "one\ntwo\n"


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be started"):
        Command(("/nonexistent",)).run(tmp_path / "log", cwd=tmp_path)
