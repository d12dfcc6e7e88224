"""The table of instance types against AWS's own tables, as moto ships them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import moto
import pytest

from infra.catalogue.load import load_catalogue
from infra.catalogue.models import Zone
from infra.plan.errors import PlanError
from infra.plan.instances import INSTANCES, instance_facts

RESOURCES = Path(moto.__file__).parent / "ec2" / "resources"


def shipped(name: str) -> Any:
    with gzip.open(RESOURCES / name) as file:
        return json.load(file)


@pytest.fixture(scope="module")
def types() -> dict[str, Any]:
    table: dict[str, Any] = shipped("instance_types.json.gz")
    return table


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_processors_and_memory(types: dict[str, Any], name: str) -> None:
    aws, ours = types[name], INSTANCES[name]
    assert aws["VCpuInfo"]["DefaultCores"] == ours.cores
    assert aws["VCpuInfo"]["DefaultThreadsPerCore"] == ours.threads_per_core
    assert aws["MemoryInfo"]["SizeInMiB"] == ours.memory_gib * 1024
    assert aws["BareMetal"] == ours.metal
    if not ours.metal:
        assert ours.launch_threads_per_core in aws["VCpuInfo"]["ValidThreadsPerCore"]


def test_zones_of_all_places() -> None:
    places = [place for place in load_catalogue().places.values() if isinstance(place, Zone)]
    for region in sorted({place.region for place in places}):
        offered: dict[str, set[str]] = {}
        for row in shipped(f"instance_type_offerings/availability-zone-id/{region}.json.gz"):
            offered.setdefault(row["InstanceType"], set()).add(row["Location"])
        zones = set().union(*offered.values())
        assert {place.zone_id for place in places if place.region == region} <= zones
        for name, ours in INSTANCES.items():
            assert set(ours.zones) & zones == offered.get(name, set()), (name, region)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(PlanError, match=r"'t2\.nano' is not in the table"):
        instance_facts("t2.nano")
