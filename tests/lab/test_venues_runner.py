"""Accounts are made for one lab, their values go where the plan says, and nobody else reads them."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import boto3
import pytest
from moto import mock_aws

from infra.catalogue.load import load_catalogue
from infra.lab.authority import Authority
from infra.lab.settings import LabError, LabSettings
from infra.lab.venues.binance.config import BinanceConfig
from infra.lab.venues.polymarket.config import PolymarketConfig
from infra.lab.venues_runner import VENUES, VenuesRunner, hostnames
from infra.plan.build import build_plan
from infra.plan.settings import load_settings

MODELS = {"binance": BinanceConfig, "polymarket": PolymarketConfig}


@pytest.fixture
def runner(tmp_path) -> VenuesRunner:
    made = VenuesRunner(LabSettings(directory=tmp_path / "lab", cache=tmp_path / "cache", prefix="none"))
    made.directory.mkdir(parents=True)
    return made


@pytest.fixture
def authority(tmp_path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure()
    return made


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_the_simulator_takes_its_configuration(runner, authority, venue):
    path = runner._write_config(venue, authority)
    config = MODELS[venue.name].model_validate_json(path.read_text())
    assert [entry.port for entry in config.listen] == list(venue.ports)
    assert all(entry.address == venue.address and entry.tls for entry in config.listen)
    assert [account.name for account in config.accounts] == ["slipway"]


def test_credentials_are_made_once_and_kept_from_others(runner, authority):
    for venue in VENUES:
        runner._write_config(venue, authority)
    values = runner.secrets()
    assert set(values) == {
        "binance_api_key",
        "binance_private_key",
        "polymarket_private_key",
        "polymarket_api_key",
        "polymarket_api_secret",
        "polymarket_api_passphrase",
    }
    for path in [runner.secrets_file, *runner.directory.glob("*.json")]:
        assert path.stat().st_mode & 0o777 == 0o600, path
    for venue in VENUES:
        runner._write_config(venue, authority)
    assert runner.secrets() == values


def test_two_labs_have_other_keys(runner, authority, tmp_path):
    other = VenuesRunner(LabSettings(directory=tmp_path / "other", cache=tmp_path / "cache", prefix="none"))
    other.directory.mkdir(parents=True)
    for one in (runner, other):
        one._write_config(VENUES[0], authority)
    assert runner.secrets()["binance_api_key"] != other.secrets()["binance_api_key"]


def test_an_allow_list_reaches_the_venue_and_outlives_its_restart(runner, authority, monkeypatch):
    sent = []
    monkeypatch.setattr(runner, "admin", lambda *request: sent.append(request))
    runner.allow({"binance": [IPv4Address("198.51.100.1")]})
    (venue, method, path, account), *rest = sent
    assert (venue, method, path, rest) == ("binance", "POST", "/accounts", [])
    assert account["keys"][0]["addresses"] == ["198.51.100.1/32"]
    config = json.loads(runner._write_config(VENUES[0], authority).read_text())
    assert config["accounts"] == [account]


@mock_aws
def test_secrets_go_to_the_plans_parameters_in_the_hosts_regions(runner, authority):
    for venue in VENUES:
        runner._write_config(venue, authority)
    plan = build_plan(load_catalogue(), load_settings("phase1", "simulated"))
    written = runner.put_secrets(plan.hosts, None)
    assert len(written) == 6
    values = runner.secrets()
    for host in plan.hosts:
        ssm = boto3.client("ssm", region_name=host.region, aws_access_key_id="a", aws_secret_access_key="b")
        for credential in [one for connector in host.connectors for one in connector.credentials]:
            found = ssm.get_parameter(Name=credential.parameter, WithDecryption=True)["Parameter"]
            assert found["Type"] == "SecureString"
            assert found["Value"] == values[credential.name]
            assert credential.parameter in written


@mock_aws
def test_a_credential_that_the_lab_has_not_is_named(runner):
    plan = build_plan(load_catalogue(), load_settings("phase1", "simulated"))
    with pytest.raises(LabError, match=r"host binance-tokyo-01, venue binance: .*binance_api_key.*has: none"):
        runner.put_secrets(plan.hosts, None)


def test_every_name_has_an_address():
    names = hostnames()
    assert names["api.binance.lab"] == IPv4Address("203.0.113.10")
    assert names["polymarket.lab"] == IPv4Address("203.0.113.20")
    assert all(name.endswith(".lab") for name in names)


def test_a_simulator_that_is_down_is_named(runner):
    with pytest.raises(LabError, match=r"the binance simulator does not answer on .*binance\.sock"):
        runner.admin("binance", "GET", "/state")
    assert not runner.alive("binance")
