"""The whole program for each stack file, as ``pulumi up`` and ``pulumi preview`` run it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue.load import load_catalogue
from infra.lab.cloud.deploy import stack_config
from infra.lab.cloud.handlers.registry import REGISTRY
from infra.plan.build import build_plan
from infra.plan.inventory import Inventory
from infra.plan.settings import load_settings

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "SLIPWAY_UPDATE_GOLDEN"

KEY = {"slipway:public_key": f"ssh-ed25519 {'A' * 68} lab"}
IMAGES = {"slipway:images": {"ap-northeast-1": "ami-0a1b2c3d4e5f60718"}}

CASES = [
    pytest.param("phase1", {**KEY, "slipway:mode": "simulated"}, id="phase1-simulated"),
    pytest.param("phase1", {**KEY, **IMAGES}, id="phase1-test"),
]


@pytest.mark.parametrize(("stack", "overrides"), CASES)
def test_the_resource_graph_is_the_one_that_was_reviewed(
    run_stack: Any, stack: str, overrides: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    file = GOLDEN / f"{request.node.callspec.id}.json"
    run = run_stack(stack, overrides)
    graph = run.graph()
    if os.environ.get(UPDATE):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(graph, indent=1) + "\n", encoding="utf-8")
    assert graph == json.loads(file.read_text(encoding="utf-8")), (
        f"the program registers other resources than {file.name} says; look at the difference, and if it is"
        f" meant: {UPDATE}=1 pytest tests/program/test_stacks.py"
    )


@pytest.mark.parametrize(("stack", "overrides"), CASES)
def test_the_export_is_the_plan_with_addresses(run_stack: Any, stack: str, overrides: dict[str, Any]) -> None:
    run = run_stack(stack, overrides)
    inventory = Inventory.model_validate_json(json.dumps(run.outputs["inventory"]))
    plan = build_plan(load_catalogue(), load_settings(stack, overrides=overrides))
    assert {name: host.plan for name, host in inventory.hosts.items()} == {
        host.name: host for host in plan.hosts
    }
    assert (inventory.stack, inventory.phase, inventory.mode) == (plan.stack, plan.phase, plan.mode)
    assert len(run.of("Instance")) == len(plan.hosts)
    assert len(run.of("Vpc")) == len(plan.networks)


@pytest.mark.parametrize(("stack", "overrides"), CASES)
def test_a_preview_sees_the_same_resources(run_stack: Any, stack: str, overrides: dict[str, Any]) -> None:
    preview = run_stack(stack, overrides, preview=True)
    real = run_stack(stack, overrides)
    assert [one.urn for one in preview.registered] != []
    assert {one.urn for one in preview.registered} == {one.urn for one in real.registered}
    assert preview.outputs["inventory"] is None


@pytest.mark.parametrize(("stack", "overrides"), CASES)
def test_the_lab_can_make_all_of_it(run_stack: Any, stack: str, overrides: dict[str, Any]) -> None:
    run = run_stack(stack, overrides)
    types = {one.type for one in run.registered if one.custom and one.type != "pulumi:providers:aws"}
    assert types - set(REGISTRY) == set()
    # A handler that nothing uses is dead code.
    assert set(REGISTRY) - types == set()


def test_no_secret_and_no_user_data_is_in_any_resource(run_stack: Any) -> None:
    run = run_stack("phase1", {**KEY, "slipway:mode": "simulated"})
    for one in run.registered:
        text = json.dumps(one.inputs, default=str)
        assert "userData" not in one.inputs, one.urn
        assert "PRIVATE KEY" not in text, one.urn


def test_a_stack_forbids_default_providers() -> None:
    # A resource without a provider of its own would otherwise go, silently, to the caller's default region.
    assert stack_config("phase1", {})["pulumi:disable-default-providers"] == ["*"]
