"""The Pulumi program: a deployment plan as resources, and one inventory document as its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config

from infra.components.access import AccessArgs, HostAccess
from infra.components.budget import BudgetArgs, PhaseBudget
from infra.components.host import HostArgs, VenueHost, open_ports
from infra.components.keys import KeysArgs, RegionKeys
from infra.components.network import NetworkArgs, VenueNetwork
from infra.components.placement import ClusterGroup, PlacementArgs, takes_cluster_group
from infra.components.providers import ProviderArgs, make_providers
from infra.components.watch import HostWatch, WatchArgs
from infra.plan.cost import ROOT_VOLUME_GIB
from infra.plan.instances import INSTANCES
from infra.plan.inventory import Inventory, InventoryHost, LiveHost
from infra.plan.model import DeploymentPlan, HostPlan, NetworkPlan
from infra.plan.settings import CloudSettings, StackSettings, settings_from_mapping


@dataclass(frozen=True)
class Program:
    """What was declared; ``inventory`` is the stack's output."""

    inventory: pulumi.Output[dict[str, Any]]


class ProgramError(ValueError):
    """The stack cannot be built; the text names the stack, the key and what to set."""


def stack_settings() -> StackSettings:
    """Return the settings of the stack that Pulumi is running, from its configuration.

    All keys are read at once, not one by one through ``pulumi.Config``, so that a misspelt one is an error.
    """
    stack = pulumi.get_stack()
    keys = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    return settings_from_mapping(stack, keys, file=f"stacks/Pulumi.{stack}.yaml")


def build(plan: DeploymentPlan, settings: CloudSettings) -> Program:
    """Declare every resource of the plan. Counts and names come from the plan, never from an output."""
    return _Builder(plan, settings).build()


class _Builder:
    """One run: the pieces that hosts share, by network and region, while hosts are declared."""

    def __init__(self, plan: DeploymentPlan, settings: CloudSettings) -> None:
        self._plan = plan
        self._settings = settings
        self._cloud_hosts = tuple(host for host in plan.hosts if host.kind != "external")
        self._tags = {"Project": "slipway", "Stack": plan.stack, "ManagedBy": "pulumi", **plan.tags}

    def build(self) -> Program:
        if self._cloud_hosts and self._settings.public_key is None:
            raise ProgramError(
                f"stack {self._plan.stack}: slipway:public_key is not set; it takes the operators' key:"
                ' pulumi config set slipway:public_key "$(cat ~/.ssh/id_ed25519.pub)"'
            )
        regions = [network.region for network in self._plan.networks]
        self._providers = make_providers(
            regions, ProviderArgs(account=self._settings.account, endpoint=self._settings.endpoint)
        )
        self._keys = {region: self._region_keys(region) for region in self._providers}
        self._networks = {network.name: self._network(network) for network in self._plan.networks}
        self._groups = {
            network.name: self._cluster_group(network)
            for network in self._plan.networks
            if any(
                host.network == network.name and takes_cluster_group(host.instance_type)
                for host in self._cloud_hosts
            )
        }
        made = {host.name: self._host(host) for host in self._cloud_hosts}
        if self._providers:
            PhaseBudget(
                f"phase{self._plan.phase}",
                BudgetArgs(
                    monthly_usd=self._plan.monthly_budget_usd,
                    stack=self._plan.stack,
                    notify=self._settings.notify,
                    tags=self._tags,
                ),
                self._in_region(min(self._providers)),
            )
        return Program(inventory=inventory_document(self._plan, made))

    def _in_region(self, region: str) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=self._providers[region])

    def _region_keys(self, region: str) -> RegionKeys:
        return RegionKeys(
            region,
            KeysArgs(
                alias=f"slipway-{self._plan.stack}",
                public_key=self._settings.public_key or "",
                tags=self._tags,
            ),
            self._in_region(region),
        )

    def _network(self, network: NetworkPlan) -> VenueNetwork:
        return VenueNetwork(
            network.name,
            NetworkArgs(
                cidr=str(network.cidr),
                subnet=str(network.subnet),
                zone_id=network.zone_id,
                tags=self._tags,
            ),
            self._in_region(network.region),
        )

    def _cluster_group(self, network: NetworkPlan) -> ClusterGroup:
        return ClusterGroup(network.name, PlacementArgs(tags=self._tags), self._in_region(network.region))

    def _host(self, host: HostPlan) -> VenueHost:
        tags = {**self._tags, **host.tags}
        keys, network = self._keys[host.region], self._networks[host.network]
        access = HostAccess(
            host.name,
            AccessArgs(
                region=host.region,
                parameters=sorted(
                    {credential.parameter for venue in host.connectors for credential in venue.credentials}
                ),
                key_arn=keys.key_arn,
                tags=tags,
            ),
            self._in_region(host.region),
        )
        group = self._groups.get(host.network) if takes_cluster_group(host.instance_type) else None
        made = VenueHost(
            host.name,
            HostArgs(
                vpc_id=network.vpc_id,
                subnet_id=network.subnet_id,
                private_address=str(host.private_address),
                elastic_address=host.elastic_address,
                egress=open_ports(host.egress),
                instance_type=host.instance_type,
                image=host.image,
                whole_cores=whole_cores(host),
                placement_group=None if group is None else group.group_name,
                profile_name=access.profile_name,
                key_name=keys.key_name,
                volume_key_arn=keys.key_arn,
                root_gib=ROOT_VOLUME_GIB,
                guarded=self._plan.mode == "live",
                tags=tags,
            ),
            self._in_region(host.region),
        )
        topic = self._settings.alarm_topics.get(host.region)
        HostWatch(
            host.name,
            WatchArgs(instance_id=made.instance_id, topics=() if topic is None else (topic,), tags=tags),
            self._in_region(host.region),
        )
        return made


def whole_cores(host: HostPlan) -> int | None:
    """Return how many cores to run with one thread each; ``None`` leaves the instance type's own shape.

    The plan counts a virtual host's CPUs as whole cores, so that no sibling thread disturbs the engine's.
    Bare metal takes no CPU options.
    """
    facts = INSTANCES.get(host.instance_type)
    return None if facts is None or facts.metal else facts.cores


def inventory_document(plan: DeploymentPlan, hosts: Mapping[str, VenueHost]) -> pulumi.Output[dict[str, Any]]:
    """Return the inventory as plain data, checked by the model that its readers use.

    Hosts without a cloud resource (colocated machines) appear with the address that was planned.
    """
    live = {
        name: pulumi.Output.all(
            instance_id=host.instance_id,
            private_address=host.private_address,
            public_address=host.public_address,
        )
        for name, host in hosts.items()
    }
    return pulumi.Output.all(**live).apply(lambda known: _document(plan, known))


def _document(plan: DeploymentPlan, known: Mapping[str, Mapping[str, str | None]]) -> dict[str, Any]:
    def live(host: HostPlan) -> LiveHost:
        if host.name in known:
            return LiveHost.model_validate(known[host.name])
        return LiveHost(instance_id=None, private_address=host.private_address, public_address=None)

    return Inventory(
        stack=plan.stack,
        phase=plan.phase,
        mode=plan.mode,
        hosts={host.name: InventoryHost(plan=host, live=live(host)) for host in plan.hosts},
    ).model_dump(mode="json")
