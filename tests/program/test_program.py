"""The program over a plan made by hand: structure, providers, security, and the document it exports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.components.host import OpenPort, open_ports
from infra.plan.inventory import Inventory
from infra.plan.model import DeploymentPlan, EgressRule
from infra.plan.settings import CloudSettings
from infra.program import ProgramError, build, whole_cores


def test_every_resource_has_the_provider_of_its_region(sample_run: Any, sample_plan: DeploymentPlan) -> None:
    resources = [one for one in sample_run.registered if one.custom and one.type != "pulumi:providers:aws"]
    assert len(resources) > 30
    assert [one.urn for one in resources if not one.provider] == []
    for host in sample_plan.hosts:
        made = [one for one in resources if host.name in one.name]
        assert made
        assert {one.region for one in made} == {host.region}


def test_children_have_their_component_as_parent_and_no_alias(sample_run: Any) -> None:
    for one in sample_run.registered:
        assert one.aliases == 0, one.urn
        if one.custom and one.type != "pulumi:providers:aws":
            assert one.parent.rsplit("::", 2)[-2].rsplit("$", 1)[-1].startswith("slipway:"), one.urn


def test_the_account_is_guarded_and_aws_is_the_default(sample_run: Any) -> None:
    for provider in sample_run.of("aws"):
        assert json.loads(provider.inputs["allowedAccountIds"]) == ["123456789012"]
        assert "endpoints" not in provider.inputs
        assert provider.inputs.get("skipCredentialsValidation") != "true"


def test_an_endpoint_is_given_to_every_provider(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings
) -> None:
    settings = cloud_settings.model_copy(update={"endpoint": "http://127.0.0.1:5000", "account": None})
    run = run_program(lambda: {"inventory": build(sample_plan, settings).inventory})
    assert len(run.of("aws")) == 2
    for provider in run.of("aws"):
        (endpoints,) = json.loads(provider.inputs["endpoints"])
        assert set(endpoints.values()) == {"http://127.0.0.1:5000"}
        assert {"ec2", "iam", "kms", "sts"} <= set(endpoints)
        assert "allowedAccountIds" not in provider.inputs


def test_nothing_may_connect_to_a_host(sample_run: Any) -> None:
    assert not sample_run.of("SecurityGroupIngressRule")
    for group in sample_run.of("SecurityGroup"):
        assert not group.inputs.get("ingress")
        assert not group.inputs.get("egress"), "inline rules fight with rule resources"
    for group in sample_run.of("DefaultSecurityGroup"):
        assert group.inputs["ingress"] == []
        assert group.inputs["egress"] == []
    assert len(sample_run.of("DefaultSecurityGroup")) == len(sample_run.of("Vpc"))


def test_egress_is_scoped_to_planned_ports(sample_run: Any) -> None:
    rules = sample_run.of("SecurityGroupEgressRule")
    seen = sorted(
        (rule.inputs["ipProtocol"], rule.inputs["fromPort"], rule.inputs["cidrIpv4"]) for rule in rules
    )
    one_host = [("tcp", 443, "0.0.0.0/0"), ("tcp", 9443, "0.0.0.0/0"), ("udp", 123, "169.254.169.123/32")]
    assert seen == sorted(one_host * 2)
    for rule in rules:
        assert rule.inputs["fromPort"] == rule.inputs["toPort"]


def test_an_instance_is_closed_encrypted_and_pinned(sample_run: Any) -> None:
    instances = sample_run.of("Instance")
    assert len(instances) == 2
    for instance in instances:
        inputs = instance.inputs
        metadata = inputs["metadataOptions"]
        assert metadata["httpTokens"] == "required"
        assert metadata["httpPutResponseHopLimit"] == 1
        assert inputs["rootBlockDevice"]["encrypted"] is True
        assert inputs["rootBlockDevice"]["volumeType"] == "gp3"
        assert inputs["rootBlockDevice"]["kmsKeyId"].startswith("arn:aws:kms:")
        assert inputs["ebsOptimized"] is True
        assert inputs["monitoring"] is True
        assert inputs["primaryNetworkInterface"]["networkInterfaceId"].endswith("-eni-id")
        assert "associatePublicIpAddress" not in inputs
        assert "userData" not in inputs
        assert set(instance.ignore_changes) == {"ami", "userData"}
        assert inputs["placementGroup"].endswith("-cluster-id")


def test_a_virtual_host_runs_one_thread_a_core(sample_run: Any, sample_plan: DeploymentPlan) -> None:
    for instance in sample_run.of("Instance"):
        assert instance.inputs["cpuOptions"] == {"coreCount": 4, "threadsPerCore": 1}
    # Four vCPUs that are two cores of two threads.
    assert whole_cores(sample_plan.hosts[0].model_copy(update={"instance_type": "c7i.xlarge"})) == 2
    assert whole_cores(sample_plan.hosts[0].model_copy(update={"instance_type": "t3.small"})) is None


def test_the_address_that_venues_know_cannot_be_lost(sample_run: Any) -> None:
    addresses = sample_run.of("Eip")
    assert len(addresses) == 2
    for address in addresses:
        assert address.protect
        assert address.retain
    others = [one for one in sample_run.registered if one.protect and one.type != addresses[0].type]
    assert others == [], "a protected host could not be replaced"
    for association in sample_run.of("EipAssociation"):
        assert association.inputs["networkInterfaceId"].endswith("-eni-id")


def test_the_network_is_public_by_zone_id_without_nat(sample_run: Any) -> None:
    assert not sample_run.of("NatGateway")
    zones = {subnet.inputs["availabilityZoneId"] for subnet in sample_run.of("Subnet")}
    assert zones == {"apne1-az4", "euw1-az1"}
    for subnet in sample_run.of("Subnet"):
        assert "availabilityZone" not in subnet.inputs
        assert subnet.inputs["mapPublicIpOnLaunch"] is False
    for route in sample_run.of("Route"):
        assert route.inputs["gatewayId"].endswith("-igw-id")


def test_a_host_waits_for_its_way_out_and_its_role(sample_run: Any) -> None:
    for interface in sample_run.of("NetworkInterface"):
        assert any("route" in urn.rsplit("::", 1)[1] for urn in interface.dependencies)
    for instance in sample_run.of("Instance"):
        assert any(urn.endswith("-role-policy") for urn in instance.dependencies)


def test_a_role_reads_its_own_parameters_with_its_own_key(sample_run: Any) -> None:
    policies = {one.name: json.loads(one.inputs["policy"]) for one in sample_run.of("RolePolicy")}
    assert len(policies) == 2
    document = policies["binance-tokyo-01-role-policy"]
    by_sid = {statement["Sid"]: statement for statement in document["Statement"]}
    own = ["arn:aws:ssm:ap-northeast-1:123456789012:parameter/slipway/phase1/binance/api_key"]
    assert by_sid["ReadOwnParameters"]["Resource"] == own
    decrypt = by_sid["DecryptOwnParameters"]
    assert decrypt["Action"] == "kms:Decrypt"
    assert decrypt["Resource"].endswith("key/ap-northeast-1-key-id")
    assert decrypt["Condition"]["StringEquals"]["kms:EncryptionContext:PARAMETER_ARN"] == own
    for statement in document["Statement"]:
        if statement["Resource"] == "*":
            actions = statement["Action"]
            assert not [one for one in actions if "Parameter" in one or one.startswith("kms:") or "*" in one]
    # The managed policy for Session Manager reads every parameter of the account.
    assert not sample_run.of("RolePolicyAttachment")


def test_keys_rotate_and_everything_bears_the_stack_tag(sample_run: Any) -> None:
    assert all(key.inputs["enableKeyRotation"] is True for key in sample_run.of("Key"))
    untaggable = {"Route", "RouteTableAssociation", "EipAssociation", "RolePolicy", "Alias", "aws"}
    for one in sample_run.registered:
        if one.custom and one.type.rsplit(":", 1)[-1] not in untaggable:
            tags = one.inputs["tags"]
            assert tags["Stack"] == "phase1", one.urn
            assert tags["Project"] == "slipway", one.urn
            assert tags["Name"], one.urn
    instances = {one.name: one.inputs["tags"] for one in sample_run.of("Instance")}
    assert instances["binance-tokyo-01-instance"]["Venue"] == "binance"
    assert instances["binance-tokyo-01-instance"]["Name"] == "binance-tokyo-01"


def test_the_budget_warns_before_and_after(sample_run: Any) -> None:
    (budget,) = sample_run.of("Budget")
    assert budget.inputs["limitAmount"] == "900"
    assert budget.inputs["costFilters"] == [{"name": "TagKeyValue", "values": ["user:Stack$phase1"]}]
    warnings = {(one["notificationType"], one["threshold"]) for one in budget.inputs["notifications"]}
    assert warnings == {("ACTUAL", 80), ("FORECASTED", 100), ("ACTUAL", 100)}


def test_each_host_has_a_status_alarm(sample_run: Any) -> None:
    watched = {one.inputs["dimensions"]["InstanceId"] for one in sample_run.of("MetricAlarm")}
    assert watched == {"binance-tokyo-01-instance-id", "polymarket-dublin-01-instance-id"}
    assert {one.inputs["treatMissingData"] for one in sample_run.of("MetricAlarm")} == {"breaching"}


def test_the_inventory_holds_the_plan_and_what_was_given(
    sample_run: Any, sample_plan: DeploymentPlan
) -> None:
    exported = sample_run.outputs["inventory"]
    inventory = Inventory.model_validate_json(json.dumps(exported))
    assert set(inventory.hosts) == {host.name for host in sample_plan.hosts}
    for host in sample_plan.hosts:
        live = inventory.hosts[host.name].live
        assert inventory.hosts[host.name].plan == host
        assert live.private_address == host.private_address
        assert str(live.public_address) == "198.51.100.7"
        assert live.instance_id == f"{host.name}-instance-id"
    assert inventory.model_dump(mode="json") == exported


def test_a_colocated_machine_is_in_the_inventory_without_a_resource(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings
) -> None:
    colo = sample_plan.hosts[0].model_copy(update={"kind": "external", "elastic_address": False})
    plan = sample_plan.model_copy(update={"hosts": (colo, sample_plan.hosts[1])})
    run = run_program(lambda: {"inventory": build(plan, cloud_settings).inventory})
    assert [one.name for one in run.of("Instance")] == ["polymarket-dublin-01-instance"]
    live = Inventory.model_validate(run.outputs["inventory"]).hosts[colo.name].live
    assert live.instance_id is None
    assert live.public_address is None
    assert live.private_address == colo.private_address


def test_a_preview_registers_the_same_resources_and_no_inventory(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings, sample_run: Any
) -> None:
    preview = run_program(lambda: {"inventory": build(sample_plan, cloud_settings).inventory}, preview=True)
    assert {one.urn for one in preview.registered} == {one.urn for one in sample_run.registered}
    assert preview.outputs["inventory"] is None


@pytest.mark.parametrize(("mode", "guarded"), [("simulated", False), ("test", False), ("live", True)])
def test_only_live_hosts_refuse_termination(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings, mode: str, guarded: bool
) -> None:
    plan = sample_plan.model_copy(update={"mode": mode})
    run = run_program(lambda: {"inventory": build(plan, cloud_settings).inventory})
    assert {one.inputs["disableApiTermination"] for one in run.of("Instance")} == {guarded}


def test_burstable_hosts_get_no_cluster_group(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings
) -> None:
    hosts = tuple(host.model_copy(update={"instance_type": "t3.small"}) for host in sample_plan.hosts)
    plan = sample_plan.model_copy(update={"hosts": hosts})
    run = run_program(lambda: {"inventory": build(plan, cloud_settings).inventory})
    assert not run.of("PlacementGroup")
    assert all("placementGroup" not in one.inputs for one in run.of("Instance"))


def test_a_host_needs_a_login_key(
    run_program: Any, sample_plan: DeploymentPlan, cloud_settings: CloudSettings
) -> None:
    settings = cloud_settings.model_copy(update={"public_key": None})
    with pytest.raises(ProgramError, match=r"phase1: slipway:public_key is not set"):
        run_program(lambda: {"inventory": build(sample_plan, settings).inventory})


def test_a_name_opens_a_port_for_everyone_and_an_address_only_for_itself() -> None:
    def rule(**values: Any) -> EgressRule:
        return EgressRule(user="x", purpose="y", **values)

    ports = open_ports(
        [
            rule(protocol="tcp", port=443, hostname="a.example"),
            rule(protocol="tcp", port=443, address="192.0.2.1"),
            rule(protocol="udp", port=53, address="192.0.2.2"),
        ]
    )
    assert ports == (OpenPort("tcp", 443, "0.0.0.0/0"), OpenPort("udp", 53, "192.0.2.2/32"))
    assert len({port.key for port in ports}) == len(ports)
