"""What the last run made: a small file that lets the next run make nothing twice."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from infra.plan.model import Closed


class StateError(Exception):
    """The state file cannot be used."""


class Entry(Closed):
    """One resource that exists: its type, the cloud's id, and what it was made from."""

    type: str
    name: str
    id: str
    region: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    dependencies: tuple[str, ...]
    protect: bool
    retain: bool


class _Document(Closed):
    version: Literal[1] = 1
    stack: str
    resources: dict[str, Entry]
    pending: tuple[str, ...] = ()


class State:
    """The entries by URN, in the order in which they were made; every change is on disk before the next.

    ``pending`` holds the URNs whose creation was begun: after a run that was killed in between, the cloud may
    hold them although the file does not.
    """

    def __init__(self, path: Path, stack: str) -> None:
        self._path = path
        self._stack = stack
        self.resources: dict[str, Entry] = {}
        self.pending: set[str] = set()
        if path.exists():
            document = self._read()
            self.resources = dict(document.resources)
            self.pending = set(document.pending)

    def begin(self, urn: str) -> None:
        """Record that the resource is about to be made."""
        self.pending.add(urn)
        self._write()

    def put(self, urn: str, entry: Entry) -> None:
        """Record that the resource exists as given."""
        self.resources[urn] = entry
        self.pending.discard(urn)
        self._write()

    def drop(self, urn: str) -> None:
        """Record that the resource is gone, or no longer ours."""
        self.resources.pop(urn, None)
        self.pending.discard(urn)
        self._write()

    def _read(self) -> _Document:
        try:
            document = _Document.model_validate_json(self._path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise StateError(
                f"{self._path}: not a state file of this version ({error.error_count()} faults, first:"
                f" {error.errors()[0]['msg']}); take the lab down and remove the file to start anew"
            ) from error
        if document.stack != self._stack:
            raise StateError(
                f"{self._path}: holds stack {document.stack!r}, asked for {self._stack!r};"
                " give each stack a state file of its own"
            )
        return document

    def _write(self) -> None:
        document = _Document(stack=self._stack, resources=self.resources, pending=tuple(sorted(self.pending)))
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document.model_dump(mode="json"), file, indent=1)
        Path(temporary).replace(self._path)


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold the state file alone; raise ``StateError`` where another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(f"{path}: another deployment is under way; wait for it to end") from error
        yield
