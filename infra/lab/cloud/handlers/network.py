"""Handlers of the network: VPC, default group, gateway, subnet, routes."""

# ruff: noqa: ARG002, D102 - what each method does is told once, in base.Handler

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.lab.cloud.handlers.base import (
    Cloud,
    Ec2Handler,
    Handler,
    HandlerError,
    Inputs,
    Made,
    given,
    none_if_missing,
    retag,
)


class Vpc(Ec2Handler):
    """``aws:ec2/vpc:Vpc``."""

    resource_type = "aws:ec2/vpc:Vpc"
    updates = frozenset({"tags", "enableDnsSupport", "enableDnsHostnames"})
    kind, describe, listed = "vpc", "describe_vpcs", "Vpcs"
    identity, ids = "VpcId", "VpcIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        ec2 = cloud.client("ec2")
        made = ec2.create_vpc(
            CidrBlock=inputs["cidrBlock"], TagSpecifications=self.tag_specification(inputs)
        )["Vpc"]
        self._names(cloud, made["VpcId"], inputs)
        return Made(made["VpcId"], self.outputs(made))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        retag(cloud, identity, old, new)
        self._names(cloud, identity, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_vpc(VpcId=identity))

    def _names(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        for key in ("enableDnsSupport", "enableDnsHostnames"):
            if inputs.get(key) is not None:
                cloud.client("ec2").modify_vpc_attribute(
                    **{"VpcId": identity, key[0].upper() + key[1:]: {"Value": inputs[key]}}
                )


class DefaultSecurityGroup(Ec2Handler):
    """``aws:ec2/defaultSecurityGroup:DefaultSecurityGroup``: not made but taken over, and emptied."""

    resource_type = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
    kind, describe, listed = "security-group", "describe_security_groups", "SecurityGroups"
    identity, ids = "GroupId", "GroupIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        if inputs.get("ingress") or inputs.get("egress"):
            raise HandlerError(f"{name}: the lab's handler only locks a default security group; it has rules")
        ec2 = cloud.client("ec2")
        filters = [
            {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
        groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if not groups:
            raise HandlerError(f"{name}: VPC {inputs['vpcId']} has no default security group")
        group = groups[0]
        if group["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(
                GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"]
            )
        retag(cloud, group["GroupId"], {}, inputs)
        return Made(group["GroupId"])

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        """Do nothing: a default group goes with its VPC."""


class InternetGateway(Ec2Handler):
    """``aws:ec2/internetGateway:InternetGateway``."""

    resource_type = "aws:ec2/internetGateway:InternetGateway"
    kind, describe, listed = "internet-gateway", "describe_internet_gateways", "InternetGateways"
    identity, ids = "InternetGatewayId", "InternetGatewayIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        ec2 = cloud.client("ec2")
        made = ec2.create_internet_gateway(TagSpecifications=self.tag_specification(inputs))
        identity = made["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
        return Made(identity)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        ec2 = cloud.client("ec2")
        none_if_missing(
            lambda: ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
        )
        none_if_missing(lambda: ec2.delete_internet_gateway(InternetGatewayId=identity))


class Subnet(Ec2Handler):
    """``aws:ec2/subnet:Subnet``."""

    resource_type = "aws:ec2/subnet:Subnet"
    updates = frozenset({"tags", "mapPublicIpOnLaunch"})
    kind, describe, listed = "subnet", "describe_subnets", "Subnets"
    identity, ids = "SubnetId", "SubnetIds"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "availabilityZone": entry["AvailabilityZone"],
            "availabilityZoneId": entry["AvailabilityZoneId"],
        }

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").create_subnet(
            VpcId=inputs["vpcId"],
            TagSpecifications=self.tag_specification(inputs),
            **given(
                CidrBlock=inputs.get("cidrBlock"),
                AvailabilityZoneId=inputs.get("availabilityZoneId"),
                AvailabilityZone=inputs.get("availabilityZone"),
            ),
        )["Subnet"]
        self._public(cloud, made["SubnetId"], inputs)
        return Made(made["SubnetId"], self.outputs(made))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        retag(cloud, identity, old, new)
        self._public(cloud, identity, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_subnet(SubnetId=identity))

    def _public(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        if inputs.get("mapPublicIpOnLaunch") is not None:
            cloud.client("ec2").modify_subnet_attribute(
                SubnetId=identity, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]}
            )


class RouteTable(Ec2Handler):
    """``aws:ec2/routeTable:RouteTable``, without inline routes."""

    resource_type = "aws:ec2/routeTable:RouteTable"
    kind, describe, listed = "route-table", "describe_route_tables", "RouteTables"
    identity, ids = "RouteTableId", "RouteTableIds"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").create_route_table(
            VpcId=inputs["vpcId"], TagSpecifications=self.tag_specification(inputs)
        )
        return Made(made["RouteTable"]["RouteTableId"])

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_route_table(RouteTableId=identity))


class Route(Handler):
    """``aws:ec2/route:Route`` to a gateway."""

    resource_type = "aws:ec2/route:Route"
    updates = frozenset()

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        cloud.client("ec2").create_route(
            RouteTableId=inputs["routeTableId"],
            DestinationCidrBlock=inputs["destinationCidrBlock"],
            GatewayId=inputs["gatewayId"],
        )
        return self._made(inputs)

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        tables = none_if_missing(
            lambda: cloud.client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])
        )
        routes = [route for table in (tables or {}).get("RouteTables", []) for route in table["Routes"]]
        there = any(
            route.get("DestinationCidrBlock") == inputs["destinationCidrBlock"]
            and route.get("GatewayId") == inputs["gatewayId"]
            for route in routes
        )
        return self._made(inputs) if there else None

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(
            lambda: cloud.client("ec2").delete_route(
                RouteTableId=inputs["routeTableId"], DestinationCidrBlock=inputs["destinationCidrBlock"]
            )
        )

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        return self.read(cloud, "", inputs)

    def _made(self, inputs: Inputs) -> Made:
        return Made(f"{inputs['routeTableId']}_{inputs['destinationCidrBlock']}")


class RouteTableAssociation(Handler):
    """``aws:ec2/routeTableAssociation:RouteTableAssociation`` of a subnet."""

    resource_type = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    updates = frozenset()

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )
        return Made(made["AssociationId"])

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        return self._associated(cloud, inputs, lambda entry: entry["RouteTableAssociationId"] == identity)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").disassociate_route_table(AssociationId=identity))

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        return self._associated(cloud, inputs, lambda entry: entry.get("SubnetId") == inputs["subnetId"])

    def _associated(self, cloud: Cloud, inputs: Inputs, wanted: Any) -> Made | None:
        tables = none_if_missing(
            lambda: cloud.client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])
        )
        for table in (tables or {}).get("RouteTables", []):
            for entry in table["Associations"]:
                if wanted(entry):
                    return Made(entry["RouteTableAssociationId"])
        return None
