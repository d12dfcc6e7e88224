"""Running the system's own tools with errors that name the command, and replacing files whole."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.lab.settings import LabError

TIMEOUT_S = 120.0


class CommandError(LabError):
    """A tool ended with an error; ``stderr`` is what it said."""

    def __init__(self, argv: Sequence[str], code: int | str, stderr: str) -> None:
        self.argv = tuple(argv)
        self.stderr = stderr.strip()
        super().__init__(f"`{shlex.join(argv)}` ended with {code}: {self.stderr or 'no message'}")


def run(
    *argv: str,
    stdin: str | None = None,
    netns: str | None = None,
    timeout: float = TIMEOUT_S,
) -> str:
    """Run a command (inside network namespace ``netns`` if given) and return its standard output.

    Raises CommandError when it ends with another code than 0, is not installed, or outlives ``timeout``
    seconds.
    """
    command = ["ip", "netns", "exec", netns, *argv] if netns else list(argv)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise CommandError(command, "no such program", f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise CommandError(command, f"no answer in {timeout:g} s", "") from None
    if done.returncode != 0:
        raise CommandError(command, f"code {done.returncode}", done.stderr)
    return done.stdout


def succeeds(*argv: str, netns: str | None = None) -> bool:
    """Tell whether a command ends with code 0."""
    try:
        run(*argv, netns=netns)
    except CommandError:
        return False
    return True


def replace_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all; its mode holds from its first byte."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)
