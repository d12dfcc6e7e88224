"""What every host's engine says of itself, asked at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.operate import fleet

if TYPE_CHECKING:
    from infra.operate.workspace import Workspace

# One line in, one line out over the engine's control socket; python3 is on every host, nc may not be.
_ASK = (
    "sudo -n python3 -I -S -c 'import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(5);"
    's.connect("/run/slipway-engine/control.sock");s.sendall(sys.stdin.buffer.read());'
    "print(s.makefile().readline())'"
)


@dataclass(frozen=True)
class HostStatus:
    """One host's engine, or why it could not be asked."""

    host: str
    engine: dict[str, Any] | None
    problem: str

    @property
    def state(self) -> str:
        """The engine's state, or UNREACHABLE."""
        return str(self.engine["state"]) if self.engine else "UNREACHABLE"


def status(workspace: Workspace) -> list[HostStatus]:
    """Return the status of every engine of the stack."""
    hosts = tuple(workspace.inventory().hosts)
    stdin = json.dumps({"cmd": "status"}).encode() + b"\n"
    statuses = []
    for answer in fleet.ask(workspace, hosts, _ASK, stdin=stdin, timeout_s=10.0):
        engine = answer.json()
        problem = "" if engine else (answer.error.splitlines() or ["no answer"])[-1]
        statuses.append(HostStatus(answer.host, engine or None, problem))
    return statuses
