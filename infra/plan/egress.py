"""Whom a host may speak to, derived from what it runs: venues by name, time, names, and its own cloud."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

from infra.catalogue.models import url_port
from infra.plan.model import ConnectorPlan, EgressRule, Environment

DNS_SERVER = IPv4Address("169.254.169.253")
"""The VPC's resolver, as AWS has it and the lab too."""

TIME_SERVER = IPv4Address("169.254.169.123")
"""The region's time service, as AWS has it and the lab too."""

LOOPBACK = ("127.0.0.1", "localhost")
"""A program beside the connector, such as a broker's gateway: never leaves the host, needs no rule."""

METADATA_SERVER = IPv4Address("169.254.169.254")
TIME_USER = "_chrony"
ROOT = "root"

_BOTH: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")


def venue_rules(connectors: Iterable[ConnectorPlan]) -> list[EgressRule]:
    """Return one rule for each address of each connector, given to the user that dials it."""
    rules: dict[tuple[str, str, int], EgressRule] = {}
    for connector in connectors:
        for use, url in sorted(connector.endpoints.items()):
            host = urlsplit(url).hostname or ""
            port = url_port(url)
            if host in LOOPBACK:
                continue
            earlier = rules.get((connector.user, host, port))
            purpose = f"{connector.venue} {use}" if earlier is None else f"{earlier.purpose}, {use}"
            rules[(connector.user, host, port)] = _to(connector.user, host, port, purpose)
    return list(rules.values())


def host_rules(
    connectors: Iterable[ConnectorPlan], environment: Environment, region: str
) -> tuple[EgressRule, ...]:
    """Return all rules of a host: venues, names for those who dial, time; on AWS the way in for people."""
    venues = venue_rules(connectors)
    rules = list(venues)
    resolvers = sorted({rule.user for rule in venues if rule.hostname} | {ROOT})
    rules.extend(
        EgressRule(user=user, protocol=protocol, port=53, address=DNS_SERVER, purpose="names")
        for user in resolvers
        for protocol in _BOTH
    )
    rules.append(EgressRule(user=TIME_USER, protocol="udp", port=123, address=TIME_SERVER, purpose="time"))
    if environment != "container":
        rules.append(
            EgressRule(user=ROOT, protocol="tcp", port=80, address=METADATA_SERVER, purpose="instance role")
        )
        rules.extend(
            EgressRule(
                user=ROOT,
                protocol="tcp",
                port=443,
                hostname=f"{service}.{region}.amazonaws.com",
                purpose="session manager",
            )
            for service in ("ssm", "ssmmessages", "ec2messages")
        )
    return tuple(rules)


def _to(user: str, host: str, port: int, purpose: str) -> EgressRule:
    try:
        address = ip_address(host)
    except ValueError:
        return EgressRule(user=user, protocol="tcp", port=port, hostname=host, purpose=purpose)
    return EgressRule(
        user=user, protocol="tcp", port=port, address=IPv4Address(str(address)), purpose=purpose
    )
