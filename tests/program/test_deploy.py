"""The whole deployment against an EC2-compatible server: made once, kept, changed in place, taken away."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.ec2.responses import EC2Response
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from infra.catalogue.load import load_catalogue
from infra.lab.cloud import deploy as deployment
from infra.lab.cloud.deploy import DeployError, Event, Progress, Request, deploy
from infra.lab.cloud.extras import ApiError, PlacementGroups
from infra.lab.cloud.handlers.state import sole_writer
from infra.plan.build import build_plan
from infra.plan.inventory import Inventory
from infra.plan.settings import STACKS_DIR, load_settings

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnC8DKGtSpJQNG8rkmUbpAdkwkdzmjgX3LyGBBNXpOI lab"
OVERRIDES = {"slipway:mode": "simulated", "slipway:public_key": PUBLIC_KEY}

Deploy = Callable[..., tuple[Inventory, list[Event]]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A moto server of this process; placement groups, which moto lacks, as the lab's cloud serves them."""
    groups = PlacementGroups()

    def serve(answer: Callable[[str, dict[str, str]], str]) -> Callable[[Any], Any]:
        def action(self: Any) -> Any:
            form = {key: values[0] for key, values in self.querystring.items()}
            try:
                return answer(self.region, form)
            except ApiError as error:
                return error.xml(), {"status": 400}

        return action

    served = {
        "create_placement_group": serve(groups.create),
        "describe_placement_groups": serve(groups.describe),
        "delete_placement_group": serve(lambda region, form: groups.delete(region, form, set())),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, action in served.items():
            patch.setattr(EC2Response, name, action, raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def without_pulumi(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no pulumi command, whatever this one has."""
    monkeypatch.setattr(deployment.shutil, "which", lambda _: None)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run programs in this process: the same run, without loading the SDK for each."""

    def here(request: Request, progress: Progress) -> Mapping[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            for key, value in deployment.environment(request.endpoint).items():
                patch.setenv(key, value)
            return deployment.run_program(request, progress)

    monkeypatch.setattr(deployment, "_by_sdk", here)


@pytest.fixture
def run(endpoint: str, tmp_path: Path, without_pulumi: None) -> Deploy:
    """Deploy phase 1 with one state file, against a cloud that starts empty."""
    _request(endpoint, "/moto-api/reset")

    def once(stack: str = "phase1", **overrides: Any) -> tuple[Inventory, list[Event]]:
        events: list[Event] = []
        inventory = deploy(
            stack,
            {**OVERRIDES, **{f"slipway:{key}": value for key, value in overrides.items()}},
            endpoint=endpoint,
            state_file=tmp_path / "state.json",
            progress=events.append,
        )
        return inventory, events

    return once


def _request(endpoint: str, path: str) -> None:
    import urllib.request  # noqa: PLC0415

    with urllib.request.urlopen(urllib.request.Request(endpoint + path, method="POST"), timeout=30):
        pass


def _client(endpoint: str, service: str, region: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="lab",
        aws_secret_access_key="lab",
    )


def _instances(endpoint: str, region: str) -> list[dict[str, Any]]:
    reservations = _client(endpoint, "ec2", region).describe_instances()["Reservations"]
    return [
        one
        for reservation in reservations
        for one in reservation["Instances"]
        if one["State"]["Name"] == "running"
    ]


def _operations(events: list[Event]) -> dict[str, list[str]]:
    done: dict[str, list[str]] = {}
    for event in events:
        if event.event == "resource":
            done.setdefault(event.operation, []).append(event.name)
    return done


REGIONS = {"ap-northeast-1": "binance-tokyo-01", "eu-west-1": "polymarket-dublin-01"}


def test_a_stack_is_made_once_and_kept(run: Deploy, endpoint: str) -> None:
    inventory, events = run()
    planned = {
        host.name: host for host in build_plan(load_catalogue(), load_settings("phase1", "simulated")).hosts
    }
    assert set(inventory.hosts) == set(planned) == set(REGIONS.values())
    for region, name in REGIONS.items():
        (instance,) = _instances(endpoint, region)
        live = inventory.hosts[name].live
        assert instance["InstanceId"] == live.instance_id
        assert instance["PrivateIpAddress"] == str(planned[name].private_address)
        assert instance["PublicIpAddress"] == str(live.public_address)
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert {"Key": "Name", "Value": name} in instance["Tags"]
        (interface,) = instance["NetworkInterfaces"]
        (group,) = (one["GroupId"] for one in interface["Groups"])
        ec2 = _client(endpoint, "ec2", region)
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        assert all(rule["IsEgress"] for rule in rules["SecurityGroupRules"])
        ports = {(rule["IpProtocol"], rule["FromPort"]) for rule in rules["SecurityGroupRules"]}
        assert ports == {(rule.protocol, rule.port) for rule in planned[name].egress}
        (default,) = ec2.describe_security_groups(
            Filters=[
                {"Name": "vpc-id", "Values": [instance["VpcId"]]},
                {"Name": "group-name", "Values": ["default"]},
            ]
        )["SecurityGroups"]
        assert default["IpPermissions"] == default["IpPermissionsEgress"] == []
        key = _client(endpoint, "kms", region).describe_key(KeyId="alias/slipway-phase1")["KeyMetadata"]
        rotation = _client(endpoint, "kms", region).get_key_rotation_status(KeyId=key["KeyId"])
        assert rotation["KeyRotationEnabled"]
        volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Encrypted"]
    assert set(_operations(events)) == {"create"}
    told = [shlex.split(one.text) for one in events if one.event == "command"]
    (up,) = (words for words in told if words[-4:] == ["up", "--yes", "--stack", "phase1"])
    # The project directory that the told command names is there, ready to be used.
    assert (Path(up[up.index("--cwd") + 1]) / "Pulumi.yaml").is_file()

    again, events = run()
    assert again == inventory
    assert set(_operations(events)) == {"same"}
    assert all(len(_instances(endpoint, region)) == 1 for region in REGIONS)


def test_changes_go_no_further_than_they_must(run_here: None, run: Deploy, endpoint: str) -> None:
    before, _ = run()
    after, events = run(owner="second-desk")
    operations = _operations(events)
    # A budget alone has no update in place here.
    remade = {name for kind in ("create", "delete", "replace") for name in operations.get(kind, [])}
    assert remade == {"phase1-budget"}
    assert "binance-tokyo-01-instance" in operations["update"]
    assert after.hosts["binance-tokyo-01"].live == before.hosts["binance-tokyo-01"].live
    for region in REGIONS:
        (instance,) = _instances(endpoint, region)
        assert {"Key": "Owner", "Value": "second-desk"} in instance["Tags"]


def test_what_vanished_is_made_again(run_here: None, run: Deploy, endpoint: str) -> None:
    before, _ = run()
    doomed = before.hosts["binance-tokyo-01"].live.instance_id
    _client(endpoint, "ec2", "ap-northeast-1").terminate_instances(InstanceIds=[doomed])
    after, events = run()
    assert _operations(events)["create"] == ["binance-tokyo-01-instance"]
    live = after.hosts["binance-tokyo-01"].live
    assert live.instance_id != doomed
    assert live.public_address == before.hosts["binance-tokyo-01"].live.public_address
    assert after.hosts["polymarket-dublin-01"] == before.hosts["polymarket-dublin-01"]
    (instance,) = _instances(endpoint, "ap-northeast-1")
    assert instance["PublicIpAddress"] == str(live.public_address)


def test_a_cloud_that_forgot_everything_is_filled_again(run_here: None, run: Deploy, endpoint: str) -> None:
    run()
    _request(endpoint, "/moto-api/reset")
    _, events = run()
    assert "binance-tokyo-01-instance" in _operations(events)["create"]
    assert all(len(_instances(endpoint, region)) == 1 for region in REGIONS)


def test_a_replaced_host_keeps_its_address(run_here: None, run: Deploy, endpoint: str) -> None:
    before, _ = run()
    after, events = run(venues={"polymarket": {"hosts": 1}, "binance": {"instance_type": "c8a.2xlarge"}})
    assert set(after.hosts) == set(before.hosts)
    operations = _operations(events)
    assert "binance-tokyo-01-instance" in operations["replace"]
    (instance,) = _instances(endpoint, "ap-northeast-1")
    assert instance["InstanceType"] == "c8a.2xlarge"
    assert instance["PublicIpAddress"] == str(before.hosts["binance-tokyo-01"].live.public_address)


def test_a_second_host_comes_and_goes(run_here: None, run: Deploy, endpoint: str) -> None:
    first, _ = run()
    two, _ = run(venues={"binance": {"hosts": 2}})
    assert set(two.hosts) == {*first.hosts, "binance-tokyo-02"}
    assert len(_instances(endpoint, "ap-northeast-1")) == 2
    back, events = run()
    assert back == first
    operations = _operations(events)
    assert "binance-tokyo-02-instance" in operations["delete"]
    assert operations["keep"] == ["binance-tokyo-02-eip"]
    assert len(_instances(endpoint, "ap-northeast-1")) == 1
    addresses = _client(endpoint, "ec2", "ap-northeast-1").describe_addresses()["Addresses"]
    assert str(two.hosts["binance-tokyo-02"].live.public_address) in {one["PublicIp"] for one in addresses}
    again, _ = run(venues={"binance": {"hosts": 2}})
    # The address that the venue allow-lists came back with the host.
    assert (
        again.hosts["binance-tokyo-02"].live.public_address
        == two.hosts["binance-tokyo-02"].live.public_address
    )


def test_a_killed_run_leaves_no_second_host(
    run_here: None, run: Deploy, endpoint: str, tmp_path: Path
) -> None:
    first, _ = run()
    # Killed between the cloud's answer and the note of it: the file says begun, the cloud has it.
    state = tmp_path / "state.json"
    document = json.loads(state.read_text())
    lost = [
        urn
        for urn in document["resources"]
        if urn.endswith(("tokyo-vpc", "tokyo-subnet", "tokyo-01-eni", "tokyo-01-instance", "tokyo-01-eip"))
    ]
    assert len(lost) == 5
    for urn in lost:
        del document["resources"][urn]
    state.write_text(json.dumps({**document, "pending": lost}))
    again, events = run()
    assert again == first
    assert sorted(_operations(events)["adopt"]) == sorted(urn.rsplit("::", 1)[1] for urn in lost)
    assert len(_instances(endpoint, "ap-northeast-1")) == 1


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"mode": "pretend"}, r"slipway:mode.*'pretend'.*simulated"),
        ({"modee": "simulated"}, "modee"),
        ({"venues": {"nowhere": {}}}, "nowhere"),
    ],
)
def test_bad_settings_are_told_before_anything_is_made(
    run: Deploy, endpoint: str, overrides: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeployError, match=r"(?s)stack phase1: .*" + told):
        run(**overrides)
    assert _instances(endpoint, "ap-northeast-1") == []


