"""Bad input and drift: one clear error, nothing lost, what runs keeps running."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from roles_bench import Bench

from infra.operate.release import Release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

HOST = "binance-tokyo-01"
PID = "systemctl show -p MainPID --value slipway-engine.service"
CANARY = "CANARY-"
ARM = 'printf \'A{"armed_by":"ann"}\' | sudo tee /run/slipway/permit >/dev/null'
SINKS = (
    "sudo sh -c 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; journalctl --no-pager; "
    "find /tmp /var/tmp /root /home /etc /opt /var/log /run/lock /run/slipway-started -type f "
    "-exec cat {} + 2>/dev/null' "
    "| grep -a -c CAN[A]RY- || true"
)


@pytest.fixture(scope="module")
def converged(bench: Bench) -> Bench:
    bench.remove(*bench.instances)
    bench.boot(HOST)
    done = bench.play("-vvv", "--diff")
    assert done.status == 0, done.output
    assert CANARY not in done.output
    assert CANARY not in json.dumps(done.results)
    return bench


@pytest.fixture
def pid(converged: Bench) -> Callable[[], str]:
    return lambda: converged.ssh(HOST, PID).strip()


def test_secrets_are_on_the_host_encrypted_and_nowhere_else(converged: Bench) -> None:
    decrypt = "sudo systemd-creds decrypt --name=binance_api_key /etc/credstore.encrypted/binance_api_key -"
    assert converged.ssh(HOST, decrypt).startswith("CANARY-binance_api_key-")
    assert converged.ssh(HOST, SINKS).strip() == "0"


def test_a_rotated_secret_is_put_and_the_engine_restarted(converged: Bench, pid: Callable[[], str]) -> None:
    before = pid()
    converged.put_secrets("CANARY-{name}-rotated-0123456789")
    done = converged.play("--diff")
    assert done.status == 0, done.output
    assert [kind for kind, _ in done.changes(HOST)] == ["credential", "credential", "unit"]
    assert CANARY not in done.output + json.dumps(done.results)
    assert pid() != before
    assert converged.ssh(HOST, SINKS).strip() == "0"


DRIFTS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("mode", "sudo chmod 0644 /etc/slipway/limits.json", [("file", "/etc/slipway/limits.json")]),
    ("owner", "sudo chown admin /etc/slipway/connectors", [("directory", "/etc/slipway/connectors")]),
    ("content", "echo x | sudo tee -a /etc/sudoers.d/slipway", [("file", "/etc/sudoers.d/slipway")]),
    ("rules", "sudo nft add rule inet slipway output accept", [("unit", "nftables.service")]),
    ("timer", "sudo systemctl stop slipway-egress.timer", [("unit", "slipway-egress.timer")]),
    ("enabled", "sudo systemctl -q disable slipway-engine", [("enable", "slipway-engine.service")]),
    ("stopped", "sudo systemctl stop slipway-engine", [("unit", "slipway-engine.service")]),
    (
        "shell",
        "sudo usermod -s /bin/sh slipway-engine; sudo systemctl start slipway-engine",
        [("user", "slipway-engine")],
    ),
    (
        "secret",
        "echo no | sudo tee /etc/credstore.encrypted/binance_api_key >/dev/null",
        [("credential", "binance_api_key"), ("unit", "slipway-engine.service")],
    ),
    ("stray", "sudo touch /etc/credstore.encrypted/other", [("absent", "/etc/credstore.encrypted/other")]),
    (
        "left over",
        "sudo touch /etc/slipway/.engine.json.slipway-new",
        [("file", "/etc/slipway/.engine.json.slipway-new")],
    ),
    ("process", "sudo rm /run/slipway-started/slipway-engine.service", [("unit", "slipway-engine.service")]),
    ("name", "sudo hostname elsewhere", [("hostname", "binance-tokyo-01")]),
]


def test_each_drift_is_found_predicted_and_put_right_alone(converged: Bench) -> None:
    document = converged.document(HOST)
    for name, break_it, expected in DRIFTS:
        converged.ssh(HOST, break_it)
        predicted = converged.core(HOST, document, check=True)
        done = converged.core(HOST, document)
        again = converged.core(HOST, document)
        assert predicted is not None, name
        assert done is not None, name
        assert again is not None, name
        assert [(c["kind"], c["name"]) for c in done["changes"]] == expected, (name, done)
        assert predicted["changes"] == done["changes"], name
        assert not again["changed"], (name, again)


def test_an_armed_engine_is_not_restarted_unless_forced(converged: Bench, pid: Callable[[], str]) -> None:
    before = pid()
    converged.ssh(HOST, ARM)
    other = ("-e", "engine_metrics_port=9470")
    for more in ((), ("--check",)):
        refused = converged.play(*other, *more)
        assert refused.status != 0
        assert "slipway-engine.service is armed" in refused.failure
        assert "engine_force=true" in refused.failure
    assert pid() == before
    assert "9464" in converged.ssh(HOST, "sudo cat /etc/slipway/engine.json")
    idle = converged.play()
    assert (idle.status, idle.changed[HOST]) == (0, 0), idle.output
    forced = converged.play(*other, "-e", "engine_force=true")
    assert forced.status == 0, forced.output
    assert pid() != before
    assert converged.ssh(HOST, "sudo ls /run/slipway").strip() == ""
    assert converged.play().status == 0


def test_a_refused_configuration_replaces_nothing(converged: Bench, pid: Callable[[], str]) -> None:
    before = pid()
    document = converged.document(HOST)
    for fragment in document["fragments"]:
        for file in fragment["files"]:
            if file["path"] == "/etc/slipway/engine.json":
                file["content"] = file["content"].replace("binance-tokyo-01", "unacceptable")
            if file["path"] == "/etc/nftables.conf":
                file["content"] += "# touched\n"
    done = converged.core(HOST, document)
    assert done is not None
    assert done["failed"]
    assert "/etc/slipway/engine.json: the planned content is refused" in done["msg"]
    assert "# touched" not in converged.ssh(HOST, "sudo cat /etc/nftables.conf")
    assert pid() == before
    assert converged.ssh(HOST, "sudo find /etc -name '*.slipway-new*'") == ""


def test_a_broken_firewall_is_not_installed(converged: Bench) -> None:
    document = converged.document(HOST)
    for fragment in document["fragments"]:
        for file in fragment["files"]:
            if file["path"] == "/etc/nftables.conf":
                file["content"] = file["content"].replace("policy drop", "policy dorp")
    done = converged.core(HOST, document)
    assert done is not None
    assert done["failed"]
    assert "/etc/nftables.conf: the planned content is refused" in done["msg"]
    idle = converged.core(HOST, converged.document(HOST))
    assert idle is not None
    assert not idle["changed"]


def test_an_engine_that_does_not_start_is_taken_back(converged: Bench, pid: Callable[[], str]) -> None:
    good = converged.ssh(HOST, "readlink /opt/slipway/current")
    done = converged.play("-e", "engine_metrics_port=9466", version="0.3.0")
    assert done.status != 0
    assert "slipway-engine.service did not restart" in done.failure
    assert "the stand-in does not start" in done.failure
    assert "taken back" in done.failure
    assert converged.ssh(HOST, "readlink /opt/slipway/current") == good
    assert int(pid()) > 1
    idle = converged.play()
    assert (idle.status, idle.changed[HOST]) == (0, 0), idle.output


def test_a_downgrade_is_refused_unless_meant(converged: Bench) -> None:
    up = converged.play(version="0.2.0")
    assert up.status == 0, up.output
    down = converged.play()
    assert down.status != 0
    assert "release 0.1.0 is older than 0.2.0" in down.failure
    assert converged.releases["0.2.0"].identity in converged.ssh(HOST, "readlink /opt/slipway/current")
    meant = converged.play("-e", "release_allow_downgrade=true")
    assert meant.status == 0, meant.output
    assert converged.releases["0.2.0"].identity in converged.ssh(HOST, "readlink /opt/slipway/previous")


def altered(release: Release, folder: Path, what: str) -> Release:
    """Return a copy of a release with one thing wrong."""
    shutil.copytree(release.archive.parent, folder)
    archive, signature = folder / release.archive.name, folder / release.signature.name
    if what == "bytes":
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 1
        archive.write_bytes(content)
    elif what == "comment":
        signature.write_text(signature.read_text().replace("version=0.2.0", "version=0.2.1"))
    elif what == "unsigned":
        signature.unlink()
    return replace(release, archive=archive, signature=signature)


@pytest.mark.parametrize(
    ("what", "words"),
    [("bytes", "the archive was altered"), ("comment", "was altered"), ("unsigned", "it is unsigned")],
)
def test_a_bad_release_is_refused(
    converged: Bench, pid: Callable[[], str], tmp_path: Path, what: str, words: str
) -> None:
    before = pid()
    # A release that the host does not have yet, so that it is really looked at.
    converged.ssh(HOST, f"sudo rm -rf /opt/slipway/releases/{converged.releases['0.2.0'].identity}")
    bad = altered(converged.releases["0.2.0"], tmp_path / "bad", what)
    converged.releases["bad"] = bad
    done = converged.play(version="bad")
    assert done.status != 0
    assert words in done.failure + done.output
    assert bad.archive.name in done.failure + done.output
    assert pid() == before
    assert converged.ssh(
        HOST, "sudo ls /opt/slipway/incoming /opt/slipway/.staging 2>/dev/null || true"
    ).split() in ([], ["/opt/slipway/incoming:"])


def test_a_missing_secret_is_named_and_nothing_is_done(converged: Bench, pid: Callable[[], str]) -> None:
    before = pid()
    parameter = converged.remove_secret(HOST, "binance_private_key")
    done = converged.play("-e", "engine_metrics_port=9467")
    assert done.status != 0
    for words in (HOST, "binance_private_key", parameter, "ap-northeast-1"):
        assert words in done.failure
    assert pid() == before
    converged.put_secrets("CANARY-{name}-rotated-0123456789")
    assert converged.play("--check").changed[HOST] == 0


def test_an_unreachable_host_stops_nobody_else_from_being_killed(converged: Bench) -> None:
    other = "polymarket-dublin-01"
    converged.boot(other)
    converged.hosts.stop(converged.instances[other], grace=0)
    converged.ssh(HOST, ARM)
    killed = converged.play(playbook="kill.yml")
    assert killed.status != 0
    assert f"NOT known to be flat: {other}: cannot be reached" in killed.output
    assert HOST not in killed.failure
    assert converged.ssh(HOST, "sudo ls /run/slipway").strip() == ""
    converged.remove(other)


def test_two_converges_of_one_host_wait_for_each_other(converged: Bench) -> None:
    document = converged.document(HOST)
    held: dict[str, Any] = {**document, "lock_wait_s": 0.2}
    sent = json.dumps(held)
    assert sent
    command = "sudo flock -s /run/lock/slipway-converge sleep 5 & sleep 0.5; echo"
    converged.ssh(HOST, f"nohup sh -c '{command}' >/dev/null 2>&1 &")
    refused = None
    for _ in range(50):
        refused = converged.core(HOST, held)
        if refused is not None and refused.get("failed"):
            break
    assert refused is not None
    assert "is held by another converge or verification" in refused["msg"]
    waited = converged.core(HOST, document)
    assert waited is not None
    assert not waited["changed"]
