"""Whole plans over random stacks: what must hold for every one of them, and what is refused."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.catalogue.load import load_catalogue
from infra.catalogue.models import AbsentMode, AssignedMode, Catalogue, Hall, PublicMode, Zone
from infra.plan.build import LAB_IMAGE, build_plan
from infra.plan.errors import PlanError
from infra.plan.inventory import Inventory, InventoryHost, LiveHost
from infra.plan.model import DeploymentPlan, HostPlan, Mode
from infra.plan.settings import StackSettings, load_settings, settings_from_mapping

REAL = load_catalogue()
IMAGES = dict.fromkeys(("ap-northeast-1", "eu-west-1", "us-east-1", "eu-west-2"), "ami-0123456789abcdef0")
INSTRUMENT = {"symbol": "ABC", "tick": "0.01", "lot": "0.0001"}


def as_if_all_were_built(catalogue: Catalogue) -> Catalogue:
    """The catalogue of a later day: every connector is there, every venue is reached from a zone."""
    venues = {}
    for name, venue in catalogue.venues.items():
        place = catalogue.places[venue.hosting.place]
        key = place.nearest_zone if isinstance(place, Hall) else venue.hosting.place
        venues[name] = venue.model_copy(
            update={
                "connector": venue.connector.model_copy(update={"built": True}),
                "hosting": venue.hosting.model_copy(update={"cloud": True, "place": key}),
                "geography": venue.geography.model_copy(update={"refused_countries": ()})
                if isinstance(place, Hall)
                else venue.geography,
            }
        )
    return catalogue.model_copy(update={"venues": venues})


LATER = as_if_all_were_built(REAL)
ZONES = sorted(key for key, place in REAL.places.items() if isinstance(place, Zone))


def stack(venues: dict[str, Any], mode: str = "simulated", **more: Any) -> StackSettings:
    wishes = {
        "phase": 3,
        "mode": mode,
        "venues": venues,
        "owner": "desk",
        "cost_center": "desk",
        "monthly_budget_usd": 100,
        "images": IMAGES,
        "instance_type": "c7a.xlarge",
    }
    return settings_from_mapping("stack", {**wishes, **more})


@st.composite
def stacks(draw: st.DrawFn) -> StackSettings:
    mode: Mode = draw(st.sampled_from(["simulated", "test", "live"]))
    venues: dict[str, Any] = {}
    # Mostly stacks that can be built: what is refused is tested by example.
    names = [n for n in sorted(LATER.venues) if not isinstance(LATER.venues[n].modes.of(mode), AbsentMode)]
    for name in draw(st.sets(st.sampled_from(names), min_size=1)):
        wishes: dict[str, Any] = {"hosts": draw(st.integers(1, 3)) if mode == "simulated" else 1}
        if draw(st.booleans()):
            refused = LATER.venues[name].geography.refused_countries
            open_zones = [key for key in ZONES if LATER.places[key].country not in refused]
            wishes["place"] = draw(st.sampled_from(ZONES if mode == "simulated" else open_zones))
        wishes["modes"] = draw(
            st.dictionaries(st.sampled_from(["test", "live"]), st.sampled_from(["test", "live", "absent"]))
        )
        wishes["instruments"] = [INSTRUMENT]
        venue = LATER.venues[name]
        target = mode if mode == "simulated" else wishes["modes"].get(mode, mode)
        if target != "absent" and isinstance(world := venue.modes.of(target), AssignedMode):
            wishes["endpoints"] = dict.fromkeys(world.endpoints, f"tcp://{name}-{target}.example:4000")
        venues[name] = wishes
    isolation = draw(st.sampled_from(["on", "off"]))
    return stack(venues, mode, isolation=isolation)


def wanted(wishes: StackSettings) -> dict[str, tuple[Mode, int]]:
    """The venues that take part, with mode and number of hosts, read from the wishes alone."""
    found: dict[str, tuple[Mode, int]] = {}
    for name, venue in wishes.venues.items():
        mode = wishes.mode if wishes.mode == "simulated" else venue.modes.get(wishes.mode, wishes.mode)
        if mode != "absent":
            found[name] = (mode, venue.hosts)
    return found


def attempt(wishes: StackSettings) -> DeploymentPlan | None:
    """The plan of `wishes`, or None where it is refused for one of the reasons that are the venue's own."""
    try:
        return build_plan(LATER, wishes)
    except PlanError as error:
        reason = str(error)
    assert re.search(r"has no mode|no venue takes part", reason)
    return None


