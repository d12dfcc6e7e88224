"""From the catalogue and a stack's settings to a whole deployment plan. Pure: no file, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from infra.catalogue.models import (
    AbsentMode,
    AssignedMode,
    Catalogue,
    Hall,
    PublicMode,
    Venue,
    Zone,
    checked_url,
)
from infra.plan import naming
from infra.plan.addressing import host_address, network_of, subnet_of
from infra.plan.check import crossed_worlds
from infra.plan.cores import Demand, Topology, plan_cores, unisolated
from infra.plan.cost import monthly_cost
from infra.plan.egress import TIME_SERVER, host_rules
from infra.plan.errors import PlanError
from infra.plan.instances import InstanceFacts, instance_facts
from infra.plan.limits import total_limits, venue_limits
from infra.plan.model import (
    ClockPlan,
    ConnectorPlan,
    CorePlan,
    CredentialPlan,
    DeploymentPlan,
    Environment,
    HostPlan,
    InstrumentPlan,
    LimitsPlan,
    Mode,
    NetworkPlan,
    StrategyPlan,
    UserPlan,
)
from infra.plan.settings import StackSettings, VenueSettings
from infra.plan.tags import host_tags, stack_tags

LAB_IMAGE = "ami-0deb1a12000000000"
"""The id under which the lab's cloud knows its one image (Debian 12); no image of AWS."""

LOGIN = "admin"
"""The login user of Debian's cloud images, and of the lab's."""


def build_plan(catalogue: Catalogue, settings: StackSettings) -> DeploymentPlan:
    """Return the plan of `settings`, or raise PlanError with the venue, the reason and what to do."""
    tags = stack_tags(
        stack=settings.stack,
        phase=settings.phase,
        mode=settings.mode,
        owner=settings.owner,
        cost_center=settings.cost_center,
    )
    networks: dict[str, NetworkPlan] = {}
    hosts: list[HostPlan] = []
    for name, wishes in sorted(settings.venues.items()):
        venue = _venue(catalogue, settings, name)
        mode = wishes.mode_in(settings.mode)
        if mode == "absent":
            continue
        connector = _connector(catalogue, settings, venue, wishes, mode)
        key, place = _zone(catalogue, venue, wishes, mode)
        site = _Site(
            venue=venue,
            place=place,
            network=networks.setdefault(key, _network(key, place)),
            connector=connector,
            facts=instance_facts(wishes.instance_type or settings.instance_type),
        )
        if wishes.hosts > 1 and mode != "simulated":
            raise PlanError(
                f"venue {name}: {wishes.hosts} hosts in mode {mode} would trade one account from several "
                "engines; set hosts to 1"
            )
        hosts.extend(_host(settings, site, tags, number) for number in range(1, wishes.hosts + 1))
    if not hosts:
        raise PlanError(f"stack {settings.stack}: no venue takes part in mode {settings.mode}")
    used = tuple(networks[key] for key in sorted(networks))
    plan = DeploymentPlan(
        stack=settings.stack,
        phase=settings.phase,
        mode=settings.mode,
        networks=used,
        hosts=tuple(hosts),
        tags=tags,
        cost=monthly_cost(hosts, used),
        monthly_budget_usd=settings.monthly_budget_usd,
    )
    if crossed := crossed_worlds(plan.hosts, catalogue, settings.stack):
        raise PlanError("\n".join(crossed))
    return plan


def _venue(catalogue: Catalogue, settings: StackSettings, name: str) -> Venue:
    venue = catalogue.venues.get(name)
    if venue is None:
        raise PlanError(
            f"venue {name!r} is not in the catalogue; it has {', '.join(sorted(catalogue.venues))}"
        )
    if venue.phase > settings.phase:
        raise PlanError(
            f"venue {name} is of phase {venue.phase}; stack {settings.stack} is of phase {settings.phase}"
        )
    return venue


def _zone(catalogue: Catalogue, venue: Venue, wishes: VenueSettings, mode: Mode) -> tuple[str, Zone]:
    key = wishes.place or venue.hosting.place
    place = catalogue.places.get(key)
    if place is None:
        known = ", ".join(sorted(catalogue.places))
        raise PlanError(f"venue {venue.name}: place {key!r} is not in places.yaml; it has {known}")
    if isinstance(place, Hall):
        raise PlanError(
            f"venue {venue.name}: {key} is a colocation hall, and hosts of halls are not planned yet; "
            f"the nearest zone is {place.nearest_zone}"
            + ("" if venue.hosting.cloud else f", but {venue.hosting.why}")
        )
    if mode == "simulated":
        return key, place
    if not venue.hosting.cloud:
        raise PlanError(f"venue {venue.name} cannot be traded from {key}: {venue.hosting.why}")
    if place.country in venue.geography.refused_countries:
        raise PlanError(
            f"venue {venue.name} refuses hosts in {place.country}, where {key} is; the catalogue's choice is "
            f"{venue.hosting.place}. {venue.geography.rule}"
        )
    return key, place


