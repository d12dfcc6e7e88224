from __future__ import annotations

from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from infra.operate.workspace import Workspace
from infra.plan.inventory import Inventory, InventoryHost, LiveHost
from infra.plan.model import (
    ClockPlan,
    ConnectorPlan,
    CorePlan,
    HostPlan,
    LimitsPlan,
    StrategyPlan,
    TotalLimits,
    UserPlan,
)


def host(name: str, venue: str, *, environment: str, instance_id: str | None) -> InventoryHost:
    limits = LimitsPlan(
        instruments=("X",),
        price_collar_bps=100,
        max_order_value=Decimal(1),
        max_order_quantity=Decimal(1),
        max_open_orders=1,
        max_messages_per_s=1,
        max_position=Decimal(1),
        max_daily_loss=Decimal(1),
    )
    connector = ConnectorPlan(
        venue=venue,
        mode="simulated",
        kind="library",
        user="slipway-engine",
        unit="slipway-engine.service",
        endpoints={},
        settings={},
        credentials=(),
        instruments=(),
        strategy=StrategyPlan(name="paper_quote", parameters={}),
        limits=limits,
    )
    plan = HostPlan(
        name=name,
        kind="ec2" if instance_id else "external",
        environment=environment,
        role="engine",
        network="net",
        region="eu-west-1",
        zone_id="euw1-az1",
        instance_type="c8a.xlarge",
        image="ami-1",
        private_address=IPv4Address("10.22.0.10"),
        elastic_address=True,
        login="admin",
        cores=CorePlan(cpus=4, housekeeping=(0, 1), interrupts=(0,)),
        users=(UserPlan(name="slipway-engine", uid=6100),),
        connectors=(connector,),
        total_limits=TotalLimits(venues=1, max_messages_per_s=1, max_daily_loss=Decimal(1)),
        egress=(),
        clock=ClockPlan(servers=("169.254.169.123",), bound_ms=250),
        tags={},
    )
    live = LiveHost(instance_id=instance_id, private_address=plan.private_address, public_address=None)
    return InventoryHost(plan=plan, live=live)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "phase1")


@pytest.fixture
def fleet_inventory() -> Inventory:
    return Inventory(
        stack="phase1",
        phase=1,
        mode="simulated",
        hosts={
            "lab-01": host("lab-01", "binance", environment="container", instance_id="i-0a"),
            "cloud-01": host("cloud-01", "polymarket", environment="virtual", instance_id="i-0b"),
            "colo-01": host("colo-01", "nasdaq", environment="metal", instance_id=None),
        },
    )
