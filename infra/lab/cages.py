"""Process groups that cannot be lost: every process of the lab is born inside a control group of its own.

A pid file can be missing, stale or point at a recycled pid. A control group cannot: whoever is in it was
put there by the lab or descends from one that was, and the kernel keeps the list. So ``down`` finds all of
a crashed lab's processes, and never another's. A second reason: two systemd-nspawn containers in the same
group would share their inner ``payload`` group and kill each other's services.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.lab.settings import LabError, LabSettings

POLL_S = 0.02

FAMILY = "slipway-lab-"
"""Begins the name of the control group of every lab on this machine."""


def hierarchies() -> tuple[Path, ...]:
    """Return the mounted control group trees that nspawn and systemd look at.

    On a machine with only version 2 that is one; on a hybrid machine it is the version 2 tree and the version
    1 tree ``name=systemd``, and a process must be in the same place in both.
    """
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="ascii", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        mount_point = Path(left.split()[4])
        kind, _, options = right.split(maxsplit=2)
        if kind == "cgroup2":
            found.setdefault("unified", mount_point)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.setdefault("systemd", mount_point)
    return tuple(found.values())


@dataclass(frozen=True)
class Cage:
    """One control group ``slipway-lab-<prefix>/<name>`` in every hierarchy."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, settings: LabSettings, name: str = "") -> Cage:
        """Name the cage of one thing of a lab; without a name it is the lab's own, which holds all others."""
        roots = hierarchies()
        if not roots:
            raise LabError(
                "no control group tree is mounted under /sys/fs/cgroup: the lab cannot hold processes"
            )
        return cls(tuple(root / f"{FAMILY}{settings.prefix}" / name for root in roots))

    @classmethod
    def others(cls, settings: LabSettings) -> list[str]:
        """Return the prefixes of the other labs on this machine."""
        found = {path.name.removeprefix(FAMILY) for root in hierarchies() for path in root.glob(f"{FAMILY}*")}
        return sorted(found - {settings.prefix})

    def create(self) -> None:
        """Make the group; harmless when it is there."""
        for path in self.paths:
            path.mkdir(parents=True, exist_ok=True)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return a command that enters the group and then becomes ``argv``: nothing runs outside it."""
        enter = "; ".join(f'echo $$ > "{path}/cgroup.procs"' for path in self.paths)
        return ["/bin/sh", "-ec", f'{enter}; exec "$@"', "cage", *argv]

    def pids(self) -> set[int]:
        """Return every process in the group and in the groups below it."""
        found: set[int] = set()
        for path in self.paths:
            for group in _tree(path):
                with contextlib.suppress(OSError):
                    found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
        return found - {0}

    def empty(self) -> bool:
        """Tell whether no process is left."""
        return not self.pids()

    def wait_empty(self, seconds: float) -> bool:
        """Wait until no process is left; False when some are after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self.empty():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each process of the group."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, grace: float = 5.0) -> None:
        """End every process: SIGTERM, ``grace`` seconds, then SIGKILL. Raises LabError when one survives."""
        if grace > 0:
            self.signal(signal.SIGTERM)
            if self.wait_empty(grace):
                return
        deadline = time.monotonic() + 10.0
        while not self.empty():
            for path in self.paths:
                with contextlib.suppress(OSError):
                    (path / "cgroup.kill").write_text("1")
            self.signal(signal.SIGKILL)
            if time.monotonic() > deadline:
                raise LabError(f"processes {sorted(self.pids())} in {self.paths[0]} do not die of SIGKILL")
            time.sleep(POLL_S)

    def remove(self) -> None:
        """Remove the group and those below it; processes must be gone."""
        for path in self.paths:
            deadline = time.monotonic() + 5.0
            while path.exists():
                try:
                    for group in _tree(path):
                        group.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise LabError(f"control group {path} cannot be removed: {error}") from error
                    time.sleep(POLL_S)


def _tree(path: Path) -> Iterator[Path]:
    """Walk a group's tree, the deepest first."""
    with contextlib.suppress(FileNotFoundError):
        for child in path.iterdir():
            if child.is_dir():
                yield from _tree(child)
    if path.exists():
        yield path