def _network(name: str, place: Zone) -> NetworkPlan:
    cidr = network_of(place.network_number)
    return NetworkPlan(
        name=name, region=place.region, zone_id=place.zone_id, cidr=cidr, subnet=subnet_of(cidr)
    )


@dataclass(frozen=True)
class _Site:
    """What a venue's hosts have in common."""

    venue: Venue
    place: Zone
    network: NetworkPlan
    connector: ConnectorPlan
    facts: InstanceFacts


def _host(settings: StackSettings, site: _Site, tags: Mapping[str, str], number: int) -> HostPlan:
    venue, network, connector, facts = site.venue, site.network, site.connector, site.facts
    name = naming.host_name(venue.name, site.place.site, number)
    environment = _environment(connector.mode, facts)
    if network.zone_id not in facts.zones:
        raise PlanError(
            f"host {name}: {facts.name} is not offered in {network.zone_id}; "
            f"it is in {', '.join(facts.zones)}"
        )
    return HostPlan(
        name=name,
        kind="ec2",
        environment=environment,
        role="engine",
        network=network.name,
        region=network.region,
        zone_id=network.zone_id,
        instance_type=facts.name,
        image=_image(settings, name, network.region, environment),
        private_address=host_address(network.subnet, venue.number, number),
        elastic_address=True,
        login=LOGIN,
        cores=_cores(name, settings, facts, environment, connector),
        users=_users(venue, connector),
        connectors=(connector,),
        total_limits=total_limits([connector.limits]),
        egress=host_rules([connector], environment, network.region),
        clock=ClockPlan(servers=(str(TIME_SERVER),), bound_ms=_clock_bound(venue)),
        tags=host_tags(tags, name=name, venue=venue.name, role="engine", mode=connector.mode),
    )


def _environment(mode: Mode, facts: InstanceFacts) -> Environment:
    if mode == "simulated":
        return "container"
    return "metal" if facts.metal else "virtual"


def _image(settings: StackSettings, host: str, region: str, environment: Environment) -> str:
    if environment == "container":
        return LAB_IMAGE
    image = settings.images.get(region)
    if image is None:
        raise PlanError(
            f"host {host}: no machine image is pinned for {region}; set slipway:images.{region} of stack "
            f"{settings.stack} to the id of a Debian 12 amd64 image of that region"
        )
    return image


def _cores(
    host: str,
    settings: StackSettings,
    facts: InstanceFacts,
    environment: Environment,
    connector: ConnectorPlan,
) -> CorePlan:
    if environment == "container" or settings.isolation == "off":
        return unisolated(facts.cpus)
    if facts.numa_nodes is None:
        raise PlanError(
            f"host {host}: the NUMA nodes of {facts.name} are not known, so no core plan can be right"
        )
    topology = Topology(facts.cpus, facts.launch_threads_per_core, facts.numa_nodes)
    try:
        return plan_cores(topology, Demand(connectors=1 if connector.kind == "process" else 0))
    except PlanError as error:
        raise PlanError(f"host {host} ({facts.name}): {error}") from None


def _users(venue: Venue, connector: ConnectorPlan) -> tuple[UserPlan, ...]:
    users = [UserPlan(name=naming.ENGINE_USER, uid=naming.ENGINE_UID)]
    if connector.kind == "process":
        users.append(UserPlan(name=connector.user, uid=naming.ENGINE_UID + venue.number))
    return tuple(users)


def _clock_bound(venue: Venue) -> int:
    bound = venue.clock.bound_ms.value
    if bound is None:
        raise PlanError(f"venue {venue.name}: its clock bound is unknown; the catalogue must choose one")
    return bound


