"""The second look at finished hosts sees what was smuggled in after planning."""

from __future__ import annotations

from typing import Any

import pytest

from infra.catalogue.load import load_catalogue
from infra.plan.build import build_plan
from infra.plan.check import crossed_worlds
from infra.plan.model import HostPlan
from infra.plan.settings import load_settings

CATALOGUE = load_catalogue()


@pytest.fixture
def host() -> HostPlan:
    wishes = load_settings("phase1", overrides={"images": {"ap-northeast-1": "ami-0123456789abcdef0"}})
    return build_plan(CATALOGUE, wishes).hosts[0]


def spoilt(host: HostPlan, **change: Any) -> HostPlan:
    connector = host.connectors[0].model_copy(update=change)
    return host.model_copy(update={"connectors": (connector,)})


def test_an_honest_host_has_no_faults(host: HostPlan) -> None:
    assert crossed_worlds([host], CATALOGUE, "phase1") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"endpoints": {"rest": "https://api.binance.com"}},
            "https://api.binance.com is an address of mode live",
        ),
        ({"endpoints": {"rest": "https://api.binance.com:443/x"}}, "is an address of mode live"),
        ({"endpoints": {"rest": "https://api.binance.lab"}}, "is an address of mode simulated"),
        ({"endpoints": {"rest": "https://other.lab"}}, "names under .lab"),
        ({"mode": "live"}, "is an address of mode test"),
        ({"mode": "simulated"}, "is an address of mode test"),
        ({"venue": "kraken"}, "'kraken' is not in the catalogue"),
    ],
)
def test_crossed_addresses_are_seen(host: HostPlan, change: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in crossed_worlds([spoilt(host, **change)], CATALOGUE, "phase1"))


def test_a_live_key_in_a_test_host_is_seen(host: HostPlan) -> None:
    credential = host.connectors[0].credentials[0]
    live = credential.model_copy(update={"parameter": credential.parameter.replace("/test/", "/live/")})
    (fault,) = crossed_worlds([spoilt(host, credentials=(live,))], CATALOGUE, "phase1")
    assert fault == (
        "host binance-tokyo-01, venue binance in mode test: credential binance_api_key is read from "
        "/slipway/phase1/live/binance/binance_api_key instead of /slipway/phase1/test/binance/binance_api_key"
    )
    assert crossed_worlds([host], CATALOGUE, "phase2")
