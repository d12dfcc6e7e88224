"""The inventory as Ansible and ssh read it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from infra.operate import host_keys, inventory
from infra.operate.inventory import InventoryError
from infra.operate.workspace import Workspace, WorkspaceError
from infra.plan.inventory import Inventory

CONSOLE = """[   12.3] boot
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAold root@x
-----END SSH HOST KEY KEYS-----
again
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAnew root@x
-----END SSH HOST KEY KEYS-----
"""


def _write(workspace: Workspace, document: Inventory) -> None:
    inventory.write(
        workspace,
        document,
        lambda name, host: [f"ssh-ed25519 KEY{name}"],
        identity=Path("/k"),
        router_namespace="slw-router",
    )


def _ssh(workspace: Workspace, name: str) -> dict[str, str]:
    """What ssh itself makes of the file: the independent reader."""
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(workspace.ssh_config), name], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)


def test_ssh_reaches_each_kind_of_host_its_own_way(workspace: Workspace, fleet_inventory: Inventory) -> None:
    _write(workspace, fleet_inventory)
    lab, cloud, colo = (_ssh(workspace, name) for name in fleet_inventory.hosts)
    assert lab["proxycommand"] == "ip netns exec slw-router nc %h %p"
    assert lab["hostname"] == "10.22.0.10"
    assert cloud["hostname"] == "i-0b"
    assert cloud["proxycommand"].startswith("aws ssm start-session --target %h")
    assert "proxycommand" not in colo
    for seen in (lab, cloud, colo):
        assert seen["stricthostkeychecking"] == "true"
        assert seen["userknownhostsfile"] == str(workspace.known_hosts)
        assert seen["controlmaster"] == "auto"
        assert seen["user"] == "admin"


def test_known_hosts_are_by_name(workspace: Workspace, fleet_inventory: Inventory) -> None:
    _write(workspace, fleet_inventory)
    assert workspace.known_hosts.read_text().splitlines()[0] == "lab-01 ssh-ed25519 KEYlab-01"
    assert _ssh(workspace, "lab-01")["hostkeyalias"] == "lab-01"


def test_groups_by_venue_role_and_region(workspace: Workspace, fleet_inventory: Inventory) -> None:
    _write(workspace, fleet_inventory)
    groups = json.loads(workspace.hosts_file.read_text())
    assert set(groups["slipway"]["hosts"]) == set(fleet_inventory.hosts)
    assert list(groups["venue_nasdaq"]["hosts"]) == ["colo-01"]
    assert "region_eu_west_1" in groups


def test_document_survives_the_round_trip(workspace: Workspace, fleet_inventory: Inventory) -> None:
    _write(workspace, fleet_inventory)
    assert workspace.inventory() == fleet_inventory


def test_a_host_without_keys_is_named(workspace: Workspace, fleet_inventory: Inventory) -> None:
    with pytest.raises(InventoryError, match=r"lab-01.*no SSH host keys"):
        inventory.write(workspace, fleet_inventory, lambda name, host: [], router_namespace="r")


def test_a_lab_host_needs_a_lab(workspace: Workspace, fleet_inventory: Inventory) -> None:
    with pytest.raises(InventoryError, match=r"lab-01.*slipway lab up"):
        inventory.write(workspace, fleet_inventory, lambda name, host: ["k"])


def test_missing_and_foreign_documents_are_told_apart(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="deploy first"):
        workspace.inventory()
    workspace.out.mkdir(parents=True)
    workspace.inventory_file.write_text('{"schema_version": 2}')
    with pytest.raises(WorkspaceError, match="not an inventory of this version"):
        workspace.inventory()


def test_host_keys_are_those_of_the_last_boot() -> None:
    assert host_keys.keys_in(CONSOLE) == ["ssh-ed25519 AAAAnew"]
    assert host_keys.keys_in("nothing yet") == []


def test_an_external_hosts_keys_are_its_owners(fleet_inventory: Inventory) -> None:
    with pytest.raises(InventoryError, match="colo-01"):
        host_keys.from_console("colo-01", fleet_inventory.hosts["colo-01"])