def test_an_unknown_stack_names_those_there_are(run: Deploy) -> None:
    with pytest.raises(DeployError, match=r"Pulumi\.phase9\.yaml: no such stack; there are .*phase1"):
        run("phase9")


def test_a_dead_cloud_is_told_in_one_line(tmp_path: Path, without_pulumi: None) -> None:
    with pytest.raises(DeployError, match=r"stack phase1: \S+ \(aws:\S+\) in \S+: Could not connect to the"):
        deploy("phase1", OVERRIDES, endpoint="http://127.0.0.1:9", state_file=tmp_path / "state.json")


def test_a_state_file_of_something_else_is_refused(run: Deploy, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 7}')
    with pytest.raises(DeployError, match=r"state\.json: not a state file of this version"):
        run()


def test_two_deployments_do_not_meet(run: Deploy, tmp_path: Path) -> None:
    with sole_writer(tmp_path / "state.json"), pytest.raises(DeployError, match="another deployment"):
        run()


def test_the_lab_never_acts_with_the_callers_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "theirs")
    environment = deployment.environment("http://127.0.0.1:5000")
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5000"
    assert environment["AWS_ACCESS_KEY_ID"] == "lab"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(environment)


FAKE_PULUMI = """#!/usr/bin/env python3
import json, os, pathlib, sys

here = pathlib.Path(__file__).parent
passphrase = pathlib.Path(os.environ["PULUMI_CONFIG_PASSPHRASE_FILE"])
seen = {
    "argv": sys.argv[1:],
    "environment": dict(os.environ),
    "passphrase": passphrase.read_text(),
    "mode": oct(passphrase.stat().st_mode & 0o777),
}
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(seen) + "\\n")
stack = pathlib.Path(sys.argv[2]) / "stacks" / "Pulumi.phase1.yaml"
if "select" in sys.argv:
    stack.write_text(stack.read_text() + "encryptionsalt: v1:salt\\n")
if "up" in sys.argv:
    print("Updating (phase1)", flush=True)
    if (here / "fail").exists():
        print("error: no quota for c8a", file=sys.stderr)
        sys.exit(255)
if "output" in sys.argv:
    print((here / "inventory.json").read_text())
"""