many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(stacks())
def test_no_two_networks_overlap_and_hosts_have_addresses_of_their_own(wishes: StackSettings) -> None:
    if (plan := attempt(wishes)) is None:
        return
    for one, other in combinations(plan.networks, 2):
        assert not one.cidr.overlaps(other.cidr)
    networks = {network.name: network for network in plan.networks}
    addresses = [host.private_address for host in plan.hosts]
    assert len(set(addresses)) == len(addresses)
    for host in plan.hosts:
        network = networks[host.network]
        assert (network.region, network.zone_id) == (host.region, host.zone_id)
        assert network.subnet.subnet_of(network.cidr)
        assert host.private_address in list(network.subnet)[4:-1]
        assert network.cidr.subnet_of(IPv4Network("10.0.0.0/8"))
    assert {host.network for host in plan.hosts} == set(networks)


@many
@given(stacks())
def test_every_connector_has_its_host_and_no_host_another(wishes: StackSettings) -> None:
    if (plan := attempt(wishes)) is None:
        return
    found: dict[str, list[HostPlan]] = {}
    for host in plan.hosts:
        for connector in host.connectors:
            found.setdefault(connector.venue, []).append(host)
    assert {name: len(hosts) for name, hosts in found.items()} == {
        name: count for name, (_, count) in wanted(wishes).items()
    }
    assert len({host.name for host in plan.hosts}) == len(plan.hosts)
    for host in plan.hosts:
        uids = [user.uid for user in host.users]
        assert len(set(uids)) == len(uids)
        assert {connector.user for connector in host.connectors} <= {user.name for user in host.users}


SYSTEM = {"169.254.169.253", "169.254.169.123", "169.254.169.254"}


@many
@given(stacks())
def test_every_host_reaches_exactly_its_venues(wishes: StackSettings) -> None:
    if (plan := attempt(wishes)) is None:
        return
    for host in plan.hosts:
        dialled = set()
        for connector in host.connectors:
            for url in connector.endpoints.values():
                parts = urlsplit(url)
                port = parts.port or {"https": 443, "wss": 443}[parts.scheme]
                if parts.hostname != "127.0.0.1":
                    dialled.add((connector.user, parts.hostname, port))
        allowed = {(r.user, r.hostname or str(r.address), r.port) for r in host.egress}
        beyond = allowed - dialled
        assert dialled <= allowed
        managers = {f"{s}.{host.region}.amazonaws.com" for s in ("ssm", "ssmmessages", "ec2messages")}
        assert {name for _, name, _ in beyond} <= SYSTEM | (
            managers if host.environment != "container" else set()
        )
        assert {user for user, name, _ in beyond if name in managers or name == "169.254.169.254"} <= {"root"}
        assert {user for user, _, _ in allowed} <= {user.name for user in host.users} | {"root", "_chrony"}
        assert {rule.family for rule in host.egress} == {"ipv4"}
        assert len({(r.user, r.protocol, r.hostname, r.address, r.port) for r in host.egress}) == len(
            host.egress
        )


@many
@given(stacks())
def test_no_world_reaches_into_another(wishes: StackSettings) -> None:
    if (plan := attempt(wishes)) is None:
        return
    expected = wanted(wishes)
    for host in plan.hosts:
        for connector in host.connectors:
            mode, _ = expected[connector.venue]
            assert connector.mode == mode
            venue = LATER.venues[connector.venue]
            for other in ("simulated", "test", "live"):
                world = venue.modes.of(other)
                if other == mode or not isinstance(world, PublicMode):
                    continue
                foreign = {e.url for e in world.endpoints.values() if not e.shared}
                assert not foreign & set(connector.endpoints.values())
                assert not any(f"/{other}/" in c.parameter for c in connector.credentials)
            for credential in connector.credentials:
                assert credential.parameter == f"/slipway/stack/{mode}/{connector.venue}/{credential.name}"
            assert (host.environment == "container") == (mode == "simulated")
            assert (host.image == LAB_IMAGE) == (mode == "simulated")
            assert any(".lab" in url for url in connector.endpoints.values()) == (mode == "simulated")
            assert host.tags["Environment"] == mode


@many
@given(stacks(), st.sampled_from(sorted(LATER.venues)))
def test_another_venue_moves_no_host(wishes: StackSettings, extra: str) -> None:
    if extra in wishes.venues or (plan := attempt(wishes)) is None:
        return
    more = wishes.model_copy(update={"venues": {**wishes.venues, extra: stack({extra: {}}).venues[extra]}})
    try:
        larger = build_plan(LATER, more)
    except PlanError:
        return
    hosts = {host.name: host for host in larger.hosts}
    assert all(hosts[host.name] == host for host in plan.hosts)


