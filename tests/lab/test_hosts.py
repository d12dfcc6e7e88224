"""A lab with two VPCs: hosts boot, are reached, and are held to what the account says."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


class Region:
    """Two regions with one host each: ``tokyo`` has an Elastic IP, ``dublin`` gets one in a test."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.tokyo = bench.account("ap-northeast-1", "10.121.0.0/16")
        self.dublin = bench.account("eu-west-1", "10.122.0.0/16")
        self.tokyo.ec2.create_placement_group(GroupName="near", Strategy="cluster")
        for account in (self.tokyo, self.dublin):
            account.ec2.authorize_security_group_egress(
                GroupId=account.group, IpPermissions=account.permission(8443)
            )
        self.one = self.tokyo.launch("one", 10, Placement={"GroupName": "near"})
        self.two = self.dublin.launch("two", 10)
        self.elastic = self.tokyo.give_elastic_address(self.one)


@pytest.fixture(scope="module")
def region(make_bench):
    with make_bench("h") as bench:
        bench.up()
        yield Region(bench)


@pytest.fixture(scope="module")
def bench(region):
    return region.bench


def test_the_login_user_gets_in_and_may_become_root(bench):
    assert bench.ssh("one", "id -un; sudo id -un; hostname").split() == ["admin", "root", "one"]


def test_the_whole_system_is_up(bench):
    assert bench.ssh("one", "systemctl is-system-running --wait") == "running"