@pytest.fixture
def fake_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first on PATH, whose pulumi command records how it was called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    command = directory / "pulumi"
    command.write_text(FAKE_PULUMI)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    plan = build_plan(load_catalogue(), load_settings("phase1", "simulated"))
    hosts = {
        host.name: {
            "plan": host.model_dump(mode="json"),
            "live": {
                "instance_id": "i-1",
                "private_address": str(host.private_address),
                "public_address": "198.51.100.9",
            },
        }
        for host in plan.hosts
    }
    document = {"stack": "phase1", "phase": 1, "mode": "simulated", "hosts": hosts}
    (directory / "inventory.json").write_text(json.dumps(document))
    return directory


def test_the_pulumi_command_is_used_where_it_is(fake_pulumi: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    overrides = {
        **OVERRIDES,
        "venues": {"binance": {"instance_type": "c8a.2xlarge"}},
        "notify": ["a@example.com"],
    }
    committed = (STACKS_DIR / "Pulumi.phase1.yaml").read_text()
    arguments: dict[str, Any] = {
        "endpoint": "http://127.0.0.1:5000",
        "state_file": tmp_path / "lab" / "state.json",
        "progress": events.append,
    }
    inventory = deploy("phase1", overrides, **arguments)
    assert set(inventory.hosts) == set(REGIONS.values())
    calls = [json.loads(line) for line in (fake_pulumi / "calls").read_text().splitlines()]
    project = tmp_path / "lab" / "pulumi" / "phase1"
    base = ["--cwd", str(project), "--non-interactive"]
    shown = [call["argv"][len(base) :] for call in calls]
    assert all(call["argv"][: len(base)] == base for call in calls)
    assert shown[0] == ["login", f"file://{tmp_path}/lab/pulumi/state"]
    assert shown[1] == ["stack", "select", "--create", "phase1"]
    settings = {tuple(one[-2:]) for one in shown if one[:2] == ["config", "set"]}
    assert settings == {
        ("slipway:endpoint", "http://127.0.0.1:5000"),
        ("slipway:mode", "simulated"),
        ("slipway:notify[0]", "a@example.com"),
        ("slipway:public_key", PUBLIC_KEY),
        ("slipway:venues.binance.instance_type", "c8a.2xlarge"),
    }
    assert shown[-2] == ["up", "--yes", "--stack", "phase1"]
    assert shown[-1] == ["stack", "output", "inventory", "--json", "--stack", "phase1"]
    # What was told is what was run.
    told = [shlex.split(one.text) for one in events if one.event == "command"]
    assert [words[1:] for words in told[1:]] == [call["argv"] for call in calls]
    assert told[0][0] == "export"
    for assignment in told[0][1:]:
        key, value = assignment.split("=", 1)
        assert calls[0]["environment"][key] == value
    assert [one.text for one in events if one.event == "line"] == ["Updating (phase1)"]
    for call in calls:
        assert len(call["passphrase"]) >= 32
        assert call["mode"] == "0o600"
        assert call["passphrase"] not in json.dumps([call["argv"], call["environment"]])
        assert "PULUMI_CONFIG_PASSPHRASE" not in call["environment"]
        assert call["environment"]["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5000"
        assert call["environment"]["PULUMI_HOME"].startswith(str(tmp_path))
    assert (STACKS_DIR / "Pulumi.phase1.yaml").read_text() == committed
    assert (project / "infra" / "__main__.py").is_file()

    # A second deployment keeps the passphrase and the salt that the state was written with.
    deploy("phase1", overrides, **arguments)
    later = [json.loads(line) for line in (fake_pulumi / "calls").read_text().splitlines()]
    assert {call["passphrase"] for call in later} == {calls[0]["passphrase"]}
    assert "encryptionsalt: v1:salt" in (project / "stacks" / "Pulumi.phase1.yaml").read_text()


def test_a_failing_pulumi_command_is_told_with_its_own_words(fake_pulumi: Path, tmp_path: Path) -> None:
    (fake_pulumi / "fail").touch()
    with pytest.raises(
        DeployError, match=r"up --yes --stack phase1: ended with 255: error: no quota for c8a"
    ):
        deploy("phase1", OVERRIDES, endpoint="http://127.0.0.1:5000", state_file=tmp_path / "state.json")
