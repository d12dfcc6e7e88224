"""Faults: each is named once and clearly, nothing is armed by it, and what ran before goes on running."""

from __future__ import annotations

import re

import pytest

from infra.catalogue.load import load_catalogue
from infra.lab.cloud.deploy import DeployError
from infra.lab.cloud.deploy import deploy as deploy_stack
from infra.operate.arm import ArmError
from infra.plan.build import build_plan
from infra.plan.settings import load_settings

from .stage import BINANCE, POLYMARKET, STACK, VENUE, Stage, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def put_secrets(stage: Stage) -> None:
    """Put all credentials into the parameter store again."""
    assert stage.document is not None
    plan = build_plan(load_catalogue(), load_settings(STACK, "simulated"))
    stage.lab.venues.put_secrets(plan.hosts, stage.document.endpoint)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"slipway:venuez": {}}, r"Pulumi\.phase1\.yaml[\s\S]*venuez"),
        ({"slipway:venues": {"binanse": {}}}, r"stack phase1: venue 'binanse' is not in the catalogue"),
        ({"slipway:instance_type": "c8a.medium"}, r"stack phase1.*c8a\.medium"),
    ],
    ids=["unknown key", "unknown venue", "impossible machine"],
)
def test_a_bad_stack_is_refused_before_anything_is_made(
    stage: Stage, override: dict[str, object], named: str
) -> None:
    assert stage.document is not None
    events: list[object] = []
    with pytest.raises(DeployError, match=named):
        deploy_stack(
            STACK,
            {"slipway:mode": "simulated", **override},
            endpoint=str(stage.document.endpoint),
            state_file=stage.lab.settings.directory / "cloud" / f"{STACK}.state.json",
            progress=events.append,
        )
    assert events == []


def test_a_missing_credential_is_named(stage: Stage) -> None:
    planned = next(
        c
        for c in stage.workspace.inventory().hosts[BINANCE].plan.connectors[0].credentials
        if c.name == "binance_api_key"
    )
    before = stage.running()
    stage.cloud("ssm", BINANCE).delete_parameter(Name=planned.parameter)
    try:
        played = stage.converge()
    finally:
        put_secrets(stage)
    assert played.failed
    assert set(played.errors) == {BINANCE}
    named = f"{BINANCE}: credential binance_api_key: the parameter {planned.parameter} is not in"
    assert named in played.errors[BINANCE]
    assert stage.running() == before
    assert stage.converge().changed == dict.fromkeys(stage.hosts, 0)


def test_expired_and_foreign_credentials_stop_no_engine_and_are_mended(stage: Stage) -> None:
    before = stage.running()
    name = "polymarket_api_key"
    stage.root(
        BINANCE,
        "cd /etc/credstore.encrypted; cp /run/credentials/slipway-engine.service/binance_api_key /run/plain; "
        "systemd-creds encrypt --with-key=host --name=binance_api_key "
        "--timestamp=2020-01-01 --not-after=2020-01-02 /run/plain binance_api_key; rm /run/plain",
    )
    blob = stage.root(BINANCE, f"echo stranger | systemd-creds encrypt --with-key=host --name={name} - -")
    stage.root(POLYMARKET, f"cat > /etc/credstore.encrypted/{name} <<'END'\n{blob}\nEND")
    assert stage.running() == before
    unit = f"slipway-connector@{VENUE[POLYMARKET]}.service"
    said = stage.root(
        POLYMARKET,
        f"systemctl restart {unit} && exit 1; journalctl -u {unit} -n 20 --no-pager -o cat",
    )
    assert "CREDENTIALS" in said
    assert stage.running() == before
    with pytest.raises(ArmError, match=f"{POLYMARKET}: polymarket is"):
        stage.arm()
    mended = stage.converge()
    assert not mended.failed, mended.output
    stage.await_ready()
    assert stage.failed_checks("-m", "credentials or venue") == {}


