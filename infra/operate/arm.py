"""Give the hosts their permit to trade, all or none."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.operate import fleet
from infra.operate.release import manifest_of
from infra.operate.status import status

if TYPE_CHECKING:
    from infra.operate.workspace import Workspace

MAX_MINUTES = 24 * 60
"""The longest life of one permit: somebody looks at the hosts at least once a day."""


class ArmError(Exception):
    """The hosts were not armed; the message names each host and its reason."""


@dataclass(frozen=True)
class Permit:
    """What is granted: by whom, and for how many minutes."""

    by: str
    minutes: int


def arm(workspace: Workspace, permit: Permit) -> list[str]:
    """Arm every host of the stack, or none of them; returns the hosts.

    Every engine must answer, run the release's very executable and be connected to its venues. If a host
    fails to arm after others did, the others are disarmed again. Raises ArmError naming host and reason.
    """
    if not 1 <= permit.minutes <= MAX_MINUTES:
        raise ArmError(f"a permit of {permit.minutes} minutes: allowed are 1 to {MAX_MINUTES}")
    manifest = manifest_of(workspace.release_archive())
    wanted = manifest.files[manifest.engine.executable]
    problems = []
    for host in status(workspace):
        if host.engine is None:
            problems.append(f"{host.host}: cannot be asked: {host.problem}")
            continue
        if host.engine["release"] != wanted:
            problems.append(
                f"{host.host}: runs executable {host.engine['release'][:12]}, "
                f"the release's is {wanted[:12]}: converge first"
            )
        problems += [
            f"{host.host}: {venue} is {seen['connection']}: {seen['reason'] or 'not logged in'}"
            for venue, seen in host.engine["venues"].items()
            if seen["connection"] != "READY"
        ]
    if problems:
        raise ArmError("not armed:\n" + "\n".join(problems))
    hosts = tuple(workspace.inventory().hosts)
    command = f"sudo -n /usr/local/sbin/slipway-arm --by {shlex.quote(permit.by)} --minutes {permit.minutes}"
    refused = [a for a in fleet.ask(workspace, hosts, command) if not a.ok]
    if refused:
        fleet.ask(workspace, hosts, "sudo -n rm -f /run/slipway/permit")
        raise ArmError(
            "not armed (those that were are disarmed again):\n"
            + "\n".join(f"{a.host}: {a.error or a.out.strip()}" for a in refused)
        )
    return list(hosts)
