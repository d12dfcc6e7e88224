"""One timed run of a command: wall time, CPU time of its processes, CPU time of the lab's hosts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import BenchError

LONGEST_S = 1800.0


@dataclass(frozen=True)
class Timed:
    """How a command went. Times in seconds."""

    wall: float
    cpu: float
    """User and system time of the command and every child it waited for."""

    hosts_cpu: float
    """CPU time that all processes of the lab's hosts took meanwhile."""

    output: str


def timed(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    groups: Sequence[Path] = (),
    allowed: Sequence[int] = (0,),
) -> Timed:
    """Run a command to its end; BenchError with its last words when it ends otherwise than ``allowed``.

    ``groups`` are control groups (version 2) whose CPU time is read before and after.
    """
    before = sum(map(_usage, groups))
    with tempfile.TemporaryFile() as file:  # not a pipe: a kept-open ssh connection could hold its end
        began = time.monotonic()
        process = subprocess.Popen(
            argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        guard = threading.Timer(LONGEST_S, process.kill)
        guard.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            guard.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        file.seek(0)
        output = file.read().decode("utf-8", "replace")
    if process.returncode not in allowed:
        raise BenchError(f"{' '.join(argv)}\nended with {process.returncode}:\n{output[-3000:]}")
    cpu = used.ru_utime + used.ru_stime
    return Timed(wall, cpu, sum(map(_usage, groups)) - before, output)


def _usage(group: Path) -> float:
    for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec":
            return int(value) / 1e6
    raise BenchError(f"{group}/cpu.stat holds no usage_usec")
