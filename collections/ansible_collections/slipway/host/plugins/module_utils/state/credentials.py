"""Secrets at rest as systemd credentials, encrypted under the host's own key.

A value is compared with what the host's copy decrypts to, because encrypting the same value twice
gives different bytes. Values come in the document on standard input and go on over standard input;
they are in no argument, file, result or diff.
"""

from __future__ import annotations

import os

from .files import remove_file, sync_folder, write_beside
from .host import Host, StateError
from .plan import Change, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Running

_MODE = 0o600


def plan_credentials(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the credentials ``{name, path, value}``; all present ones are decrypted side by side."""
    host = plan.host
    opening: list[tuple[dict[str, Any], Running | None, bool]] = []
    for item in items:
        path = host.path(item["path"])
        present = os.path.exists(path)
        reading = None
        if present:
            argv = ("systemd-creds", "decrypt", f"--name={item['name']}", path, "-")
            reading = host.start(argv, None)
        opening.append((item, reading, present))
    for item, reading, present in opening:
        wrong = _what_is_wrong(host, item, reading)
        if wrong is None:
            continue
        plan.replaced.add(item["path"])
        plan.changes.append(
            Change(
                "credential",
                item["name"],
                wrong,
                lambda item=item: _encrypt(host, item),  # type: ignore[misc]
                before="present, not shown\n" if present else "",
                after=f"{wrong}, not shown\n",
            )
        )


def _what_is_wrong(host: Host, item: dict[str, Any], reading: Running | None) -> str | None:
    if reading is None:
        return "create"
    done = reading.finish()
    if done.status != 0:
        return "replace (what is there cannot be decrypted on this host)"
    if done.out != item["value"]:
        return "replace"
    found = os.stat(host.path(item["path"]))
    if (found.st_uid, found.st_gid, found.st_mode & 0o7777) != (0, 0, _MODE):
        return "owner or mode"
    return None


def _encrypt(host: Host, item: dict[str, Any]) -> None:
    argv = ("systemd-creds", "encrypt", "--with-key=host", f"--name={item['name']}", "-", "-")
    done = host.run(*argv, stdin=item["value"].encode("utf-8"))
    if done.status != 0:
        raise StateError(f"credential {item['name']}: systemd-creds could not encrypt it: {done.err.strip()}")
    path = item["path"]
    new = write_beside(host, path, done.out.encode("ascii"), (0, 0), _MODE)
    try:
        os.replace(host.path(new), host.path(path))
    except OSError:
        remove_file(host, new)
        raise
    sync_folder(host, path)
    host.checkpoint()
