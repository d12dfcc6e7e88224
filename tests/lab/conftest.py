"""Labs for tests: own prefix, own directory, any free port, and nothing left behind whatever fails."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from infra.lab import preflight
from infra.lab.life import Lab, LabDocument
from infra.lab.settings import LabSettings

PROBE_NAME = "probe.venues.lab"
PROBE_ADDRESS = IPv4Address("203.0.113.99")
IMAGE = "ami-0123456789abcdef0"
WAIT = {"Delay": 1, "MaxAttempts": 120}


class Account:
    """One operator of one region of a lab's cloud."""

    def __init__(self, document: LabDocument, region: str, network: str) -> None:
        self.ec2: Any = boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=document.endpoint,
            aws_access_key_id="lab",
            aws_secret_access_key="lab",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
        )
        self.network = IPv4Network(network)
        self.key = document.ssh_key.with_suffix(".pub").read_text()
        self.ec2.import_key_pair(KeyName="operator", PublicKeyMaterial=self.key.encode())
        self.vpc = self.ec2.create_vpc(CidrBlock=str(self.network))["Vpc"]["VpcId"]
        subnet = next(self.network.subnets(new_prefix=24))
        self.subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=str(subnet))["Subnet"]["SubnetId"]
        self.group = self.ec2.create_security_group(GroupName="hosts", Description="-", VpcId=self.vpc)[
            "GroupId"
        ]
        self.ec2.revoke_security_group_egress(
            GroupId=self.group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=self.subnet)

    def permission(self, port: int) -> list[dict[str, Any]]:
        """A rule for one TCP port and every address."""
        return [
            {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ]

    def launch(self, name: str, last: int, **more: Any) -> str:
        """Run an instance with the address that ends in ``last``, and wait until it runs."""
        instance = self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="c7i.large",
            MinCount=1,
            MaxCount=1,
            KeyName="operator",
            SubnetId=self.subnet,
            PrivateIpAddress=str(self.network.network_address + last),
            SecurityGroupIds=[self.group],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
            **more,
        )["Instances"][0]
        assert instance["State"]["Name"] == "pending"
        self.wait("instance_running", instance["InstanceId"])
        return str(instance["InstanceId"])

    def wait(self, state: str, instance: str) -> None:
        """Wait for an instance's state as AWS's own clients do."""
        self.ec2.get_waiter(state).wait(InstanceIds=[instance], WaiterConfig=WAIT)

    def give_elastic_address(self, instance: str) -> str:
        """Allocate an Elastic IP and associate it."""
        address = self.ec2.allocate_address(Domain="vpc")
        self.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)
        return str(address["PublicIp"])

    def describe(self, instance: str) -> dict[str, Any]:
        """The instance as AWS's clients see it."""
        answer: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[instance])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found


class Bench:
    """A lab with what a test does to it."""

    probe_name = PROBE_NAME
    probe_address = PROBE_ADDRESS

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def up(self) -> LabDocument:
        """Bring the lab up with an address for listeners."""
        return self.lab.up(names={PROBE_NAME: PROBE_ADDRESS})

    def account(self, region: str, network: str) -> Account:
        """An operator with a VPC in a region."""
        document = self.lab.document()
        assert document is not None
        return Account(document, region, network)

    def ssh(self, host: str, command: str, *, check: bool = True) -> str:
        """Run a shell command on a host as the login user and return what it printed."""
        done = subprocess.run(
            self.lab.ssh_command(host, command), capture_output=True, text=True, timeout=60, check=False
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def reaches(self, host: str, address: object, port: int) -> bool:
        """Whether a host can open a TCP connection (that ssh works is asserted)."""
        return self.ssh(host, f"nc -n -z -w 1 {address} {port} && echo yes || echo no") == "yes"

    @contextlib.contextmanager
    def listener(self, port: int) -> Iterator[Callable[[], str]]:
        """A TCP listener in the venues' namespace; call it for the source address of its next visitor."""
        code = (
            "import socket\n"
            f"server = socket.create_server(('{PROBE_ADDRESS}', {port}))\n"
            "print('ready', flush=True)\n"
            "while True:\n"
            "    peer = server.accept()\n"
            "    print(peer[1][0], flush=True)\n"
        )
        command = ["ip", "netns", "exec", self.lab.settings.venues, "python3", "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                output = process.stdout
                assert output.readline() == "ready\n"
                yield lambda: output.readline().strip()
            finally:
                process.kill()

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a condition; fail when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true after {seconds} s"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LabSettings]:
    """Settings of a lab that cannot meet another; the image cache is shared, for it is read-only."""

    def make(letter: str) -> LabSettings:
        return LabSettings(
            directory=tmp_path_factory.mktemp("lab") / "state",
            cache=LabSettings.from_environment().cache,
            prefix=f"{letter}{os.getpid():x}"[:8],
            port=0,
        )

    return make


@pytest.fixture(scope="session")
def make_bench(
    make_settings: Callable[[str], LabSettings],
) -> Callable[[str], contextlib.AbstractContextManager[Bench]]:
    """A context in which a lab may be brought up; at its end it is taken down and must have left nothing."""
    if os.geteuid() != 0:
        pytest.skip("needs root")

    @contextlib.contextmanager
    def make(letter: str) -> Iterator[Bench]:
        lab = Lab(make_settings(letter), venues=())
        problems = preflight.check(lab.settings)
        if problems:
            pytest.skip("; ".join(problems))
        try:
            yield Bench(lab)
        finally:
            lab.down()
        assert lab.remains() == []

    return make


@pytest.fixture(scope="session")
def machine() -> Callable[[], dict[str, str]]:
    """What a lab must leave as it was: interfaces, routes, rules and settings of the root namespace."""

    def look() -> dict[str, str]:
        commands = {
            "links": ["ip", "-o", "link"],
            "addresses": ["ip", "-o", "-4", "address"],
            "routes": ["ip", "route"],
            "rules": ["nft", "list", "ruleset"],
        }
        found = {
            name: subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for name, command in commands.items()
        }
        return found | {"forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text()}

    return look
