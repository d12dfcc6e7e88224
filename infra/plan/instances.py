"""Static facts of the instance types that a stack may name.

From AWS's own tables as shipped in moto 5.2.5: processors, threads, memory, and the zones that offer the
type. NUMA nodes are not in those tables: one is assumed for small sizes, and where nobody looked it is None,
so that isolation is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.plan.errors import PlanError

_APNE1 = ("apne1-az1", "apne1-az2", "apne1-az4")
_EUW1 = ("euw1-az1", "euw1-az2", "euw1-az3")
_EUW1_NOT_2 = ("euw1-az1", "euw1-az3")
_EUW2_NOT_4 = ("euw2-az1", "euw2-az2", "euw2-az3")
_EUW2 = (*_EUW2_NOT_4, "euw2-az4")
_USE1_NOT_3 = ("use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6")


@dataclass(frozen=True)
class InstanceFacts:
    """What a type is made of."""

    name: str
    cores: int
    threads_per_core: int
    """As launched by default. Latency hosts are launched with one, where the type lets us choose."""

    memory_gib: int
    metal: bool
    numa_nodes: int | None
    zones: tuple[str, ...]

    @property
    def launch_threads_per_core(self) -> int:
        """Threads a core after launch: one on virtual types (``cpu_options``); metal keeps its own."""
        return self.threads_per_core if self.metal else 1

    @property
    def cpus(self) -> int:
        """CPUs that the kernel sees."""
        return self.cores * self.launch_threads_per_core


def _row(
    name: str,
    cores: int,
    threads: int,
    memory: int,
    zones: tuple[str, ...],
    *,
    metal: bool = False,
    numa: int | None = 1,
) -> InstanceFacts:
    return InstanceFacts(name, cores, threads, memory, metal, numa, zones)


INSTANCES = {
    row.name: row
    for row in (
        _row("c7i.large", 1, 2, 4, _APNE1 + _EUW1 + _EUW2 + _USE1_NOT_3),
        _row("c7i.xlarge", 2, 2, 8, _APNE1 + _EUW1 + _EUW2 + _USE1_NOT_3),
        _row("c7i.2xlarge", 4, 2, 16, _APNE1 + _EUW1 + _EUW2 + _USE1_NOT_3),
        _row("c7a.xlarge", 4, 1, 8, _APNE1 + _EUW1 + _EUW2_NOT_4 + _USE1_NOT_3),
        _row("c8i.xlarge", 2, 2, 8, _APNE1 + _EUW1 + _EUW2_NOT_4 + _USE1_NOT_3),
        _row("c8i.2xlarge", 4, 2, 16, _APNE1 + _EUW1 + _EUW2_NOT_4 + _USE1_NOT_3),
        _row("c8a.large", 2, 1, 4, _APNE1 + _EUW1_NOT_2 + _USE1_NOT_3),
        _row("c8a.xlarge", 4, 1, 8, _APNE1 + _EUW1_NOT_2 + _USE1_NOT_3),
        _row("c8a.2xlarge", 8, 1, 16, _APNE1 + _EUW1_NOT_2 + _USE1_NOT_3),
        _row("c8a.4xlarge", 16, 1, 32, _APNE1 + _EUW1_NOT_2 + _USE1_NOT_3),
        _row("m8azn.large", 2, 1, 8, _APNE1 + _EUW1 + _USE1_NOT_3),
        _row("m8azn.xlarge", 4, 1, 16, _APNE1 + _EUW1 + _USE1_NOT_3),
        _row("m8azn.3xlarge", 12, 1, 48, _APNE1 + _EUW1 + _USE1_NOT_3),
        _row("m8azn.metal-12xl", 48, 1, 192, _APNE1 + _EUW1 + _USE1_NOT_3, metal=True, numa=None),
        _row("m8azn.metal-24xl", 96, 1, 384, _APNE1 + _EUW1 + _USE1_NOT_3, metal=True, numa=None),
        _row("c7i.metal-24xl", 48, 2, 192, _APNE1 + _EUW1 + _EUW2 + _USE1_NOT_3, metal=True, numa=None),
        _row("c8i.metal-48xl", 96, 2, 384, _APNE1 + _EUW1 + _EUW2_NOT_4 + _USE1_NOT_3, metal=True, numa=None),
    )
}


def instance_facts(name: str) -> InstanceFacts:
    """Return the facts of type `name`; PlanError when it is not in the table."""
    try:
        return INSTANCES[name]
    except KeyError:
        raise PlanError(
            f"instance type {name!r} is not in the table of infra/plan/instances.py; "
            f"it has {', '.join(sorted(INSTANCES))}"
        ) from None
