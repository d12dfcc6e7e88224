"""A plan made by hand, and the program run under a monitor that records what it registers."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config, set_mocks
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.rpc import deserialize_properties
from pulumi.runtime.settings import get_root_resource, reset_options
from pulumi.runtime.stack import run_pulumi_func

from infra.lab.cloud.deploy import stack_config
from infra.plan.model import (
    ClockPlan,
    ConnectorPlan,
    CorePlan,
    CredentialPlan,
    DeploymentPlan,
    EgressRule,
    HostPlan,
    InstrumentPlan,
    LimitsPlan,
    NetworkPlan,
    StrategyPlan,
    TotalLimits,
    UserPlan,
)
from infra.plan.settings import REPOSITORY, CloudSettings
from infra.program import build

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnC8DKGtSpJQNG8rkmUbpAdkwkdzmjgX3LyGBBNXpOI lab"


def _host(venue: str, region: str, zone: str, site: str, second_octet: int) -> HostPlan:
    limits = LimitsPlan(
        instruments=("BTCUSDT",),
        price_collar_bps=500,
        max_order_value=Decimal(200),
        max_order_quantity=Decimal("0.01"),
        max_open_orders=10,
        max_messages_per_s=20,
        max_position=Decimal("0.05"),
        max_daily_loss=Decimal(50),
    )
    connector = ConnectorPlan(
        venue=venue,
        mode="simulated",
        kind="library",
        user="slipway-engine",
        unit="slipway-engine.service",
        endpoints={"rest": f"https://api.{venue}.lab"},
        settings={},
        credentials=(
            CredentialPlan(
                name=f"{venue}_api_key",
                parameter=f"/slipway/phase1/{venue}/api_key",
                unit="slipway-engine.service",
            ),
        ),
        instruments=(InstrumentPlan(symbol="BTCUSDT", tick=Decimal("0.01"), lot=Decimal("0.00001")),),
        strategy=StrategyPlan(name="paper_quote", parameters={"spread_bps": 20}),
        limits=limits,
    )

    def leave(port: int, protocol: Any = "tcp", address: str | None = None) -> EgressRule:
        return EgressRule(
            user="slipway-engine",
            protocol=protocol,
            port=port,
            hostname=None if address else f"api.{venue}.lab",
            address=IPv4Address(address) if address else None,
            purpose="orders",
        )

    return HostPlan(
        name=f"{venue}-{site}-01",
        kind="ec2",
        environment="container",
        role="engine",
        network=f"{venue}-{site}",
        region=region,
        zone_id=zone,
        instance_type="c8a.xlarge",
        image="ami-0123456789abcdef0",
        private_address=IPv4Address(f"10.{second_octet}.0.10"),
        elastic_address=True,
        login="admin",
        cores=CorePlan(cpus=4, housekeeping=(0,), interrupts=(0,), isolated=(2, 3)),
        users=(UserPlan(name="slipway-engine", uid=6100),),
        connectors=(connector,),
        total_limits=TotalLimits(venues=1, max_messages_per_s=40, max_daily_loss=Decimal(100)),
        # The same port for two reasons, one more, and one of a single address.
        egress=(leave(443), leave(443), leave(9443), leave(123, "udp", "169.254.169.123")),
        clock=ClockPlan(servers=("169.254.169.123",), bound_ms=250),
        tags={"Venue": venue},
    )


@pytest.fixture(scope="session")
def sample_plan() -> DeploymentPlan:
    """Two hosts in two regions."""
    return DeploymentPlan(
        stack="phase1",
        phase=1,
        mode="simulated",
        networks=(
            NetworkPlan(
                name="binance-tokyo",
                region="ap-northeast-1",
                zone_id="apne1-az4",
                cidr=IPv4Network("10.21.0.0/16"),
                subnet=IPv4Network("10.21.0.0/24"),
            ),
            NetworkPlan(
                name="polymarket-dublin",
                region="eu-west-1",
                zone_id="euw1-az1",
                cidr=IPv4Network("10.22.0.0/16"),
                subnet=IPv4Network("10.22.0.0/24"),
            ),
        ),
        hosts=(
            _host("binance", "ap-northeast-1", "apne1-az4", "tokyo", 21),
            _host("polymarket", "eu-west-1", "euw1-az1", "dublin", 22),
        ),
        tags={"Phase": "1"},
        cost=(),
        monthly_budget_usd=Decimal(900),
    )


@pytest.fixture(scope="session")
def cloud_settings() -> CloudSettings:
    """Settings of an owner who set everything."""
    return CloudSettings(public_key=PUBLIC_KEY, account="123456789012", notify=("desk@example.com",))


@dataclass(frozen=True)
class Registered:
    """One registration as the engine would get it."""

    urn: str
    type: str
    name: str
    parent: str
    provider: str
    custom: bool
    protect: bool
    retain: bool
    ignore_changes: tuple[str, ...]
    delete_before_replace: bool
    aliases: int
    dependencies: tuple[str, ...]
    inputs: dict[str, Any]

    @property
    def region(self) -> str:
        """The region of its provider; empty where it has none."""
        return self.provider.rsplit("::", 1)[0].rsplit("::", 1)[-1].removeprefix("aws-")


class RecordingMonitor(MockMonitor):
    """Keeps every registration whole: options too, which plain mocks hide."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the monitor's protocol
        self.registered.append(
            Registered(
                urn=self.make_urn(request.parent, request.type, request.name),
                type=request.type,
                name=request.name,
                parent=request.parent,
                provider=request.provider,
                custom=request.custom,
                protect=request.protect,
                retain=request.retainOnDelete,
                ignore_changes=tuple(request.ignoreChanges),
                delete_before_replace=request.deleteBeforeReplace,
                aliases=len(request.aliases) + len(request.aliasURNs),
                dependencies=tuple(sorted(request.dependencies)),
                inputs=deserialize_properties(request.object, keep_unknowns=True),
            )
        )
        return super().RegisterResource(request)


