"""Where one stack's generated files lie in a checkout: ``out/<stack>/``, never committed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from infra.plan.inventory import Inventory


class WorkspaceError(Exception):
    """A file that an earlier step should have written is missing or cannot be read."""


def checkout() -> Path:
    """Return the root of the checkout, known by its ``Pulumi.yaml``.

    Raises WorkspaceError when the package does not lie in a checkout (it needs the roles and playbooks).
    """
    for place in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2]):
        if (place / "Pulumi.yaml").is_file() and (place / "playbooks").is_dir():
            return place
    raise WorkspaceError(
        f"{Path.cwd()} is not in a slipway checkout (no Pulumi.yaml with playbooks/ beside it): "
        "change into the checkout and try again"
    )


@dataclass(frozen=True)
class Workspace:
    """The generated files of one stack."""

    root: Path
    stack: str

    @property
    def out(self) -> Path:
        """Directory of everything below."""
        return self.root / "out" / self.stack

    @property
    def inventory_file(self) -> Path:
        """The inventory document as the stack exported it."""
        return self.out / "inventory.json"

    @property
    def hosts_file(self) -> Path:
        """Ansible's inventory, written from the document."""
        return self.out / "hosts.json"

    @property
    def ssh_config(self) -> Path:
        """How ssh reaches each host, with strict host keys and a kept-open connection."""
        return self.out / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, read from their consoles."""
        return self.out / "known_hosts"

    @property
    def release_dir(self) -> Path:
        """The release archive, its signature and the public key."""
        return self.out / "release"

    @property
    def evidence(self) -> Path:
        """What was observed: results of checks, drills and runs."""
        return self.out / "evidence"

    @property
    def logs(self) -> Path:
        """Full output of the commands that were run."""
        return self.out / "logs"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.out / "report.html"

    def inventory(self) -> Inventory:
        """Read and validate this stack's inventory document; WorkspaceError as in read()."""
        return self.read(self.inventory_file)

    def read(self, document: Path) -> Inventory:
        """Read and validate an inventory document.

        Raises WorkspaceError when it is missing or not of the form that this version reads.
        """
        try:
            return Inventory.model_validate_json(document.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WorkspaceError(
                f"{document} does not exist: deploy first (slipway up {self.stack})"
            ) from None
        except ValidationError as error:
            raise WorkspaceError(f"{document} is not an inventory of this version: {error}") from error

    def release_archive(self) -> Path:
        """Return the one release archive of this stack.

        Raises WorkspaceError when there is none, or more than one.
        """
        found = sorted(self.release_dir.glob("*.tar.zst"))
        if len(found) != 1:
            raise WorkspaceError(
                f"{self.release_dir} holds {len(found)} release archives, need exactly one: "
                "run slipway release build, or put your signed release there"
            )
        return found[0]

    @property
    def release_public_key(self) -> Path:
        """The minisign public key that hosts trust."""
        return self.release_dir / "release.pub"