def _connector(
    catalogue: Catalogue, settings: StackSettings, venue: Venue, wishes: VenueSettings, mode: Mode
) -> ConnectorPlan:
    if not venue.connector.built:
        raise PlanError(
            f"venue {venue.name}: the engine has no connector for it yet, so nothing can be deployed; "
            f"leave it out of stack {settings.stack}"
        )
    world = venue.modes.of(mode)
    if isinstance(world, AbsentMode):
        raise PlanError(
            f"venue {venue.name} has no mode {mode}: {world.reason}. Leave it out with "
            f"slipway:venues.{venue.name}.modes: {{{mode}: absent}}, or run it in another mode"
        )
    process = venue.connector.kind == "process"
    user = naming.connector_user(venue.name) if process else naming.ENGINE_USER
    unit = naming.connector_unit(venue.name) if process else naming.ENGINE_UNIT
    chosen = _settings(venue, wishes)
    instruments = _instruments(venue, wishes, mode, world)
    limits = venue_limits(venue.name, world.limits, wishes.limits, tuple(i.symbol for i in instruments))
    return ConnectorPlan(
        venue=venue.name,
        mode=mode,
        kind=venue.connector.kind,
        user=user,
        unit=unit,
        endpoints=_endpoints(venue, wishes, world),
        settings={**chosen, "clock_bound_ms": _clock_bound(venue)},
        credentials=tuple(
            CredentialPlan(
                name=credential.name,
                parameter=naming.credential_parameter(settings.stack, mode, venue.name, credential.name),
                unit=unit,
            )
            for credential in venue.credentials
            if credential.needed(chosen)
        ),
        instruments=instruments,
        strategy=_strategy(catalogue, venue, wishes, instruments, limits),
        limits=limits,
    )


def _endpoints(venue: Venue, wishes: VenueSettings, world: PublicMode | AssignedMode) -> dict[str, str]:
    key_path = f"slipway:venues.{venue.name}.endpoints"
    if isinstance(world, PublicMode):
        if wishes.endpoints:
            raise PlanError(f"venue {venue.name} publishes its addresses; {key_path} must be left out")
        return {key: endpoint.url for key, endpoint in world.endpoints.items() if endpoint.use == "connector"}
    if set(wishes.endpoints) != set(world.endpoints):
        wanted = "; ".join(f"{key}: {what}" for key, what in world.endpoints.items())
        raise PlanError(
            f"venue {venue.name}: its addresses are assigned by {world.assigned_by}; "
            f"{key_path} must give exactly these: {wanted}"
        )
    for key, url in wishes.endpoints.items():
        try:
            checked_url(url)
        except ValueError as error:
            raise PlanError(f"venue {venue.name}: {key_path}.{key} is {url!r}; allowed is {error}") from None
    return dict(wishes.endpoints)


def _settings(venue: Venue, wishes: VenueSettings) -> dict[str, str | int | bool]:
    known = venue.connector.settings
    for key, value in wishes.settings.items():
        if key not in known:
            raise PlanError(f"venue {venue.name}: no setting {key!r}; there are {', '.join(sorted(known))}")
        if type(value) is not type(known[key]):
            raise PlanError(f"venue {venue.name}: setting {key} is {value!r}; it must be like {known[key]!r}")
    return {**known, **wishes.settings}


def _instruments(
    venue: Venue, wishes: VenueSettings, mode: Mode, world: PublicMode | AssignedMode
) -> tuple[InstrumentPlan, ...]:
    instruments = world.instruments if wishes.instruments is None else wishes.instruments
    if not instruments:
        raise PlanError(
            f"venue {venue.name}: nothing is named to trade in mode {mode}; "
            f"set slipway:venues.{venue.name}.instruments"
        )
    symbols = [instrument.symbol for instrument in instruments]
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            raise PlanError(f"venue {venue.name}: instrument {symbol} is named twice")
    return instruments


def _strategy(
    catalogue: Catalogue,
    venue: Venue,
    wishes: VenueSettings,
    instruments: tuple[InstrumentPlan, ...],
    limits: LimitsPlan,
) -> StrategyPlan:
    name = wishes.strategy or next(iter(venue.strategies))
    if name not in venue.strategies:
        raise PlanError(f"venue {venue.name}: no strategy {name!r}; there are {', '.join(venue.strategies)}")
    parameters = {**venue.strategies[name], **wishes.parameters}
    try:
        catalogue.strategies[name].check(parameters)
    except ValueError as error:
        raise PlanError(f"venue {venue.name}, strategy {name}: {error}") from None
    if "quantity" in parameters:
        _check_quantity(venue.name, Decimal(parameters["quantity"]), instruments, limits)
    return StrategyPlan(name=name, parameters=parameters)


def _check_quantity(
    venue: str, quantity: Decimal, instruments: tuple[InstrumentPlan, ...], limits: LimitsPlan
) -> None:
    """Refuse a strategy that could send no order: its engine would look alive and do nothing."""
    if quantity > limits.max_order_quantity:
        raise PlanError(
            f"venue {venue}: the strategy's quantity {quantity} is above max_order_quantity "
            f"{limits.max_order_quantity}, so every order would be refused"
        )
    for instrument in instruments:
        if quantity % instrument.lot:
            raise PlanError(
                f"venue {venue}: the strategy's quantity {quantity} is no multiple of the lot "
                f"{instrument.lot} of {instrument.symbol}"
            )