class KnownMocks(Mocks):
    """Every resource exists at once; what the cloud would decide is made up."""

    def call(self, args: Any) -> Any:
        raise AssertionError(f"the program must ask the provider nothing; it called {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        identity = f"{args.name}-id"
        outputs = {
            "arn": f"arn:aws:kms:{'eu-west-1'}:123456789012:key/{identity}",
            "name": args.inputs.get("name", identity),
            "keyName": identity,
            "keyId": identity,
            "allocationId": identity,
            "publicIp": "198.51.100.7",
            "privateIp": (args.inputs.get("privateIps") or ["0.0.0.0"])[0],
        }
        return identity, {**outputs, **args.inputs}


class UnknownMocks(Mocks):
    """A preview: nothing exists, so whatever the cloud would decide is unknown."""

    def call(self, args: Any) -> Any:
        raise AssertionError(f"the program must ask the provider nothing; it called {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return None, dict(args.inputs)


@dataclass
class Run:
    """What one run of the program registered and exported."""

    monitor: RecordingMonitor
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def registered(self) -> list[Registered]:
        return [one for one in self.monitor.registered if one.type != "pulumi:pulumi:Stack"]

    def of(self, kind: str) -> list[Registered]:
        """Registrations of a type, by the last part of its token (``Instance``)."""
        return [one for one in self.registered if one.type.rsplit(":", 1)[-1] == kind]

    def graph(self) -> list[dict[str, Any]]:
        """The registrations as plain data in a stable order."""
        return sorted(
            (
                {
                    "urn": one.urn,
                    "region": one.region,
                    "protect": one.protect,
                    "retain": one.retain,
                    "ignore_changes": list(one.ignore_changes),
                    "delete_before_replace": one.delete_before_replace,
                    "needs": sorted(urn.rsplit("::", 1)[1] for urn in one.dependencies),
                }
                for one in self.registered
            ),
            key=lambda entry: str(entry["urn"]),
        )


Runner = Callable[..., Run]


def _run(program: Callable[[], dict[str, Any]], *, preview: bool, stack: str) -> Run:
    # A new loop, set before set_mocks: the root stack's futures must sit on the loop that runs.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monitor = RecordingMonitor(UnknownMocks() if preview else KnownMocks())
    try:
        # Else the root stack of the run before stays, with its outputs.
        reset_options()
        set_mocks(monitor.mocks, project="slipway", stack=stack, preview=preview, monitor=monitor)
        declared: dict[str, Any] = {}
        loop.run_until_complete(run_pulumi_func(lambda: declared.update(program())))
        declared.update(getattr(get_root_resource(), "outputs", {}))
        result = Run(monitor)
        for name, output in declared.items():
            value = pulumi.Output.from_input(output)
            known = loop.run_until_complete(value.is_known())
            result.outputs[name] = loop.run_until_complete(value.future()) if known else None
        return result
    finally:
        loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def run_program() -> Iterator[Runner]:
    """Run a program (a callable that may return outputs) once."""

    def run(program: Callable[[], dict[str, Any]], *, preview: bool = False, stack: str = "phase1") -> Run:
        return _run(program, preview=preview, stack=stack)

    with pytest.MonkeyPatch.context() as patch:
        # An f-string over an output is a mistake that otherwise shows only as odd text in a resource.
        patch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
        yield run


@pytest.fixture(scope="session")
def run_stack(run_program: Runner) -> Runner:
    """Run the program as ``pulumi up`` does, with a stack's file and overrides as its configuration."""

    def run(stack: str, overrides: dict[str, Any], *, preview: bool = False) -> Run:
        config = stack_config(stack, overrides)

        def program() -> dict[str, Any]:
            set_all_config(
                {key: one if isinstance(one, str) else json.dumps(one) for key, one in config.items()}
            )
            runpy.run_path(str(REPOSITORY / "infra" / "__main__.py"))
            return {}

        return run_program(program, preview=preview, stack=stack)

    return run


@pytest.fixture(scope="session")
def sample_run(run_program: Runner, sample_plan: DeploymentPlan, cloud_settings: CloudSettings) -> Run:
    """The program over the plan made by hand."""
    return run_program(lambda: {"inventory": build(sample_plan, cloud_settings).inventory})
