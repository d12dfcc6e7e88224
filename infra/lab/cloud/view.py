"""Reading moto's state: which hosts the account wants, what the router must enforce. Never writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from moto.ec2.models import ec2_backends

from infra.lab.fabric import ELASTIC_POOL, Link
from infra.lab.nspawn import HostSpec
from infra.lab.rules import HostPolicy, Permission

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Wanted:
    """One instance as the account has it."""

    region: str
    instance: Any
    """moto's own object; touch it only under the server's lock."""

    state: str
    spec: HostSpec
    policy: HostPolicy


def backends() -> Iterator[tuple[str, Any]]:
    """Go through the EC2 state of every account and region that was spoken to."""
    for account in list(ec2_backends.values()):
        yield from list(account.items())


def instances() -> list[Wanted]:
    """Return every instance that moto knows, terminated ones too."""
    every = list(backends())
    members = _members(every)
    return [
        _wanted(region, backend, instance, members)
        for region, backend in every
        for reservation in list(backend.reservations.values())
        for instance in reservation.instances
        if instance.nics
    ]


def find(instance_id: str) -> Any | None:
    """Return moto's instance of this id."""
    return next((one.instance for one in instances() if one.instance.id == instance_id), None)


def used_addresses() -> set[IPv4Address]:
    """Return the Elastic IPs that are allocated in any region."""
    return {IPv4Address(eip.public_ip) for _, backend in backends() for eip in backend.addresses}


def _wanted(region: str, backend: Any, instance: Any, members: dict[str, tuple[str, ...]]) -> Wanted:
    interface = instance.nics[0]
    network = IPv4Network(interface.subnet.cidr_block)
    private = IPv4Address(interface.private_ip_address)
    link = Link(instance.id, IPv4Interface(f"{private}/{network.prefixlen}"))
    names = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    key_pair = backend.key_pairs.get(instance.key_name)
    groups = list({group.id: group for group in interface.group_set}.values())
    return Wanted(
        region=region,
        instance=instance,
        state=instance.instance_state.name,
        spec=HostSpec(
            instance=instance.id,
            name=_host_name(names.get("Name", ""), private),
            region=region,
            address=link.address,
            public_key=_public_key(key_pair),
        ),
        policy=HostPolicy(
            instance=instance.id,
            interface=link.interface,
            address=private,
            public=_public(backend, interface),
            vpc=f"{region}/{interface.subnet.vpc_id}",
            ingress=_permissions(backend, [rule for g in groups for rule in g.ingress_rules], members),
            egress=_permissions(backend, [rule for g in groups for rule in g.egress_rules], members),
        ),
    )


def _members(every: list[tuple[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the private addresses in each security group."""
    members: dict[str, list[str]] = {}
    for _, backend in every:
        for interface in backend.enis.values():
            for group in interface.group_set:
                members.setdefault(group.id, []).append(str(interface.private_ip_address))
    return {group: tuple(sorted(set(addresses))) for group, addresses in members.items()}


def _permissions(
    backend: Any, rules: list[Any], members: dict[str, tuple[str, ...]]
) -> tuple[Permission, ...]:
    found = []
    for rule in rules:
        peers: list[str] = []
        if rule.ip_range.get("CidrIp"):
            peers.append(str(IPv4Network(rule.ip_range["CidrIp"], strict=False)))
        peers.extend(members.get(rule.source_group.get("GroupId", ""), ()))
        if rule.prefix_list_id:
            prefix_list = backend.managed_prefix_lists.get(rule.prefix_list_id)
            entries = prefix_list.entries.get(prefix_list.version, []) if prefix_list else []
            peers.extend(entry["Cidr"] for entry in entries)
        low, high = rule.from_port, rule.to_port
        found.append(
            Permission(
                protocol=str(rule.ip_protocol),
                low=-1 if low is None else int(low),
                high=-1 if high is None else int(high),
                peers=tuple(peers),
            )
        )
    return tuple(found)


def _public(backend: Any, interface: Any) -> IPv4Address | None:
    """Return the interface's Elastic IP if its subnet has a route to an internet gateway of its VPC."""
    if not _outside_route(backend, interface.subnet):
        return None
    for eip in backend.addresses:
        if eip.eni is interface and IPv4Address(eip.public_ip) in ELASTIC_POOL:
            return IPv4Address(eip.public_ip)
    return None


def _outside_route(backend: Any, subnet: Any) -> bool:
    tables = [table for table in backend.route_tables.values() if table.vpc_id == subnet.vpc_id]
    own = [
        table
        for table in tables
        if any(association.get("SubnetId") == subnet.id for association in table.associations)
    ]
    for table in own or [table for table in tables if table.main_association_id]:
        for route in table.routes:
            gateway = getattr(route.gateway, "id", "") or ""
            if route.destination_cidr_block == EVERYWHERE and gateway.startswith("igw-"):
                return bool(getattr(route.gateway, "vpc", None))
    return False


def _host_name(tag: str, private: IPv4Address) -> str:
    """Name the host by its Name tag where that is a DNS label, else as AWS does."""
    label = tag.lower().rpartition("/")[2]
    if label and len(label) <= 63 and label.replace("-", "").isalnum() and label.isascii():
        return label.strip("-")
    return f"ip-{str(private).replace('.', '-')}"


def _public_key(key_pair: Any | None) -> str:
    """Return the key pair's public half; empty when the instance has none (then nobody can log in)."""
    if key_pair is None:
        return ""
    material = key_pair.material_public
    with contextlib.suppress(AttributeError):
        material = material.decode()
    return str(material).strip()
