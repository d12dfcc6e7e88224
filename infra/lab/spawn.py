"""Starting the lab's long-lived processes: in their cage, in a session of their own, output in a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.lab.cages import Cage
from infra.lab.settings import LabError


def start(cage: Cage, argv: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
    """Start a process that outlives this one; what it prints goes to ``log``, begun anew.

    It is nobody's child (so nobody must reap it) and is found again through its cage alone.
    """
    cage.create()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            cage.inside(["setsid", "--fork", *argv]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd="/",
            check=False,
        )
    if done.returncode != 0:
        raise LabError(f"{argv[0]} could not be started (code {done.returncode}): see {log}")


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log on one line, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "nothing was logged"
    return " | ".join(line.strip() for line in text.splitlines()[-lines:]) or "nothing was logged"