def test_a_host_that_shows_another_key_is_refused(bench, region):
    command = bench.lab.ssh_command("one", "true")
    known = bench.lab.settings.hosts / region.one / "known_hosts"
    other = bench.lab.settings.hosts / region.two / "root/etc/ssh/ssh_host_ed25519_key.pub"
    known.write_text(f"10.121.0.10 {other.read_text()}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    assert "verification failed" in done.stderr.lower()


def test_hosts_share_no_identity(bench):
    look = "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub"
    one, two = bench.ssh("one", look).split(), bench.ssh("two", look).split()
    assert len(one[0]) == 32
    assert one[0] != two[0]
    assert one[2] != two[2]
    assert bench.ssh("one", "sudo test -e /var/lib/systemd/credential.secret || echo none") == "none"


def test_the_console_shows_the_host_keys_as_cloud_init_does(bench, region):
    output = region.tokyo.ec2.get_console_output(InstanceId=region.one)["Output"]
    _, _, block = output.partition("-----BEGIN SSH HOST KEY KEYS-----\n")
    keys, end, _ = block.partition("-----END SSH HOST KEY KEYS-----")
    assert end
    assert bench.ssh("one", "cat /etc/ssh/ssh_host_ed25519_key.pub") in keys.splitlines()


def test_the_instance_is_described_as_it_was_asked_for(region):
    found = region.tokyo.describe(region.one)
    assert found["State"]["Name"] == "running"
    assert found["Placement"]["GroupName"] == "near"
    assert found["PrivateIpAddress"] == "10.121.0.10"
    assert found["PublicIpAddress"] == region.elastic
    assert region.elastic.startswith("198.51.100.")


def test_a_venue_sees_the_elastic_address(bench, region):
    with bench.listener(8443) as visitor:
        assert bench.reaches("one", bench.probe_address, 8443)
        assert visitor() == region.elastic


def test_the_security_group_is_in_force_when_the_call_returns(bench, region):
    rule = {"GroupId": region.tokyo.group, "IpPermissions": region.tokyo.permission(8444)}
    with bench.listener(8444):
        assert not bench.reaches("one", bench.probe_address, 8444)
        region.tokyo.ec2.authorize_security_group_egress(**rule)
        assert bench.reaches("one", bench.probe_address, 8444)
        region.tokyo.ec2.revoke_security_group_egress(**rule)
        assert not bench.reaches("one", bench.probe_address, 8444)


def test_without_an_elastic_address_there_is_no_way_out(bench, region):
    with bench.listener(8443) as visitor:
        assert not bench.reaches("two", bench.probe_address, 8443)
        address = region.dublin.give_elastic_address(region.two)
        assert bench.reaches("two", bench.probe_address, 8443)
        assert visitor() == address
        allocation = region.dublin.ec2.describe_addresses(PublicIps=[address])["Addresses"][0]
        region.dublin.ec2.disassociate_address(AssociationId=allocation["AssociationId"])
        assert not bench.reaches("two", bench.probe_address, 8443)


def test_without_a_route_to_an_internet_gateway_there_is_no_way_out(bench, region):
    tables = region.tokyo.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [region.tokyo.subnet]}]
    )["RouteTables"]
    route = {"RouteTableId": tables[0]["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    gateway = next(r["GatewayId"] for r in tables[0]["Routes"] if r["DestinationCidrBlock"] == "0.0.0.0/0")
    with bench.listener(8443):
        region.tokyo.ec2.delete_route(**route)
        assert not bench.reaches("one", bench.probe_address, 8443)
        region.tokyo.ec2.create_route(**route, GatewayId=gateway)
        assert bench.reaches("one", bench.probe_address, 8443)


def test_two_vpcs_do_not_reach_each_other_whatever_their_groups_allow(bench, region):
    for account in (region.tokyo, region.dublin):
        account.ec2.authorize_security_group_egress(
            GroupId=account.group, IpPermissions=account.permission(22)
        )
        account.ec2.authorize_security_group_ingress(
            GroupId=account.group, IpPermissions=account.permission(22)
        )
    assert not bench.reaches("one", "10.122.0.10", 22)
    assert not bench.reaches("two", "10.121.0.10", 22)


def test_hosts_of_one_subnet_meet_the_security_group_too(bench, region):
    ec2, group = region.tokyo.ec2, region.tokyo.group
    neighbour = region.tokyo.launch("neighbour", 11)
    listen = "nohup nc -lk 8443 >/dev/null 2>&1 </dev/null & sleep 0; ss -Hltn sport = :8443"
    bench.until(lambda: "8443" in bench.ssh("neighbour", listen, check=False))
    assert not bench.reaches("one", "10.121.0.11", 8443)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=region.tokyo.permission(8443))
    assert bench.reaches("one", "10.121.0.11", 8443)
    ec2.terminate_instances(InstanceIds=[neighbour])
    region.tokyo.wait("instance_terminated", neighbour)
    assert not (bench.lab.settings.hosts / neighbour).exists()
    assert bench.lab.settings.namespace(neighbour) not in bench.lab.fabric.namespaces()


def test_a_host_cannot_speak_with_anothers_address(bench):
    bench.ssh("one", "sudo ip address add 10.121.0.77/24 dev eth0")
    try:
        with bench.listener(8443):
            probe = f"nc -n -z -w 1 -s 10.121.0.77 {bench.probe_address} 8443 && echo yes || echo no"
            assert bench.ssh("one", probe) == "no"
            assert bench.reaches("one", bench.probe_address, 8443)
    finally:
        bench.ssh("one", "sudo ip address del 10.121.0.77/24 dev eth0")


def test_names_time_and_metadata_are_where_aws_has_them(bench):
    assert bench.ssh("one", f"getent hosts {bench.probe_name}").split()[0] == str(bench.probe_address)
    assert bench.ssh("one", "getent hosts example.com || echo unknown") == "unknown"
    ask = (
        "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(5);"
        "s.sendto(bytes([0x23])+bytes(47),('169.254.169.123',123));r=s.recv(64);print(len(r),r[0]&7,r[1])"
    )
    assert bench.ssh("one", f'python3 -c "{ask}"') == "48 4 3"
    refused = "nc -n -z -v -w 5 169.254.169.254 80 2>&1 || true"
    assert "refused" in bench.ssh("one", refused)


def test_a_reboot_keeps_the_disk_and_clears_what_lives_in_memory(bench, region):
    bench.ssh(
        "two", "echo kept | sudo tee /etc/kept; sudo touch /run/lost; sudo nft add table inet lost; sync"
    )
    before = bench.ssh("two", "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestamp")
    region.dublin.ec2.reboot_instances(InstanceIds=[region.two])
    bench.until(lambda: bench.ssh("two", "test -e /run/lost || echo lost", check=False) == "lost")
    assert bench.ssh("two", "cat /etc/kept; sudo nft list tables") == "kept"
    assert (
        bench.ssh("two", "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestamp")
        != before
    )
    assert region.dublin.describe(region.two)["State"]["Name"] == "running"


def test_a_reboot_from_inside_comes_back(bench):
    bench.ssh("two", "sudo touch /run/lost")
    bench.ssh("two", "sudo systemctl reboot", check=False)
    bench.until(lambda: bench.ssh("two", "test -e /run/lost || echo lost", check=False) == "lost")


def test_a_host_that_switches_itself_off_is_stopped_and_starts_again(bench, region):
    bench.ssh("two", "echo kept | sudo tee /etc/kept; sudo systemctl poweroff", check=False)
    region.dublin.wait("instance_stopped", region.two)
    assert region.dublin.describe(region.two)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    region.dublin.ec2.start_instances(InstanceIds=[region.two])
    region.dublin.wait("instance_running", region.two)
    assert bench.ssh("two", "cat /etc/kept") == "kept"


def test_stop_and_start_by_the_account(bench, region):
    region.dublin.ec2.stop_instances(InstanceIds=[region.two])
    region.dublin.wait("instance_stopped", region.two)
    assert not bench.ssh("two", "true", check=False)
    region.dublin.ec2.start_instances(InstanceIds=[region.two])
    region.dublin.wait("instance_running", region.two)
    assert bench.ssh("two", "hostname") == "two"


def test_an_address_that_another_host_has_ends_the_launch_with_the_reason(region):
    account = region.bench.account("us-east-1", "10.121.0.0/16")
    launched = account.ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        InstanceType="c7i.large",
        MinCount=1,
        MaxCount=1,
        KeyName="operator",
        SubnetId=account.subnet,
        PrivateIpAddress="10.121.0.10",
    )["Instances"][0]["InstanceId"]
    account.wait("instance_terminated", launched)
    found = account.describe(launched)
    assert found["StateReason"]["Code"] == "Server.InternalError"
    assert "10.121.0.10" in found["StateReason"]["Message"]
    assert launched in region.bench.lab.status().failures


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"Placement": {"GroupName": "far"}}, "InvalidPlacementGroup.Unknown"),
        ({"InstanceType": "c99.huge"}, "InvalidInstanceType.NotFound"),
    ],
)
def test_a_launch_that_aws_would_refuse_is_refused(region, change, code):
    request = {
        "ImageId": "ami-0123456789abcdef0",
        "InstanceType": "c7i.large",
        "KeyName": "operator",
        "SubnetId": region.tokyo.subnet,
        "MinCount": 1,
        "MaxCount": 1,
    }
    with pytest.raises(ClientError) as caught:
        region.tokyo.ec2.run_instances(**(request | change))
    assert caught.value.response["Error"]["Code"] == code


