"""Which CPU does what.

Isolation takes whole cores: a busy sibling slows the isolated thread, so a core is isolated with all of its
threads and only the first one is used. What stays behind must carry the kernel, the interrupts, SSH and the
kill path, and be two cores: with one, a flood of interrupts starves the very thing that stops the engine.
CPU 0 always stays behind (many kernels cannot free it of its tick).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.plan.errors import PlanError
from infra.plan.model import CorePlan

HOUSEKEEPING_CORES = 2
"""Fewest whole cores that stay with the kernel."""


@dataclass(frozen=True)
class Topology:
    """The processors of a host as its kernel numbers them."""

    cpus: int
    threads_per_core: int = 1
    numa_nodes: int = 1
    nic_node: int = 0
    """The NUMA node that the network card hangs on."""

    numbering: Literal["split", "adjacent"] = "split"
    """``split``: core c is CPUs c, c + cores, … (x86 servers). ``adjacent``: 2c, 2c + 1 with two threads."""

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.threads_per_core < 1 or self.numa_nodes < 1:
            raise PlanError(f"{self}: CPUs, threads and NUMA nodes are at least 1")
        if self.cpus % self.threads_per_core:
            raise PlanError(
                f"{self.cpus} CPUs cannot be cores of {self.threads_per_core} threads each: "
                "some cores have a thread off; turn SMT wholly on or off"
            )
        if self.cores % self.numa_nodes:
            raise PlanError(f"{self.cores} cores cannot be spread evenly over {self.numa_nodes} NUMA nodes")
        if not 0 <= self.nic_node < self.numa_nodes:
            raise PlanError(f"the card's NUMA node {self.nic_node} is not one of 0..{self.numa_nodes - 1}")

    @property
    def cores(self) -> int:
        """Physical cores."""
        return self.cpus // self.threads_per_core

    def threads_of(self, core: int) -> tuple[int, ...]:
        """Return the CPUs that are threads of `core`."""
        if self.numbering == "split":
            return tuple(core + thread * self.cores for thread in range(self.threads_per_core))
        return tuple(core * self.threads_per_core + thread for thread in range(self.threads_per_core))

    def cores_of(self, node: int) -> tuple[int, ...]:
        """Return the cores of NUMA node `node`, lowest first."""
        each = self.cores // self.numa_nodes
        return tuple(range(node * each, (node + 1) * each))


@dataclass(frozen=True)
class Demand:
    """Isolated cores that are wanted; the watcher takes one of its own only where one is left."""

    engine: int = 1
    connectors: int = 0
    watcher: bool = True

    def __post_init__(self) -> None:
        if self.engine < 1 or self.connectors < 0:
            raise PlanError(f"{self}: a host that isolates has at least one engine core")


def unisolated(cpus: int) -> CorePlan:
    """Return the plan of a host that pins nothing: every CPU is the kernel's to use."""
    every = tuple(range(cpus))
    return CorePlan(cpus=cpus, housekeeping=every, interrupts=every)


def plan_cores(topology: Topology, demand: Demand | None = None) -> CorePlan:
    """Return the core plan of a host that isolates, or raise PlanError with the reason it cannot.

    Isolated cores are the highest of the card's NUMA node; what is not asked for stays with the kernel.
    """
    demand = demand or Demand()
    needed = demand.engine + demand.connectors
    if topology.cores < HOUSEKEEPING_CORES + needed:
        raise PlanError(_too_small(topology, needed))
    near = topology.cores_of(topology.nic_node)
    free = near[_staying(topology) :]
    if len(free) < needed:
        raise PlanError(_node_too_small(topology, len(near), needed))
    taken = free[-(needed + 1) :] if demand.watcher and len(free) > needed else free[-needed:]
    isolated = {cpu for core in taken for cpu in topology.threads_of(core)}
    housekeeping = tuple(cpu for cpu in range(topology.cpus) if cpu not in isolated)
    near_cpus = {cpu for core in near for cpu in topology.threads_of(core)}
    return CorePlan(
        cpus=topology.cpus,
        housekeeping=housekeeping,
        interrupts=tuple(cpu for cpu in housekeeping if cpu in near_cpus),
        engine=_first_threads(topology, taken[: demand.engine]),
        connectors=_first_threads(topology, taken[demand.engine : needed]),
        watcher=_first_threads(topology, taken[needed:]),
        isolated=tuple(sorted(isolated)),
    )


def _staying(topology: Topology) -> int:
    """Return how many cores of the card's node stay with the kernel.

    On node 0 all that must; on another at least one, so that the card's interrupts need not leave it.
    """
    if topology.nic_node == 0:
        return HOUSEKEEPING_CORES
    elsewhere = topology.cores - len(topology.cores_of(topology.nic_node))
    return max(1, HOUSEKEEPING_CORES - elsewhere)


def _first_threads(topology: Topology, cores: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(topology.threads_of(core)[0] for core in cores)


def _too_small(topology: Topology, needed: int) -> str:
    threads = topology.threads_per_core
    what = f"{topology.cpus} CPUs" + (
        f" ({topology.cores} cores of {threads} threads)" if threads > 1 else ""
    )
    return (
        f"{what} cannot isolate: {HOUSEKEEPING_CORES} cores stay with the kernel, its interrupts and the "
        f"kill path, and {needed} must be free of them, which makes {HOUSEKEEPING_CORES + needed} cores; "
        "take a larger type or set isolation to off"
    )


def _node_too_small(topology: Topology, near: int, needed: int) -> str:
    return (
        f"NUMA node {topology.nic_node}, where the network card is, has {near} cores: "
        f"{_staying(topology)} for the kernel and the card's interrupts and {needed} to isolate do not fit, "
        "and an engine on another node is slower; take a larger type"
    )