@many
@given(stacks())
def test_a_plan_survives_json_and_fits_an_inventory(wishes: StackSettings) -> None:
    if (plan := attempt(wishes)) is None:
        return
    assert DeploymentPlan.model_validate_json(plan.model_dump_json()) == plan
    assert build_plan(LATER, wishes) == plan
    inventory = Inventory(
        stack=plan.stack,
        phase=plan.phase,
        mode=plan.mode,
        hosts={
            host.name: InventoryHost(
                plan=host,
                live=LiveHost(instance_id=None, private_address=host.private_address, public_address=None),
            )
            for host in plan.hosts
        },
    )
    assert Inventory.model_validate_json(inventory.model_dump_json()) == inventory


@pytest.fixture(scope="module")
def phase1() -> DeploymentPlan:
    return build_plan(REAL, load_settings("phase1", mode="simulated"))


def test_phase_1_in_the_lab_is_two_hosts(phase1: DeploymentPlan) -> None:
    found = {
        host.name: (
            host.region,
            host.zone_id,
            host.instance_type,
            host.connectors[0].unit,
            len(host.cores.isolated),
        )
        for host in phase1.hosts
    }
    assert found == {
        "binance-tokyo-01": ("ap-northeast-1", "apne1-az4", "c8a.xlarge", "slipway-engine.service", 0),
        "polymarket-dublin-01": (
            "eu-west-1",
            "euw1-az1",
            "c8a.xlarge",
            "slipway-connector@polymarket.service",
            0,
        ),
    }
    assert [str(network.cidr) for network in phase1.networks] == ["10.22.0.0/16", "10.21.0.0/16"]
    assert phase1.cost == ()


def test_phase_1_users_and_clock(phase1: DeploymentPlan) -> None:
    users = {host.name: {user.name: user.uid for user in host.users} for host in phase1.hosts}
    assert users == {
        "binance-tokyo-01": {"slipway-engine": 6100},
        "polymarket-dublin-01": {"slipway-engine": 6100, "slipway-polymarket": 6101},
    }
    assert [host.clock.bound_ms for host in phase1.hosts] == [250, 500]
    assert [host.connectors[0].settings["clock_bound_ms"] for host in phase1.hosts] == [250, 500]


def test_phase_1_as_a_test_stack_leaves_polymarket_out_and_isolates() -> None:
    plan = build_plan(REAL, load_settings("phase1", overrides={"images": IMAGES}))
    (host,) = plan.hosts
    assert (plan.mode, host.name, host.environment) == ("test", "binance-tokyo-01", "virtual")
    assert (host.cores.engine, host.cores.watcher, host.cores.housekeeping) == ((2,), (3,), (0, 1))
    assert host.connectors[0].endpoints["rest"] == "https://testnet.binance.vision"


def test_hmac_keys_replace_ed25519_keys() -> None:
    plan = build_plan(REAL, stack({"binance": {"settings": {"key_type": "hmac"}}}))
    names = [credential.name for credential in plan.hosts[0].connectors[0].credentials]
    assert names == ["binance_api_key", "binance_api_secret"]


LIVE_POLYMARKET = {"instruments": [{"symbol": "1", "tick": "0.01", "lot": "0.01"}]}

