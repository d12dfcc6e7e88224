"""Handlers of security groups and their egress rules."""

# ruff: noqa: ARG002, D102 - what each method does is told once, in base.Handler

from __future__ import annotations

from infra.lab.cloud.handlers.base import (
    Cloud,
    Ec2Handler,
    HandlerError,
    Inputs,
    Made,
    given,
    none_if_missing,
    physical_name,
)


class SecurityGroup(Ec2Handler):
    """``aws:ec2/securityGroup:SecurityGroup``.

    As the AWS provider does, it takes away the rule that lets everything out, which EC2 puts into each new
    group: a group without rules lets nothing out.
    """

    resource_type = "aws:ec2/securityGroup:SecurityGroup"
    kind, describe, listed = "security-group", "describe_security_groups", "SecurityGroups"
    identity, ids = "GroupId", "GroupIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        if inputs.get("ingress") or inputs.get("egress"):
            raise HandlerError(f"{name}: inline rules are not supported; declare each rule as a resource")
        ec2 = cloud.client("ec2")
        identity = ec2.create_security_group(
            GroupName=physical_name(name, inputs.get("name"), limit=255),
            Description=inputs.get("description") or "Managed by Pulumi",
            VpcId=inputs["vpcId"],
            TagSpecifications=self.tag_specification(inputs),
        )["GroupId"]
        self._close(cloud, identity)
        return Made(identity)

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        made = super().find(cloud, inputs)
        if made is not None:
            self._close(cloud, made.id)
        return made

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_security_group(GroupId=identity))

    def _close(self, cloud: Cloud, identity: str) -> None:
        ec2 = cloud.client("ec2")
        group = ec2.describe_security_groups(GroupIds=[identity])["SecurityGroups"][0]
        everything = [rule for rule in group["IpPermissionsEgress"] if rule["IpProtocol"] == "-1"]
        if everything:
            ec2.revoke_security_group_egress(GroupId=identity, IpPermissions=everything)


class SecurityGroupEgressRule(Ec2Handler):
    """``aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule`` to one IPv4 network."""

    resource_type = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    kind, describe, listed = "security-group-rule", "describe_security_group_rules", "SecurityGroupRules"
    identity, ids = "SecurityGroupRuleId", "SecurityGroupRuleIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        permission = given(
            IpProtocol=inputs["ipProtocol"],
            FromPort=_port(inputs.get("fromPort")),
            ToPort=_port(inputs.get("toPort")),
            IpRanges=[given(CidrIp=inputs["cidrIpv4"], Description=inputs.get("description"))],
        )
        rules = cloud.client("ec2").authorize_security_group_egress(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[permission],
            TagSpecifications=self.tag_specification(inputs),
        )["SecurityGroupRules"]
        return Made(rules[0]["SecurityGroupRuleId"])

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        rules = self._describe(cloud, Filters=[{"Name": "group-id", "Values": [inputs["securityGroupId"]]}])[
            "SecurityGroupRules"
        ]
        for rule in rules:
            same = (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), rule.get("CidrIpv4"))
            if rule["IsEgress"] and same == (
                inputs["ipProtocol"],
                _port(inputs.get("fromPort")),
                _port(inputs.get("toPort")),
                inputs["cidrIpv4"],
            ):
                return Made(rule["SecurityGroupRuleId"])
        return None

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(
            lambda: cloud.client("ec2").revoke_security_group_egress(
                GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[identity]
            )
        )


def _port(value: float | None) -> int | None:
    """Return a port as boto3 takes it: Pulumi's wire format knows only floating point numbers."""
    return None if value is None else int(value)
