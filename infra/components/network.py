"""A venue's network: one public subnet in one zone, straight to the internet gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class NetworkArgs:
    """Addresses (CIDR) and the zone by **id**: zone names are labels that differ from account to account."""

    cidr: str
    subnet: str
    zone_id: str
    tags: Mapping[str, str]


class VenueNetwork(pulumi.ComponentResource):
    """VPC, subnet, internet gateway and route; the default security group is stripped of every rule.

    There is no NAT gateway: it would add a hop to each order, and each host has an address of its own
    that the venue allow-lists.
    """

    vpc_id: pulumi.Output[str]
    subnet_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:network:VenueNetwork", name, None, opts)

        def tags(part: str) -> dict[str, str]:
            return {**args.tags, "Name": f"{name}-{part}"}

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=False,
            tags=tags("vpc"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default-sg",
            vpc_id=vpc.id,
            ingress=[],
            egress=[],
            tags=tags("default-sg"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        gateway = aws.ec2.InternetGateway(
            f"{name}-igw", vpc_id=vpc.id, tags=tags("igw"), opts=pulumi.ResourceOptions(parent=self)
        )
        subnet = aws.ec2.Subnet(
            f"{name}-subnet",
            vpc_id=vpc.id,
            cidr_block=args.subnet,
            availability_zone_id=args.zone_id,
            # Only an Elastic IP may reach a venue: a passing public address is on nobody's allow-list.
            map_public_ip_on_launch=False,
            tags=tags("subnet"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        table = aws.ec2.RouteTable(
            f"{name}-routes", vpc_id=vpc.id, tags=tags("routes"), opts=pulumi.ResourceOptions(parent=self)
        )
        route = aws.ec2.Route(
            f"{name}-default-route",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        association = aws.ec2.RouteTableAssociation(
            f"{name}-route-association",
            subnet_id=subnet.id,
            route_table_id=table.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.vpc_id = vpc.id
        # A host that boots before its route exists has no way out: whoever takes the subnet waits for both.
        self.subnet_id = pulumi.Output.all(subnet.id, route.id, association.id).apply(lambda ids: str(ids[0]))
        self.register_outputs({"vpc_id": self.vpc_id, "subnet_id": self.subnet_id})
