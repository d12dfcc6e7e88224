"""Core plans: right for every size that is possible, refused with the reason where none is."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infra.plan.cores import HOUSEKEEPING_CORES, Demand, Topology, plan_cores, unisolated
from infra.plan.errors import PlanError
from infra.plan.model import CorePlan


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    threads = draw(st.sampled_from([1, 2]))
    nodes = draw(st.sampled_from([1, 2, 4, 8]))
    each = draw(st.integers(1, 448 // threads // nodes))
    cpus = threads * nodes * each
    assume(2 <= cpus <= 448)
    return Topology(
        cpus, threads, nodes, draw(st.integers(0, nodes - 1)), draw(st.sampled_from(["split", "adjacent"]))
    )


demands = st.builds(Demand, engine=st.integers(1, 3), connectors=st.integers(0, 3), watcher=st.booleans())


def core_of(topology: Topology, cpu: int) -> int:
    """Written apart from the code under test, from what the kernel's numbering means."""
    return cpu % topology.cores if topology.numbering == "split" else cpu // topology.threads_per_core


def node_of(topology: Topology, cpu: int) -> int:
    return core_of(topology, cpu) * topology.numa_nodes // topology.cores


@given(topologies(), demands)
def test_a_plan_is_right_or_refused_with_the_reason(topology: Topology, demand: Demand) -> None:
    needed = demand.engine + demand.connectors
    near = topology.cores // topology.numa_nodes
    stays = HOUSEKEEPING_CORES if topology.nic_node == 0 else 1
    if topology.cores < HOUSEKEEPING_CORES + needed or near < stays + needed:
        with pytest.raises(PlanError, match="take a larger type"):
            plan_cores(topology, demand)
    else:
        check(topology, demand, plan_cores(topology, demand))


def check(topology: Topology, demand: Demand, plan: CorePlan) -> None:
    isolated, kept = set(plan.isolated), set(plan.housekeeping)
    assert isolated | kept == set(range(topology.cpus))
    assert not isolated & kept
    assert 0 in kept
    assert set(plan.interrupts) <= kept
    assert plan.interrupts
    assert {node_of(topology, cpu) for cpu in plan.interrupts} == {topology.nic_node}
    assert not {core_of(topology, cpu) for cpu in isolated} & {core_of(topology, cpu) for cpu in kept}
    assert len({core_of(topology, cpu) for cpu in kept}) >= HOUSEKEEPING_CORES
    busy = (*plan.engine, *plan.connectors, *plan.watcher)
    assert set(busy) <= isolated
    assert len({core_of(topology, cpu) for cpu in busy}) == len(busy)
    assert {node_of(topology, cpu) for cpu in busy} == {topology.nic_node}
    assert (len(plan.engine), len(plan.connectors)) == (demand.engine, demand.connectors)
    assert len(plan.watcher) <= demand.watcher
    assert len(isolated) == len(busy) * topology.threads_per_core


def test_every_size_without_smt_isolates_the_engine() -> None:
    assert plan_cores(Topology(3)).isolated == plan_cores(Topology(3)).engine == (2,)
    for cpus in range(4, 449):
        plan = plan_cores(Topology(cpus))
        assert (plan.engine, plan.watcher, plan.isolated) == ((cpus - 2,), (cpus - 1,), (cpus - 2, cpus - 1))


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        (Topology(2), "2 CPUs cannot isolate: 2 cores stay with the kernel"),
        (Topology(4, threads_per_core=2), r"4 CPUs \(2 cores of 2 threads\) cannot isolate"),
        (Topology(4, numa_nodes=2), "NUMA node 0, where the network card is, has 2 cores: 2 for the kernel"),
        (Topology(1), "1 CPUs cannot isolate"),
    ],
)
def test_impossible_plans_are_refused_with_the_reason(topology: Topology, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan_cores(topology)


def test_four_cpus_take_a_connector_of_its_own_before_a_watcher() -> None:
    plan = plan_cores(Topology(4), Demand(connectors=1))
    assert (plan.housekeeping, plan.engine, plan.connectors, plan.watcher) == ((0, 1), (2,), (3,), ())


def test_siblings_of_the_engine_are_isolated_and_idle() -> None:
    plan = plan_cores(Topology(8, threads_per_core=2))
    assert (plan.engine, plan.watcher, plan.isolated) == ((2,), (3,), (2, 3, 6, 7))


def test_the_engine_is_on_the_cards_node() -> None:
    plan = plan_cores(Topology(16, numa_nodes=2, nic_node=1))
    assert (plan.engine, plan.watcher, plan.interrupts) == ((14,), (15,), (8, 9, 10, 11, 12, 13))


@pytest.mark.parametrize(
    "values",
    [
        {"cpus": 0},
        {"cpus": 5, "threads_per_core": 2},
        {"cpus": 6, "numa_nodes": 4},
        {"cpus": 8, "numa_nodes": 2, "nic_node": 2},
    ],
)
def test_topologies_that_no_machine_has_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(PlanError):
        Topology(**values)  # type: ignore[arg-type]


def test_a_demand_without_an_engine_is_refused() -> None:
    with pytest.raises(PlanError):
        Demand(engine=0)


@given(st.integers(1, 448))
def test_a_host_that_does_not_isolate_pins_nothing(cpus: int) -> None:
    plan = unisolated(cpus)
    assert plan.housekeeping == plan.interrupts == tuple(range(cpus))
    assert plan.engine == plan.connectors == plan.watcher == plan.isolated == ()
