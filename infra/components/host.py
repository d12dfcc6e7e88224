"""One trading host: its interface, security group and instance, and the address that venues know it by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.network import ANYWHERE
from infra.plan.model import EgressRule


@dataclass(frozen=True, order=True)
class OpenPort:
    """A port that hosts may connect to, in one network (``0.0.0.0/0`` unless an address is planned)."""

    protocol: str
    port: int
    cidr: str

    @property
    def key(self) -> str:
        """The rule's part of the logical name: stable whatever else is planned."""
        return f"{self.protocol}-{self.port}" + (
            "" if self.cidr == ANYWHERE else f"-{self.cidr.split('/')[0]}"
        )


def open_ports(rules: Iterable[EgressRule]) -> tuple[OpenPort, ...]:
    """Reduce the planned egress to what a security group can say: each protocol, port and network once.

    Venues sit behind networks whose addresses move, so a rule for a name opens its port; the host's own
    firewall holds it to the name and to the user. A rule for an address opens the port to that address
    only, unless a name has opened it already.
    """
    named = {OpenPort(rule.protocol, rule.port, ANYWHERE) for rule in rules if rule.address is None}
    exact = {
        OpenPort(rule.protocol, rule.port, f"{rule.address}/32") for rule in rules if rule.address is not None
    }
    covered = {(port.protocol, port.port) for port in named}
    return tuple(sorted(named | {port for port in exact if (port.protocol, port.port) not in covered}))


@dataclass(frozen=True)
class HostArgs:
    """A host's place and shape. ``whole_cores``: cores to use, one thread each; ``None``: the type's own."""

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    private_address: str
    elastic_address: bool
    egress: Sequence[OpenPort]
    instance_type: str
    image: str
    whole_cores: int | None
    placement_group: pulumi.Input[str] | None
    profile_name: pulumi.Input[str]
    key_name: pulumi.Input[str]
    volume_key_arn: pulumi.Input[str]
    root_gib: int
    guarded: bool
    """Refuse termination through the API (hosts that hold live positions)."""

    tags: Mapping[str, str]


class VenueHost(pulumi.ComponentResource):
    """An instance on its own network interface, so that address and rules outlive the instance.

    Nothing may open a connection to it: there is no ingress rule, and an administrator comes in through
    Session Manager. The Elastic IP is protected and kept on deletion: a venue's allow-list names it.
    """

    instance_id: pulumi.Output[str]
    private_address: pulumi.Output[str]
    public_address: pulumi.Output[str] | None

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:host:VenueHost", name, None, opts)
        self._name = name
        self._args = args
        group = self._security_group()
        interface = aws.ec2.NetworkInterface(
            f"{name}-eni",
            subnet_id=args.subnet_id,
            private_ips=[args.private_address],
            security_groups=[group.id],
            description=f"slipway {name}",
            tags=self._tags("eni"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Attached to the interface, not the instance: a replaced instance keeps the address, and the first
        # boot already has a way out.
        address = self._elastic_address(interface) if args.elastic_address else None
        instance = self._instance(interface)
        self.instance_id = instance.id
        self.private_address = interface.private_ip
        self.public_address = None if address is None else address.public_ip
        self.register_outputs(
            {
                "instance_id": self.instance_id,
                "private_address": self.private_address,
                "public_address": self.public_address,
            }
        )

    def _tags(self, part: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{part}"}

    def _security_group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-sg",
            # Changing a description replaces the group: it says nothing that could change.
            description="slipway trading host",
            vpc_id=self._args.vpc_id,
            tags=self._tags("sg"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for port in self._args.egress:
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-egress-{port.key}",
                security_group_id=group.id,
                ip_protocol=port.protocol,
                from_port=port.port,
                to_port=port.port,
                cidr_ipv4=port.cidr,
                tags=self._tags(f"egress-{port.key}"),
                opts=pulumi.ResourceOptions(parent=self),
            )
        return group

    def _elastic_address(self, interface: aws.ec2.NetworkInterface) -> aws.ec2.Eip:
        address = aws.ec2.Eip(
            f"{self._name}-eip",
            domain="vpc",
            tags=self._tags("eip"),
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        aws.ec2.EipAssociation(
            f"{self._name}-eip-association",
            allocation_id=address.allocation_id,
            network_interface_id=interface.id,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return address

    def _instance(self, interface: aws.ec2.NetworkInterface) -> aws.ec2.Instance:
        args = self._args
        cores = args.whole_cores
        return aws.ec2.Instance(
            f"{self._name}-instance",
            ami=args.image,
            instance_type=args.instance_type,
            primary_network_interface=aws.ec2.InstancePrimaryNetworkInterfaceArgs(
                network_interface_id=interface.id
            ),
            cpu_options=None
            if cores is None
            else aws.ec2.InstanceCpuOptionsArgs(core_count=cores, threads_per_core=1),
            placement_group=args.placement_group,
            iam_instance_profile=args.profile_name,
            key_name=args.key_name,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,
                instance_metadata_tags="disabled",
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=args.root_gib,
                encrypted=True,
                kms_key_id=args.volume_key_arn,
                delete_on_termination=True,
                tags=self._tags("root"),
            ),
            maintenance_options=aws.ec2.InstanceMaintenanceOptionsArgs(auto_recovery="default"),
            ebs_optimized=True,
            monitoring=True,
            disable_api_termination=args.guarded,
            user_data_replace_on_change=False,
            tags={**args.tags, "Name": self._name},
            opts=pulumi.ResourceOptions(
                parent=self,
                # A moved image must not replace a host, nor new user data stop it: both are done on purpose.
                ignore_changes=["ami", "user_data"],
                # The interface can be in one instance only.
                delete_before_replace=True,
            ),
        )
