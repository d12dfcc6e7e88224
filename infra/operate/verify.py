"""Prove the hosts against the plan with pytest and testinfra."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from infra.operate.command import Command, CommandError
from infra.operate.record import CheckRecord

if TYPE_CHECKING:
    from pathlib import Path

    from infra.operate.workspace import Workspace


def command(workspace: Workspace, junit: Path, extra: tuple[str, ...] = ()) -> Command:
    """Return the ``pytest`` line that verifies every host of the stack."""
    return Command(
        (
            sys.executable,
            "-m",
            "pytest",
            "tests/hosts",
            "--inventory",
            str(workspace.inventory_file),
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={junit}",
            *extra,
        )
    )


def results(junit: Path, hosts: tuple[str, ...]) -> list[CheckRecord]:
    """Read the checks out of a JUnit file that pytest wrote here.

    Raises CommandError when the file holds none: a verification without checks proves nothing.
    """
    checks = []
    for case in ET.parse(junit).getroot().iter("testcase"):  # noqa: S314  written by our own run
        label = case.get("name", "")
        function, _, parameter = label.partition("[")
        host = next((name for name in hosts if name in parameter), "")
        bad = [child for child in case if child.tag in {"failure", "error", "skipped"}]
        checks.append(
            CheckRecord(
                host=host,
                name=function.removeprefix("test_").replace("_", " ")
                + (
                    f" ({parameter.rstrip(']').replace(host, '').strip('-')})"
                    if parameter.rstrip("]") != host
                    else ""
                ),
                concern=case.get("classname", "").rpartition(".")[2].removeprefix("test_"),
                passed=not bad,
                message=(bad[0].get("message") or "").splitlines()[0]
                if bad and bad[0].get("message")
                else "",
            )
        )
    if not checks:
        raise CommandError(f"{junit} holds no check: nothing was verified")
    return checks
