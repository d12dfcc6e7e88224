"""Users, SSH, journal and failed units."""

import pytest

from .conftest import Node

pytestmark = pytest.mark.base


def test_hostname_is_the_plans(node: Node) -> None:
    assert node.seen["hostname"] == node.name


def test_users_have_the_planned_uids_and_no_shell(node: Node) -> None:
    for user in node.host.plan.users:
        seen = node.seen["users"][user.name]
        assert seen is not None, f"user {user.name} does not exist"
        assert seen["uid"] == user.uid
        assert seen["shell"].endswith(("nologin", "false"))
        assert "slipway" in seen["groups"]
        assert "sudo" not in seen["groups"]


SSHD = {
    "passwordauthentication": {"no"},
    "kbdinteractiveauthentication": {"no"},
    "permitrootlogin": {"no", "prohibit-password", "without-password"},
    "x11forwarding": {"no"},
    "allowagentforwarding": {"no"},
    "permitemptypasswords": {"no"},
    "authenticationmethods": {"publickey"},
}
"""What ``sshd -T`` may say, by key."""


@pytest.mark.parametrize("key", SSHD)
def test_sshd_runs_hardened(node: Node, key: str) -> None:
    settings = dict(line.split(" ", 1) for line in node.command("sshd").splitlines() if " " in line)
    assert settings[key] in SSHD[key]


def test_no_unit_has_failed(node: Node) -> None:
    assert node.command("failed units").strip() == ""


def test_journal_is_bounded(node: Node) -> None:
    lines = [line.strip() for line in node.command("journald").splitlines()]
    assert any(line.startswith("SystemMaxUse=") for line in lines)
