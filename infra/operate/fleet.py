"""One command on many hosts at once, over ssh connections that are kept open."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.operate.inventory import control_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.operate.workspace import Workspace


@dataclass(frozen=True)
class Answer:
    """What one host said. ``code`` is None when it could not be asked (unreachable, or no answer in time)."""

    host: str
    code: int | None
    out: str
    error: str

    @property
    def ok(self) -> bool:
        """Whether the command ran and succeeded."""
        return self.code == 0

    def json(self) -> dict[str, Any]:
        """Return the last line of the output as a JSON object; an empty one if there is none."""
        for line in reversed(self.out.strip().splitlines()):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                return value
        return {}


_SSH_FAILED = 255


async def _ask(workspace: Workspace, host: str, command: str, stdin: bytes, timeout_s: float) -> Answer:
    process = await asyncio.create_subprocess_exec(
        "ssh",
        "-F",
        str(workspace.ssh_config),
        "-o",
        "BatchMode=yes",
        host,
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(stdin), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return Answer(host, None, "", f"no answer within {timeout_s:g} s")
    text = error.decode("utf-8", "replace").strip()
    if process.returncode == _SSH_FAILED:
        return Answer(host, None, "", text or "ssh failed")
    return Answer(host, process.returncode, out.decode("utf-8", "replace"), text)


def ask(
    workspace: Workspace,
    hosts: Iterable[str],
    command: str,
    *,
    stdin: bytes = b"",
    timeout_s: float = 20.0,
) -> list[Answer]:
    """Run ``command`` on every host at the same time and return their answers in the order of ``hosts``.

    A host that cannot be reached never delays or hides the others: its answer says so.
    """

    async def everyone() -> list[Answer]:
        return list(
            await asyncio.gather(*(_ask(workspace, host, command, stdin, timeout_s) for host in hosts))
        )

    return asyncio.run(everyone())


def close(workspace: Workspace) -> None:
    """End the kept-open connections of the stack; those to hosts that are gone would only mislead."""
    if not workspace.ssh_config.exists():
        return
    for socket in Path.home().glob(control_path(workspace).removeprefix("~/").replace("%C", "*")):
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "any"],
            check=False,
            capture_output=True,
            timeout=10,
        )
