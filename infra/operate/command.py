"""Plain commands that a person could have typed, run with their output kept."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class CommandError(Exception):
    """A command failed; the message names it, where its output is, and shows the end of it."""


@dataclass(frozen=True)
class Command:
    """One command line with the variables it needs beside the environment (never a secret)."""

    argv: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def shown(self) -> str:
        """Return the line as a person would type it."""
        words = [f"{key}={shlex.quote(value)}" for key, value in sorted(self.variables.items())]
        return " ".join([*words, *(shlex.quote(word) for word in self.argv)])

    def run(self, log: Path, *, cwd: Path, line: Callable[[str], None] | None = None) -> None:
        """Run to its end, writing all output to ``log`` and giving each line to ``line``.

        Raises CommandError when it cannot be started or ends with anything but 0.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        tail: list[str] = []
        try:
            with (
                log.open("w", encoding="utf-8") as file,
                subprocess.Popen(
                    self.argv,
                    cwd=cwd,
                    env={**os.environ, **self.variables},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                ) as process,
            ):
                assert process.stdout is not None
                for text in process.stdout:
                    file.write(text)
                    tail = [*tail[-24:], text.rstrip()]
                    if line is not None:
                        line(text.rstrip())
        except OSError as error:
            raise CommandError(f"{self.shown()}: cannot be started: {error}") from error
        if process.returncode != 0:
            raise CommandError(
                f"{self.shown()}\nended with {process.returncode}; "
                f"its whole output is in {log}; the end of it:\n" + "\n".join(tail)
            )