def test_a_key_that_the_venue_refuses_is_named_and_not_armed(stage: Stage) -> None:
    for host in stage.hosts:
        stage.venue(host).set_faults(reject_keys={"accounts": ["slipway"]})
    before = stage.running()
    stage.root(POLYMARKET, "systemctl restart slipway-connector@polymarket")
    stage.venue(BINANCE).set_faults(drop_connections={})
    until(
        "both keys are refused",
        lambda: all(
            at.get("venues", {}).get(VENUE[host], {}).get("connection") == "REFUSED"
            for host, at in stage.engines().items()
        ),
    )
    with pytest.raises(ArmError) as refused:
        stage.arm()
    for host in stage.hosts:
        assert f"{host}: {VENUE[host]} is REFUSED" in str(refused.value)
    assert "-2015" in str(refused.value)
    assert "401" in str(refused.value)
    assert set(stage.states().values()) == {"DISARMED"}
    assert stage.running() == before


def test_a_wrong_clock_is_named_and_not_armed(stage: Stage) -> None:
    """Seen from the hosts it is the same whose clock is wrong; a container cannot set its own."""
    for host in stage.hosts:
        stage.venue(host).set_faults(clock_offset={"ms": 5000})
    stage.root(BINANCE, "systemctl restart slipway-engine")
    stage.root(POLYMARKET, "systemctl restart slipway-connector@polymarket")

    def blamed() -> set[str]:
        """Return the hosts that name the clock."""
        return {
            host
            for host, engine in stage.engines().items()
            if "clock" in engine.get("venues", {}).get(VENUE[host], {}).get("reason", "")
        }

    until("both name the clock", lambda: blamed() == set(stage.hosts))
    with pytest.raises(ArmError) as refused:
        stage.arm()
    for host in stage.hosts:
        assert re.search(rf"^{host}: {VENUE[host]} is \w+: .*clock", str(refused.value), re.MULTILINE)
    assert set(stage.states().values()) == {"DISARMED"}


def test_venues_go_down_and_come_back_under_way(stage: Stage) -> None:
    stage.arm()
    stage.await_trading()
    before = stage.running()
    with stage.venue_down(BINANCE), stage.venue_down(POLYMARKET):
        until("both venues are lost", lambda: not any(stage.connected(host) for host in stage.hosts))
        assert stage.running() == before
    stage.await_ready()
    stage.await_trading()
    assert stage.running() == before
    killed = stage.kill()
    assert killed.flat, killed
    assert {host: stage.open_orders(host) for host in stage.hosts} == dict.fromkeys(stage.hosts, 0)


def test_a_killed_engine_comes_back_disarmed_and_flat(stage: Stage) -> None:
    stage.arm()
    stage.await_trading()
    before = stage.running()
    for host in stage.hosts:
        stage.root(host, f"kill -KILL {before[host].pid}")
    until(
        "both engines are back",
        lambda: all(
            now.get("release") and at.pid != before[host].pid
            for (host, at), now in zip(stage.running().items(), stage.engines().values(), strict=True)
        ),
    )
    assert set(stage.states().values()) == {"DISARMED"}
    stage.await_ready()
    stage.await_flat()
    for host in stage.hosts:
        stage.root(host, "test ! -e /run/slipway/permit; systemctl reset-failed slipway-engine")
    assert stage.failed_checks() == {}


def test_rebooted_hosts_come_back_disarmed_and_as_planned(stage: Stage) -> None:
    stage.arm()
    stage.await_trading()
    stage.reboot(*stage.hosts)
    until("engines are up", lambda: set(stage.states().values()) == {"DISARMED"})
    stage.await_ready()
    stage.await_flat()
    assert stage.failed_checks() == {}
    assert stage.converge().changed == dict.fromkeys(stage.hosts, 0)


def test_an_unreachable_host_stops_converge_and_arm_for_all(stage: Stage) -> None:
    before = stage.running()
    with stage.unreachable(POLYMARKET):
        played = stage.converge()
        assert played.failed
        assert set(played.errors) == {POLYMARKET}
        assert "UNREACHABLE" in played.errors[POLYMARKET]
        with pytest.raises(ArmError, match=f"{POLYMARKET}: cannot be asked"):
            stage.arm()
        assert stage.states()[BINANCE] == "DISARMED"
    until("it is back", lambda: stage.connected(POLYMARKET))
    assert stage.running() == before
    assert stage.failed_checks("-m", "engine or venue") == {}
