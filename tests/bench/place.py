"""Where the benchmark works: a private copy of the checkout and a lab of its own, gone at its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.lab.settings import CACHE_VARIABLE, DIRECTORY_VARIABLE, PORT_VARIABLE, PREFIX_VARIABLE, LabSettings
from infra.operate import fleet
from infra.operate.workspace import Workspace
from tests.bench.figures import BenchError

CHECKOUT = Path(__file__).resolve().parents[2]

Tell = Callable[[str], None]


@dataclass
class Place:
    """A copy of the checkout's files (so that editing goes on while it runs) and everything that was made."""

    root: Path
    scratch: Path
    tell: Tell
    workspaces: list[Workspace] = field(default_factory=list)

    def workspace(self, stack: str) -> Workspace:
        """Return a workspace in the copy, whose ssh connections are ended with the benchmark."""
        made = Workspace(self.root, stack)
        if made not in self.workspaces:
            self.workspaces.append(made)
        return made

    def lab(self, letter: str) -> LabSettings:
        """Return the settings of a lab that meets no other; ``letter`` tells this run's labs apart."""
        return LabSettings(
            directory=self.scratch / f"lab-{letter}",
            cache=LabSettings.from_environment().cache,
            prefix=f"b{letter}{os.getpid():x}"[:8],
            port=0,
        )

    def environment(self, lab: LabSettings | None = None, **more: str) -> dict[str, str]:
        """Return an environment for commands, in which ``lab`` is the lab."""
        mine = {
            key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "SLIPWAY_"))
        }
        mine |= {"PYTHONPATH": str(self.root), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "160"}
        if lab is not None:
            mine |= {
                DIRECTORY_VARIABLE: str(lab.directory),
                CACHE_VARIABLE: str(lab.cache),
                PREFIX_VARIABLE: lab.prefix,
                PORT_VARIABLE: str(lab.port),
            }
        return {**mine, **more}

    def tool(self, name: str) -> str:
        """Return a program of the environment that this runs in."""
        return str(Path(sys.executable).parent / name)


@contextmanager
def place(tell: Tell) -> Iterator[Place]:
    """Make the copy and remove it; connections of its workspaces are ended."""
    if os.geteuid() != 0:
        raise BenchError("the benchmark starts lab hosts and needs root: use sudo")
    scratch = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
    made = Place(scratch / "checkout", scratch, tell)
    try:
        _copy(made.root)
        yield made
    finally:
        for workspace in made.workspaces:
            fleet.close(workspace)
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(root: Path) -> None:
    """Copy the files that git knows, as they are now, into a repository of their own."""
    root.mkdir()
    listed = _git(CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = CHECKOUT / name, root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    identity = {"GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@localhost"}
    identity |= {"GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@localhost"}
    _git(root, "init", "--quiet")
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", "the checkout as it was measured", environment=identity)


def revision() -> str:
    """Return the commit that is measured, with ``-dirty`` where files differ from it."""
    commit = _git(CHECKOUT, "rev-parse", "HEAD").strip()
    changed = _git(CHECKOUT, "--no-optional-locks", "status", "--porcelain").strip()
    return f"{commit}-dirty" if changed else commit


def _git(where: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise BenchError(f"git {arguments[0]} in {where}: {done.stderr.strip()}")
    return done.stdout
