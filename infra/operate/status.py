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


def ask_engines(workspace: Workspace, request: dict[str, Any], timeout_s: float = 10.0) -> list[HostStatus]:
    """Send one control request to every engine of the stack at once."""
    hosts = tuple(workspace.inventory().hosts)
    stdin = json.dumps(request).encode() + b"\n"
    answers = fleet.ask(workspace, hosts, _ASK, stdin=stdin, timeout_s=timeout_s)
    return [
        HostStatus(a.host, a.json() or None, "" if a.json() else (a.error.splitlines() or ["no answer"])[-1])
        for a in answers
    ]


def status(workspace: Workspace) -> list[HostStatus]:
    """Return the status of every engine of the stack."""
    return ask_engines(workspace, {"cmd": "status"})
