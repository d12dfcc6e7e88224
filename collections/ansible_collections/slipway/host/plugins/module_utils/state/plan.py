"""What a converge would do: changes in the order in which they have to happen."""

from __future__ import annotations

import hashlib

from .host import Host, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Change:
    """One difference between the host and its plan, and the act that removes it.

    ``before`` and ``after`` are what ``--diff`` shows; both None where a difference must not be shown.
    A change ``with_release`` belongs to the switch of a release: when the start fails, ``undo`` brings
    back what was there.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        action: str,
        act: Callable[[], None],
        *,
        before: str | None = None,
        after: str | None = None,
        undo: Callable[[], None] | None = None,
        with_release: bool = False,
    ) -> None:
        self.kind = kind
        self.name = name
        self.action = action
        self.act = act
        self.before = before
        self.after = after
        self.undo = undo
        self.with_release = with_release

    def report(self) -> dict[str, str]:
        """Return the change as the result lists it."""
        return {"kind": self.kind, "name": self.name, "action": self.action}

    def diff(self) -> dict[str, str] | None:
        """Return the change as Ansible shows it under ``--diff``, or None when it must not be shown."""
        if self.before is None and self.after is None:
            return None
        label = f"{self.kind} {self.name}"
        return {
            "before": self.before or "",
            "after": self.after or "",
            "before_header": f"{label} (on the host)",
            "after_header": f"{label} (planned)",
        }


class Plan:
    """The changes found so far, with what later questions need to know about earlier answers.

    ``written``: sha256 by path of every declared file, present already or not. ``replaced``: paths whose
    bytes will change in a way that no hash foretells (encrypted anew). ``links``: where declared
    symbolic links will point. ``refusals``: reasons for which nothing at all may be done.
    """

    def __init__(self, host: Host, *, check: bool) -> None:
        self.host = host
        self.check = check
        self.changes: list[Change] = []
        self.written: dict[str, str] = {}
        self.replaced: set[str] = set()
        self.links: dict[str, str] = {}
        self.users: dict[str, int] = {}
        self.groups: dict[str, int] = {}
        self.refusals: list[str] = []
        self.observations: dict[str, Any] = {}

    def uid(self, name: str) -> int:
        """Return the uid of ``name`` as it will be after the plan; StateError when nobody is called that."""
        return self._number("passwd", name, self.users)

    def gid(self, name: str) -> int:
        """Return the gid of ``name`` as it will be after the plan; StateError when there is no such group."""
        return self._number("group", name, self.groups)

    def _number(self, database: str, name: str, planned: dict[str, int]) -> int:
        if name == "root":
            return 0
        if name in planned:
            return planned[name]
        entry = self.host.accounts(database).get(name)
        if entry is not None:
            return int(entry[2])
        if self.check:
            return -1  # a package of this plan brings the account; the real run will insist
        raise StateError(
            f"/etc/{database} has no {name!r}, which owns a declared path: declare it or install its package"
        )

    def future_hash(self, path: str) -> str | None:
        """Return the sha256 that ``path`` will have after the plan; None when absent or not foretold."""
        for link, target in self.links.items():
            if path.startswith(link + "/"):
                path = target + path[len(link) :]
                break
        if path in self.replaced:
            return None
        if path in self.written:
            return self.written[path]
        try:
            return sha256(self.host.read(path))
        except OSError:
            return None
