"""Arming, killing and asking over a stand-in for ssh: what is tested is our judgement of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.operate import arm, fleet, kill, status
from infra.operate.arm import ArmError, Permit
from infra.operate.fleet import Answer
from infra.operate.workspace import Workspace
from infra.plan.inventory import Inventory

RELEASE = "ab" * 32


class Hosts:
    """Answers of every host by what is asked."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.engines: dict[str, dict[str, Any] | None] = {}
        self.replies: dict[str, Answer] = {}

    def ask(self, workspace: Workspace, hosts: Iterable[str], command: str, **_: Any) -> list[Answer]:
        self.commands.append(command)
        if "control.sock" in command:
            return [
                Answer(h, 0, json.dumps(e), "")
                if (e := self.engines[h])
                else Answer(h, None, "", "timed out")
                for h in hosts
            ]
        return [self.replies.get(h, Answer(h, 0, "{}", "")) for h in hosts]


def _engine(release: str = RELEASE, connection: str = "READY") -> dict[str, Any]:
    return {
        "state": "DISARMED",
        "release": release,
        "venues": {"v": {"connection": connection, "reason": "why"}},
    }


@pytest.fixture
def hosts(workspace: Workspace, fleet_inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    workspace.out.mkdir(parents=True)
    workspace.inventory_file.write_text(fleet_inventory.model_dump_json())
    workspace.release_dir.mkdir()
    (workspace.release_dir / "x.tar.zst").touch()
    manifest = SimpleNamespace(engine=SimpleNamespace(executable="bin/e"), files={"bin/e": RELEASE})
    monkeypatch.setattr(arm, "manifest_of", lambda archive: manifest)
    all_hosts = Hosts()
    all_hosts.engines = {name: _engine() for name in fleet_inventory.hosts}
    monkeypatch.setattr(fleet, "ask", all_hosts.ask)
    return all_hosts


def test_arms_every_host(workspace: Workspace, hosts: Hosts) -> None:
    assert arm.arm(workspace, Permit("ann o'neil", 15)) == list(hosts.engines)
    assert hosts.commands[-1] == "sudo -n /usr/local/sbin/slipway-arm --by 'ann o'\"'\"'neil' --minutes 15"


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (None, "cannot be asked: timed out"),
        (_engine(release="cd" * 32), "converge first"),
        (_engine(connection="CONNECTING"), "v is CONNECTING"),
    ],
)
def test_one_bad_host_and_none_is_armed(
    workspace: Workspace, hosts: Hosts, engine: dict[str, Any] | None, words: str
) -> None:
    hosts.engines["cloud-01"] = engine
    with pytest.raises(ArmError, match=f"cloud-01.*{words}"):
        arm.arm(workspace, Permit("ann", 15))
    assert not any("slipway-arm" in command for command in hosts.commands)


def test_a_refusal_while_arming_disarms_the_others(workspace: Workspace, hosts: Hosts) -> None:
    hosts.replies["colo-01"] = Answer("colo-01", 1, "", "latched by a halt")
    with pytest.raises(ArmError, match="colo-01: latched by a halt"):
        arm.arm(workspace, Permit("ann", 15))
    assert hosts.commands[-1] == "sudo -n rm -f /run/slipway/permit"


@pytest.mark.parametrize("minutes", [0, -1, 24 * 60 + 1])
def test_a_permit_has_a_bounded_life(workspace: Workspace, hosts: Hosts, minutes: int) -> None:
    with pytest.raises(ArmError, match="minutes"):
        arm.arm(workspace, Permit("ann", minutes))
    assert hosts.commands == []


def test_kill_names_the_unreachable_and_is_not_flat(workspace: Workspace, hosts: Hosts) -> None:
    flat = {"revoked_ns": 1, "flat_ns": 2, "open_orders": 0}
    hosts.replies = {name: Answer(name, 0, json.dumps(flat), "") for name in hosts.engines}
    assert kill.kill(workspace, "drill").flat
    hosts.replies["cloud-01"] = Answer("cloud-01", None, "", "no route")
    killed = kill.kill(workspace, "drill")
    assert not killed.flat
    assert [(h.host, h.problem) for h in killed.hosts if h.problem] == [("cloud-01", "no route")]


def test_kill_is_not_flat_while_orders_are_open(workspace: Workspace, hosts: Hosts) -> None:
    still = {"revoked_ns": 1, "flat_ns": None, "open_orders": 2}
    hosts.replies = {name: Answer(name, 0, json.dumps(still), "") for name in hosts.engines}
    assert not kill.kill(workspace, "drill").flat


def test_kill_of_one_venue_asks_its_hosts_alone(workspace: Workspace, hosts: Hosts) -> None:
    assert [h.host for h in kill.kill(workspace, "drill", venue="nasdaq").hosts] == ["colo-01"]


def test_status_tells_why_a_host_is_silent(workspace: Workspace, hosts: Hosts) -> None:
    hosts.engines["colo-01"] = None
    seen = {s.host: s for s in status.status(workspace)}
    assert seen["lab-01"].state == "DISARMED"
    assert (seen["colo-01"].state, seen["colo-01"].problem) == ("UNREACHABLE", "timed out")


def test_an_unreachable_host_does_not_hold_up_the_rest(workspace: Workspace, tmp_path: Path) -> None:
    """Real ssh, to addresses of ours where nobody answers."""
    config = "Host *\n  HostName 127.0.0.1\n  Port 1\n  ConnectTimeout 2\n"
    workspace.out.mkdir(parents=True)
    workspace.ssh_config.write_text(config)
    answers = fleet.ask(workspace, ["a", "b"], "true", timeout_s=10)
    assert [(a.host, a.code) for a in answers] == [("a", None), ("b", None)]
    assert all("refused" in a.error.lower() for a in answers)
