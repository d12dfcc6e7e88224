"""The deployment plan: what a stack wants, decided in full before anything is made.

A plan is plain data. The Pulumi program turns it into resources, the inventory carries it to the
roles and to the checks, so that every later step reads the same words.
"""

from __future__ import annotations

from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
"""A name of ours: lower case words joined by hyphens, as DNS labels allow."""

Mode = Literal["simulated", "test", "live"]
"""Which of a venue's worlds is meant: the lab's simulator, the venue's test system, real money."""

Environment = Literal["metal", "virtual", "container"]
"""What a host can be asked to do: own kernel and clock (metal, virtual) or a share of one (container)."""


class Closed(BaseModel):
    """Base of every model that is read from or written to a file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkPlan(Closed):
    """One VPC with one public subnet in one zone; hosts in it reach venues without a NAT gateway."""

    name: Name
    region: str
    zone_id: str
    cidr: IPv4Network
    subnet: IPv4Network


class CorePlan(Closed):
    """Which CPU does what. ``isolated`` is empty where the host cannot isolate (then nothing is pinned)."""

    cpus: int
    housekeeping: tuple[int, ...]
    interrupts: tuple[int, ...]
    engine: tuple[int, ...] = ()
    connectors: tuple[int, ...] = ()
    watcher: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()


class EgressRule(Closed):
    """Leave for one user of the host to open connections to ``port`` of ``hostname`` or of ``address``."""

    user: str
    protocol: Literal["tcp", "udp"]
    port: Annotated[int, Field(ge=1, le=65535)]
    hostname: str | None = None
    address: IPv4Address | None = None
    family: Literal["ipv4", "ipv6"] = "ipv4"
    """Addresses of which family the name may be resolved to; our networks carry IPv4 only."""

    purpose: str

    @model_validator(mode="after")
    def _one_destination(self) -> EgressRule:
        if (self.hostname is None) == (self.address is None):
            raise ValueError("an egress rule names a hostname or an address, and not both")
        return self


class CredentialPlan(Closed):
    """A secret by name only. ``parameter`` is where the owner puts its value, never the value."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    parameter: str
    unit: str
    """The systemd unit that receives it through ``LoadCredentialEncrypted``."""


class InstrumentPlan(Closed):
    """What is traded: the venue's symbol, its price tick and quantity step, as decimal strings."""

    symbol: str
    tick: Decimal
    lot: Decimal


class VenueLimits(Closed):
    """What one venue may cost us: money in its quote currency, rates a second, collar in basis points."""

    price_collar_bps: Annotated[int, Field(gt=0)]
    max_order_value: Annotated[Decimal, Field(gt=0)]
    max_order_quantity: Annotated[Decimal, Field(gt=0)]
    max_open_orders: Annotated[int, Field(gt=0)]
    max_messages_per_s: Annotated[int, Field(gt=0)]
    max_position: Annotated[Decimal, Field(gt=0)]
    max_daily_loss: Annotated[Decimal, Field(gt=0)]


class LimitsPlan(VenueLimits):
    """A venue's limits with the instruments that may be traded under them, and no others."""

    instruments: tuple[str, ...]


class TotalLimits(Closed):
    """Limits over all venues of one host."""

    venues: Annotated[int, Field(gt=0)]
    max_messages_per_s: Annotated[int, Field(gt=0)]
    max_daily_loss: Annotated[Decimal, Field(gt=0)]


class StrategyPlan(Closed):
    """The reference engine's strategy by name, with its parameters as the engine reads them."""

    name: str
    parameters: dict[str, str | int]


class ConnectorPlan(Closed):
    """How one venue is spoken to from one host."""

    venue: Name
    mode: Mode
    kind: Literal["library", "process"]
    """``library``: loaded by the engine through broker_interface.h. ``process``: own unit and own user."""

    user: str
    unit: str
    endpoints: dict[str, str]
    """The venue's URLs by use (``rest``, ``ws_api``, ``streams`` …), for this mode only."""

    settings: dict[str, str | int | bool]
    credentials: tuple[CredentialPlan, ...]
    instruments: tuple[InstrumentPlan, ...]
    strategy: StrategyPlan
    limits: LimitsPlan


class UserPlan(Closed):
    """A system user with a fixed uid, so that the firewall can tell who speaks."""

    name: str
    uid: int


class ClockPlan(Closed):
    """Time sources of a host and the worst error (ms) under which its venues may be traded."""

    servers: tuple[str, ...]
    bound_ms: Annotated[int, Field(gt=0)]


class HostPlan(Closed):
    """One host: where it is, what it runs, whom it may speak to."""

    name: Name
    kind: Literal["ec2", "metal", "external"]
    environment: Environment
    role: Literal["engine", "monitor"]
    network: Name
    region: str
    zone_id: str
    instance_type: str
    image: str
    """The pinned machine image (AMI id)."""

    private_address: IPv4Address
    elastic_address: bool
    login: str
    """The user that Ansible logs in as (it may become root)."""

    cores: CorePlan
    users: tuple[UserPlan, ...]
    connectors: tuple[ConnectorPlan, ...]
    total_limits: TotalLimits
    egress: tuple[EgressRule, ...]
    clock: ClockPlan
    tags: dict[str, str]


class CostLine(Closed):
    """One line of the month's bill, in US dollars, with where the price comes from."""

    item: str
    monthly_usd: Decimal
    source: str


class DeploymentPlan(Closed):
    """Everything one stack deploys."""

    stack: Name
    phase: Annotated[int, Field(ge=1, le=3)]
    mode: Mode
    networks: tuple[NetworkPlan, ...]
    hosts: tuple[HostPlan, ...]
    tags: dict[str, str]
    cost: tuple[CostLine, ...]
    monthly_budget_usd: Decimal