REFUSED = [
    pytest.param({"kraken": {}}, {}, "'kraken' is not in the catalogue; it has alpaca", id="venue"),
    pytest.param({"alpaca": {}}, {"phase": 1}, "alpaca is of phase 2; stack stack is of phase 1", id="phase"),
    pytest.param({"alpaca": {}}, {"mode": "test"}, "no connector for it yet", id="connector"),
    pytest.param({"binance": {"place": "kyoto"}}, {}, "'kyoto' is not in places.yaml", id="place"),
    pytest.param({"binance": {"place": "mahwah"}}, {}, "mahwah is a colocation hall", id="hall"),
    pytest.param(
        {"polymarket": {"place": "london", **LIVE_POLYMARKET}},
        {"mode": "live"},
        "refuses hosts in GB",
        id="geo",
    ),
    pytest.param(
        {"binance": {"place": "virginia"}}, {"mode": "test"}, "refuses hosts in US", id="geo in test"
    ),
    pytest.param(
        {"polymarket": {}}, {"mode": "test"}, "has no mode test: Polymarket has no public", id="mode"
    ),
    pytest.param(
        {"binance": {}}, {"mode": "live"}, "nothing is named to trade in mode live", id="instruments"
    ),
    pytest.param(
        {"binance": {"hosts": 2}}, {"mode": "test"}, "one account from several engines", id="two engines"
    ),
    pytest.param(
        {"binance": {}}, {"mode": "test", "images": {}}, "slipway:images.ap-northeast-1", id="image"
    ),
    pytest.param(
        {"binance": {}},
        {"mode": "test", "instance_type": "c8a.large"},
        r"binance-tokyo-01 \(c8a.large\): 2 CPUs cannot isolate",
        id="two CPUs",
    ),
    pytest.param(
        {"binance": {}},
        {"mode": "test", "instance_type": "c7i.xlarge"},
        "2 CPUs cannot isolate",
        id="threads are not cores",
    ),
    pytest.param(
        {"binance": {"instance_type": "m8azn.metal-12xl"}},
        {"mode": "test"},
        "NUMA nodes of m8azn.metal",
        id="numa",
    ),
    pytest.param({"binance": {"instance_type": "x9.huge"}}, {}, "'x9.huge' is not in the table", id="type"),
    pytest.param(
        {"polymarket": {"place": "london", "instance_type": "c8a.xlarge"}},
        {},
        "not offered in euw2-az2",
        id="zone",
    ),
    pytest.param(
        {"binance": {"endpoints": {"rest": "https://evil.example"}}},
        {},
        "endpoints must be left out",
        id="endpoint",
    ),
    pytest.param({"binance": {"settings": {"colour": 1}}}, {}, "no setting 'colour'", id="setting"),
    pytest.param(
        {"binance": {"settings": {"recv_window_ms": "1"}}}, {}, "must be like 1000", id="setting's kind"
    ),
    pytest.param({"binance": {"strategy": "moon"}}, {}, "no strategy 'moon'", id="strategy"),
    pytest.param({"binance": {"parameters": {"spread_bps": 0}}}, {}, "0 is outside 1..5000", id="parameter"),
    pytest.param({"binance": {"parameters": {"speed": 1}}}, {}, "no parameter 'speed'", id="no parameter"),
    pytest.param(
        {"binance": {"parameters": {"quantity": "0.5"}}}, {}, "above max_order_quantity", id="quantity"
    ),
    pytest.param(
        {"binance": {"parameters": {"quantity": "0.0000105"}}}, {}, "no multiple of the lot", id="lot"
    ),
    pytest.param(
        {"binance": {"limits": {"max_order_value": 201}}}, {}, "looser than the catalogue's 200", id="loose"
    ),
    pytest.param(
        {"binance": {"limits": {"max_open_orders": "1.5"}}}, {}, "must be a whole number", id="half an order"
    ),
    pytest.param(
        {"binance": {"instruments": [INSTRUMENT, INSTRUMENT]}}, {}, "ABC is named twice", id="twice"
    ),
    pytest.param(
        {"polymarket": {"modes": {"test": "absent"}}},
        {"mode": "test"},
        "no venue takes part in mode test",
        id="none",
    ),
]


@pytest.mark.parametrize(("venues", "more", "words"), REFUSED)
def test_what_cannot_be_deployed_is_refused_with_the_reason(
    venues: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        build_plan(REAL, stack(venues, **more))


def test_assigned_addresses_must_be_given_and_be_nobody_elses() -> None:
    assigned = {"nasdaq": {"instruments": [INSTRUMENT]}}
    with pytest.raises(PlanError, match="assigned by Nasdaq Trading Services"):
        build_plan(LATER, stack(assigned, mode="live"))
    for url, words in (
        ("http://x:1", "allowed is a URL"),
        ("tcp://nasdaq.lab:9", "belong to mode simulated"),
    ):
        wishes = {
            "nasdaq": {**assigned["nasdaq"], "endpoints": {"orders": url, "market_data": "udp://g.example:1"}}
        }
        with pytest.raises(PlanError, match=words):
            build_plan(LATER, stack(wishes, mode="live"))


def test_tighter_limits_are_taken() -> None:
    tighter = {"max_open_orders": 2, "max_daily_loss": "7.5"}
    (host,) = build_plan(REAL, stack({"binance": {"limits": tighter}})).hosts
    limits = host.connectors[0].limits
    assert (limits.max_open_orders, str(limits.max_daily_loss), limits.instruments) == (
        2,
        "7.5",
        ("BTCUSDT",),
    )
    assert str(host.total_limits.max_daily_loss) == "7.5"


def test_costs_name_their_source_and_unknown_prices_are_not_guessed() -> None:
    plan = build_plan(REAL, stack({"binance": {}}, mode="test"))
    lines = {line.item: line for line in plan.cost}
    assert lines["binance-tokyo-01: c7a.xlarge"].source == "unknown price, not counted"
    assert str(lines["binance-tokyo-01: Elastic IP"].monthly_usd) == "3.65"
    assert all(line.source for line in plan.cost)
