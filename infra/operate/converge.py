"""Bring the hosts to the plan with Ansible."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.operate.command import Command

if TYPE_CHECKING:
    from infra.operate.workspace import Workspace


def tool(name: str) -> str:
    """Return the program of this environment (``.venv/bin/NAME``), so that the pinned one runs."""
    return str(Path(sys.executable).parent / name)


def command(
    workspace: Workspace, *, trust_anchor: Path | None = None, extra: tuple[str, ...] = ()
) -> Command:
    """Return the ``ansible-playbook`` line that converges every host of the stack."""
    archive = workspace.release_archive()
    argv = [
        tool("ansible-playbook"),
        "-i",
        str(workspace.hosts_file),
        "playbooks/site.yml",
        "-e",
        f"release_archive={archive}",
        "-e",
        f"release_public_key={workspace.release_public_key}",
    ]
    if trust_anchor is not None:
        argv += ["-e", f"base_trust_anchor_files=['{trust_anchor}']"]
    return Command((*argv, *extra))
