"""Facts about the machine, for whoever compares two records."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from tests.bench.figures import Machine

MEASURED_WITH = ("ansible-core", "pytest", "pytest-testinfra")


def facts(load_before: tuple[float, float, float], pyinfra: str | None) -> Machine:
    """Return the facts of this machine now."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    cpu = next(
        (line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine()
    )
    versions = {name: version(name) for name in MEASURED_WITH}
    if pyinfra is not None:
        versions["pyinfra"] = pyinfra
    return Machine(
        cpu=cpu,
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        versions=versions,
        load_before=load_before,
        load_after=os.getloadavg(),
    )
