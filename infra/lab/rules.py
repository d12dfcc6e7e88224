"""The router's firewall as text: security groups, Elastic IPs and reachability turned into nftables. Pure.

What AWS promises, and so what these rules keep:

* a packet leaves a host only with the host's own source address, and only if an egress rule of one of its
  security groups allows it; it enters another only if an ingress rule allows it; answers always pass;
* hosts of one VPC reach each other, those of different VPCs do not;
* a host reaches the world outside (here: the venues) only with an Elastic IP and a route to an internet
  gateway, and is seen there under that address;
* name and time service at 169.254.169.x are outside of security groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

TABLE = "slipway"
OUTSIDE = "venues"
"""The router's interface to the namespace where the simulators live."""

NAME_SERVER = IPv4Address("169.254.169.253")
TIME_SERVER = IPv4Address("169.254.169.123")
METADATA_SERVER = IPv4Address("169.254.169.254")


@dataclass(frozen=True)
class Permission:
    """One rule of a security group, peers resolved to networks."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, a protocol number, or ``-1`` for all."""

    low: int
    """First port (for ICMP the type, -1 for any)."""

    high: int
    """Last port."""

    peers: tuple[str, ...]
    """IPv4 networks or addresses that the rule speaks of; none means that it never matches."""


@dataclass(frozen=True)
class HostPolicy:
    """What the router must know of one running host."""

    instance: str
    interface: str
    """The router's end of the host's link."""

    address: IPv4Address
    public: IPv4Address | None
    """The Elastic IP, if it has one and a route to an internet gateway."""

    vpc: str
    ingress: tuple[Permission, ...]
    egress: tuple[Permission, ...]


def ruleset(hosts: Iterable[HostPolicy]) -> str:
    """Write the whole table; loading it replaces the former one in one transaction."""
    ordered = sorted(hosts, key=lambda host: host.instance)
    public = {host.address: host.public for host in ordered if host.public is not None}
    neighbours = [
        f'"{one.interface}" . "{other.interface}"'
        for one in ordered
        for other in ordered
        if one is not other and one.vpc == other.vpc
    ]
    leave = [f'"{host.interface}" : jump {_chain("leave", host)}' for host in ordered]
    enter = [f'"{host.interface}" : jump {_chain("enter", host)}' for host in ordered]
    anchors = [f'iifname "{host.interface}" ip saddr {host.address} return' for host in ordered]

    lines = [
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *_block("chain anchored", [*anchors, f'iifname {{ "lo", "{OUTSIDE}" }} return', "counter drop"]),
        *_block(
            "chain input",
            [
                "type filter hook input priority filter; policy drop;",
                "ct state established,related accept",
                'iifname "lo" accept',
                "jump anchored",
                "icmp type echo-request accept",
                f"ip daddr {NAME_SERVER} meta l4proto {{ tcp, udp }} th dport 53 accept",
                f"ip daddr {TIME_SERVER} udp dport 123 accept",
                "meta l4proto tcp reject with tcp reset",
                "reject",
            ],
        ),
        *_block(
            "chain forward",
            [
                "type filter hook forward priority filter; policy drop;",
                "jump anchored",
                "ct state established,related accept",
                "ct state invalid drop",
                *_when(leave, "iifname vmap {{ {} }}"),
                *_when(enter, "oifname vmap {{ {} }}"),
                *_when(neighbours, "iifname . oifname {{ {} }} accept"),
                *_when([str(a) for a in public], f'ip saddr {{{{ {{}} }}}} oifname "{OUTSIDE}" accept'),
                f'iifname "{OUTSIDE}" ct status dnat accept',
                "counter",
            ],
        ),
    ]
    if public:
        out = ", ".join(f"{private} : {elastic}" for private, elastic in public.items())
        back = ", ".join(f"{elastic} : {private}" for private, elastic in public.items())
        lines += _block(
            "chain postrouting",
            [
                "type nat hook postrouting priority srcnat; policy accept;",
                f'oifname "{OUTSIDE}" snat ip to ip saddr map {{ {out} }}',
            ],
        )
        lines += _block(
            "chain prerouting",
            [
                "type nat hook prerouting priority dstnat; policy accept;",
                f'iifname "{OUTSIDE}" dnat ip to ip daddr map {{ {back} }}',
            ],
        )
    for host in ordered:
        lines += _block(f"chain {_chain('leave', host)}", [*_permits(host.egress, "daddr"), "counter drop"])
        lines += _block(f"chain {_chain('enter', host)}", [*_permits(host.ingress, "saddr"), "counter drop"])
    return "\n".join([*lines, "}", ""])


def _chain(direction: str, host: HostPolicy) -> str:
    return f"{direction}_{host.instance.replace('-', '_')}"


def _block(head: str, body: list[str]) -> list[str]:
    return [f"  {head} {{", *(f"    {line}" for line in body), "  }"]


def _when(elements: list[str], template: str) -> list[str]:
    """Leave out a rule with an empty set, which nftables does not accept."""
    return [template.format(", ".join(elements))] if elements else []


def _permits(permissions: Iterable[Permission], side: str) -> list[str]:
    lines: list[str] = []
    for permission in permissions:
        if not permission.peers:
            continue
        peer = f"ip {side} {{ {', '.join(sorted(set(permission.peers)))} }}"
        if "0.0.0.0/0" in permission.peers:
            peer = f"ip {side} 0.0.0.0/0"
        lines.append(f"{peer} {_match(permission)}return")
    return list(dict.fromkeys(lines))


def _match(permission: Permission) -> str:
    if permission.protocol == "-1":
        return ""
    if permission.protocol in {"tcp", "udp"}:
        if (permission.low, permission.high) in {(0, 65535), (-1, -1)}:
            return f"meta l4proto {permission.protocol} "
        return f"{permission.protocol} dport {permission.low}-{permission.high} "
    if permission.protocol == "icmp" and permission.low >= 0:
        return f"icmp type {permission.low} "
    return f"meta l4proto {permission.protocol} "
