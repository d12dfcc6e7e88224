"""A stack's settings: read from its file, from Pulumi's keys, and refused with every fault at once."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from infra.plan.errors import PlanError
from infra.plan.settings import (
    REPOSITORY,
    STACKS_DIR,
    SettingsError,
    StackSettings,
    load_settings,
    settings_from_mapping,
)

GOOD = """\
config:
  aws:region: eu-west-1
  slipway:phase: 1
  slipway:mode: test
  slipway:owner: desk
  slipway:cost_center: desk
  slipway:monthly_budget_usd: 100
  slipway:venues:
    binance:
      limits: {max_open_orders: 2}
"""


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.desk.yaml").write_text(GOOD)
    return tmp_path


def test_a_stack_file_is_read(stacks: Path) -> None:
    settings = load_settings("desk", directory=stacks)
    assert (settings.stack, settings.phase, settings.mode, settings.instance_type) == (
        "desk",
        1,
        "test",
        "c8a.xlarge",
    )
    assert settings.venues["binance"].limits == {"max_open_orders": Decimal(2)}


def test_mode_and_overrides_are_laid_over_the_file(stacks: Path) -> None:
    settings = load_settings(
        "desk",
        "simulated",
        overrides={"slipway:owner": "lab", "venues": {"binance": {"hosts": 3}, "polymarket": {}}},
        directory=stacks,
    )
    assert (settings.mode, settings.owner, set(settings.venues)) == (
        "simulated",
        "lab",
        {"binance", "polymarket"},
    )
    assert (settings.venues["binance"].hosts, len(settings.venues["binance"].limits)) == (3, 1)


def test_pulumis_own_form_gives_the_same_settings(stacks: Path) -> None:
    """``pulumi.Config`` holds everything as text, and what is no plain value as JSON."""
    config = yaml.safe_load(GOOD)["config"]
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    assert settings_from_mapping("desk", text) == load_settings("desk", directory=stacks)
    bare = {key.removeprefix("slipway:"): value for key, value in text.items() if not key.startswith("aws:")}
    assert settings_from_mapping("desk", bare) == load_settings("desk", directory=stacks)


def test_every_fault_is_told_with_file_key_and_line(stacks: Path) -> None:
    path = stacks / "Pulumi.desk.yaml"
    path.write_text(
        GOOD.replace("mode: test", "mode: paper")
        .replace("owner: desk", "ownr: desk")
        .replace("{max_", "{maximum_")
    )
    with pytest.raises(SettingsError) as caught:
        load_settings("desk", directory=stacks)
    assert str(caught.value) == (
        f"{path}: 4 errors\n"
        "  slipway:mode (line 4)\n"
        "    found:   'paper'\n"
        "    allowed: one of 'simulated', 'test' or 'live'\n"
        "  slipway:venues.binance (line 9)\n"
        "    found:   limits.maximum_open_orders\n"
        "    allowed: one of price_collar_bps, max_order_value, max_order_quantity, max_open_orders, "
        "max_messages_per_s, max_position, max_daily_loss\n"
        "  slipway:owner (line 2)\n"
        "    found:   nothing\n"
        "    allowed: this key must be given\n"
        "  slipway:ownr (line 5)\n"
        "    found:   'desk'\n"
        "    allowed: no such key; the keys here are "
        + ", ".join(sorted(set(StackSettings.model_fields) - {"stack"}))
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("stack", "other", "the file's name says it"),
        ("phase", 4, "less than or equal to 3"),
        ("venues", "binance", "valid dictionary"),
        ("venues", {"Binance": {}}, "matches"),
        ("venues", {"binance": {"hosts": 0}}, "greater than or equal to 1"),
        ("venues", {"binance": {"modes": {"simulated": "live"}}}, "'test' or 'live'"),
        ("venues", {"binance": {"modes": {"test": "simulated"}}}, "'test', 'live' or 'absent'"),
        ("images", {"eu-west-1": "debian-12"}, "ami-"),
        ("monthly_budget_usd", 0, "greater than 0"),
        ("isolation", "maybe", "'on' or 'off'"),
    ],
)
def test_bad_values_are_refused(stacks: Path, key: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings("desk", overrides={key: value}, directory=stacks)
    assert "Pulumi.desk.yaml" in str(caught.value)
    assert f"slipway:{key}" in str(caught.value)
    assert words in str(caught.value)


def test_a_stack_that_is_not_there_is_named(stacks: Path) -> None:
    with pytest.raises(PlanError, match=r"Pulumi\.nowhere\.yaml"):
        load_settings("nowhere", directory=stacks)
    (stacks / "Pulumi.empty.yaml").write_text("encryptionsalt: x\n")
    with pytest.raises(PlanError, match="a mapping of keys such as slipway:mode"):
        load_settings("empty", directory=stacks)


def test_the_project_file_declares_what_the_settings_take() -> None:
    project = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
    assert (project["name"], project["main"], project["stackConfigDir"]) == (
        "slipway",
        "infra/",
        STACKS_DIR.name,
    )
    fields = StackSettings.model_fields
    declared = project["config"]
    # A declared key without a default is required by Pulumi, so optional keys without one stay undeclared.
    undeclared = {"stack", "public_key", "account", "endpoint"}
    assert set(declared) == set(fields) - undeclared
    assert {key for key, entry in declared.items() if "default" not in entry} == {
        key for key in declared if fields[key].is_required()
    }
    for key, entry in declared.items():
        if "default" in entry:
            found = json.loads(json.dumps(fields[key].get_default(call_default_factory=True)))
            assert found == entry["default"], key


@pytest.mark.parametrize("path", sorted(STACKS_DIR.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_every_stack_that_ships_loads(path: Path) -> None:
    name = path.name.split(".")[1]
    assert load_settings(name).stack == name
