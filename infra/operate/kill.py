"""Stop everything at once: permits first, then prove that nothing is open."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.operate import fleet

if TYPE_CHECKING:
    from infra.operate.workspace import Workspace


@dataclass(frozen=True)
class Killed:
    """How one host came to rest. Times are the host's wall clock in ns; None where it did not answer."""

    host: str
    revoked_ns: int | None
    flat_ns: int | None
    open_orders: int | None
    problem: str

    @property
    def flat(self) -> bool:
        """Whether the host said that nothing is open any more."""
        return self.flat_ns is not None and self.open_orders == 0


@dataclass(frozen=True)
class Kill:
    """One kill over all hosts."""

    started_ns: int
    hosts: tuple[Killed, ...]

    @property
    def flat(self) -> bool:
        """Whether every host is flat; a host that could not be reached is not."""
        return all(host.flat for host in self.hosts)


def kill(workspace: Workspace, reason: str, *, venue: str | None = None) -> Kill:
    """Revoke the permit on every host (of ``venue``, if given) at once and wait until each is flat.

    Writes nothing on this machine, so a full disk does not stop it. Unreachable hosts are named in the
    result; whoever called must go on with the venue's own means there.
    """
    hosts = tuple(
        name
        for name, host in workspace.inventory().hosts.items()
        if venue is None or venue in {c.venue for c in host.plan.connectors}
    )
    started = time.time_ns()
    command = f"sudo -n /usr/local/sbin/slipway-kill --reason {shlex.quote(reason)}"
    killed = []
    for answer in fleet.ask(workspace, hosts, command, timeout_s=30.0):
        said = answer.json()
        killed.append(
            Killed(
                host=answer.host,
                revoked_ns=said.get("revoked_ns"),
                flat_ns=said.get("flat_ns"),
                open_orders=said.get("open_orders"),
                problem="" if answer.ok and said else answer.error or answer.out.strip() or "no answer",
            )
        )
    return Kill(started, tuple(killed))
