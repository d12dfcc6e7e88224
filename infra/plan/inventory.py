"""The inventory document: the plan's hosts with the addresses they were given.

It is the only thing that passes from the Pulumi program to Ansible and to the checks. It holds no
secret: credentials appear by name.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from pydantic import model_validator

from infra.plan.model import Closed, HostPlan, Mode, Name


class LiveHost(Closed):
    """What only the cloud (or the owner of a colocated machine) knows about a host."""

    instance_id: str | None
    private_address: IPv4Address
    public_address: IPv4Address | None
    """The Elastic IP: the source address that a venue sees and allow-lists."""


class InventoryHost(Closed):
    """One host as planned and as it is."""

    plan: HostPlan
    live: LiveHost


class Inventory(Closed):
    """Version 1 of the document that the stack exports as ``inventory``."""

    schema_version: Literal[1] = 1
    project: Literal["slipway"] = "slipway"
    stack: Name
    phase: int
    mode: Mode
    hosts: dict[Name, InventoryHost]

    @model_validator(mode="after")
    def _hosts_are_named_once(self) -> Inventory:
        for name, host in self.hosts.items():
            if host.plan.name != name:
                raise ValueError(f"host {name!r} carries the plan of {host.plan.name!r}")
        return self