def test_placement_groups_live_as_on_aws(region):
    ec2 = region.dublin.ec2
    tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "phase", "Value": "1"}]}]
    ec2.create_placement_group(GroupName="a", Strategy="spread", TagSpecifications=tags)
    with pytest.raises(ClientError, match="Duplicate"):
        ec2.create_placement_group(GroupName="a", Strategy="spread")
    found = ec2.describe_placement_groups(Filters=[{"Name": "tag:phase", "Values": ["1"]}])["PlacementGroups"]
    assert [(group["GroupName"], group["Strategy"], group["State"]) for group in found] == [
        ("a", "spread", "available")
    ]
    ec2.delete_placement_group(GroupName="a")
    with pytest.raises(ClientError, match="Unknown"):
        ec2.describe_placement_groups(GroupNames=["a"])
    with pytest.raises(ClientError, match="InUse"):
        region.tokyo.ec2.delete_placement_group(GroupName="near")


def test_up_again_changes_nothing(bench):
    before = bench.lab.document()
    bench.ssh("one", "sudo touch /run/same-boot")
    after = bench.up()
    assert after == before
    assert bench.lab.status().state == "up"
    assert bench.ssh("one", "ls /run/same-boot")


def test_status_tells_each_host(bench, region):
    hosts = {host.name: host for host in bench.lab.status().hosts if host.state == "running"}
    assert {"one", "two"} <= set(hosts)
    assert hosts["one"].instance_id == region.one
    assert str(hosts["one"].public_address) == region.elastic
    with pytest.raises(Exception, match=r"no host 'three'; there are: .*one"):
        bench.lab.ssh_command("three")
