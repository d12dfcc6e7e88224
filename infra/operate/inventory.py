"""The inventory document as the files that Ansible and ssh read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

from infra.operate.workspace import Workspace
from infra.plan.inventory import Inventory, InventoryHost

CONTROL_PERSIST_S = 600
"""How long ssh keeps a connection open after its last use: a kill must not wait for a login."""


class InventoryError(Exception):
    """The inventory cannot be turned into something that hosts can be reached by."""


class HostKeys(Protocol):
    """Where the public SSH host keys of a host are learned from, without trusting the network."""

    def __call__(self, name: str, host: InventoryHost) -> list[str]:
        """Return ``ssh-ed25519 AAAA…`` lines of the host."""


def control_path(workspace: Workspace) -> str:
    """Return where ssh keeps the stack's open connections; stacks with equal addresses share none.

    A socket's path may have 107 bytes at most, so it lies in ~/.ssh under hashes.
    """
    deployment = hashlib.sha256(str(workspace.out).encode()).hexdigest()[:8]
    return f"~/.ssh/slipway-{deployment}-%C"


def address_of(host: InventoryHost) -> str:
    """Return what ssh calls the host: the instance id behind Session Manager, else its private address."""
    if host.plan.environment != "container" and host.live.instance_id is not None:
        return host.live.instance_id
    return str(host.live.private_address)


def proxy_command(host: InventoryHost, router_namespace: str | None) -> str | None:
    """Return the command that carries an ssh connection to the host, or None for a direct one.

    The lab enters its router's namespace; a cloud host is reached through Session Manager (no open port).
    """
    if host.plan.environment == "container":
        if router_namespace is None:
            raise InventoryError(
                f"host {host.plan.name}: it is a lab host, but no lab is up on this machine: slipway lab up"
            )
        return f"ip netns exec {router_namespace} nc %h %p"
    if host.live.instance_id is not None:
        return (
            "aws ssm start-session --target %h --document-name AWS-StartSSHSession "
            f"--parameters portNumber=%p --region {host.plan.region}"
        )
    return None


def ansible_hosts(inventory: Inventory, workspace: Workspace) -> dict[str, Any]:
    """Return a static Ansible inventory with groups by venue, role and region."""
    hosts: dict[str, Any] = {}
    groups: dict[str, dict[str, dict[str, None]]] = {}
    for name, host in inventory.hosts.items():
        hosts[name] = {
            "ansible_host": address_of(host),
            "ansible_user": host.plan.login,
            "ansible_ssh_common_args": f"-F {workspace.ssh_config} -o ControlPath={control_path(workspace)}",
            "slipway_host": host.model_dump(mode="json"),
        }
        names = [f"role_{host.plan.role}", f"region_{host.plan.region}"]
        names += [f"venue_{connector.venue}" for connector in host.plan.connectors]
        for group in names:
            groups.setdefault(group.replace("-", "_"), {"hosts": {}})["hosts"][name] = None
    return {
        "slipway": {
            "hosts": hosts,
            "vars": {"slipway_stack": inventory.stack, "slipway_mode": inventory.mode},
        },
        **groups,
    }


def ssh_config(
    inventory: Inventory, workspace: Workspace, identity: Path | None, router_namespace: str | None
) -> str:
    """Return an ssh client configuration: strict host keys, one kept-open connection a host."""
    blocks = []
    for name, host in inventory.hosts.items():
        lines = [
            f"Host {name} {address_of(host)}",
            f"  HostName {address_of(host)}",
            f"  HostKeyAlias {name}",
            f"  User {host.plan.login}",
        ]
        if identity is not None:
            lines += [f"  IdentityFile {identity}", "  IdentitiesOnly yes"]
        proxy = proxy_command(host, router_namespace)
        if proxy is not None:
            lines.append(f"  ProxyCommand {proxy}")
        blocks.append("\n".join(lines))
    blocks.append(
        "\n".join(
            [
                "Host *",
                f"  UserKnownHostsFile {workspace.known_hosts}",
                "  GlobalKnownHostsFile /dev/null",
                "  StrictHostKeyChecking yes",
                "  UpdateHostKeys no",
                "  PreferredAuthentications publickey",
                "  ConnectTimeout 10",
                "  ServerAliveInterval 5",
                "  ServerAliveCountMax 3",
                "  ControlMaster auto",
                f"  ControlPersist {CONTROL_PERSIST_S}",
                f"  ControlPath {control_path(workspace)}",
            ]
        )
    )
    return "\n\n".join(blocks) + "\n"


def write(
    workspace: Workspace,
    inventory: Inventory,
    host_keys: HostKeys,
    *,
    identity: Path | None = None,
    router_namespace: str | None = None,
) -> None:
    """Write the document, Ansible's inventory, ssh_config and known_hosts under ``out/<stack>/``.

    ``identity`` is the private SSH key to use; ``router_namespace`` the lab's way in, where there is a lab.
    Raises InventoryError when a host's keys cannot be learned.
    """
    known = []
    for name, host in inventory.hosts.items():
        keys = host_keys(name, host)
        if not keys:
            raise InventoryError(
                f"host {name}: its console shows no SSH host keys yet; "
                "wait until its first boot ends, then retry"
            )
        known += [f"{name} {key}" for key in keys]
    workspace.out.mkdir(parents=True, exist_ok=True)
    (Path.home() / ".ssh").mkdir(mode=0o700, exist_ok=True)
    workspace.inventory_file.write_text(inventory.model_dump_json(indent=2) + "\n", encoding="utf-8")
    workspace.hosts_file.write_text(
        json.dumps(ansible_hosts(inventory, workspace), indent=2) + "\n", encoding="utf-8"
    )
    workspace.ssh_config.write_text(
        ssh_config(inventory, workspace, identity, router_namespace), encoding="utf-8"
    )
    workspace.known_hosts.write_text("\n".join(known) + "\n", encoding="utf-8")
