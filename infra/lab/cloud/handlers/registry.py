"""The one registry: a handler for each resource type that the program uses."""

from __future__ import annotations

from collections.abc import Mapping

from infra.lab.cloud.handlers import compute, firewall, identity, network, watch
from infra.lab.cloud.handlers.base import Handler

REGISTRY: Mapping[str, Handler] = {
    handler.resource_type: handler
    for handler in (
        network.Vpc(),
        network.DefaultSecurityGroup(),
        network.InternetGateway(),
        network.Subnet(),
        network.RouteTable(),
        network.Route(),
        network.RouteTableAssociation(),
        firewall.SecurityGroup(),
        firewall.SecurityGroupEgressRule(),
        compute.PlacementGroup(),
        compute.KeyPair(),
        compute.NetworkInterface(),
        compute.Instance(),
        compute.Eip(),
        compute.EipAssociation(),
        identity.Role(),
        identity.RolePolicy(),
        identity.InstanceProfile(),
        identity.Key(),
        identity.Alias(),
        watch.MetricAlarm(),
        watch.Budget(),
    )
}
"""By Pulumi type token."""
