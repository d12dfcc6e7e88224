"""The document that a host is sent: fragments from roles, checked and completed on the control machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class DocumentError(Exception):
    """A fragment says something that the core would not understand; the message names the place."""


REQUIRED = object()

ITEMS: dict[str, dict[str, Any]] = {
    "groups": {"name": REQUIRED, "gid": REQUIRED},
    "users": {
        "name": REQUIRED,
        "uid": REQUIRED,
        "group": REQUIRED,
        "groups": [],
        "home": "/nonexistent",
        "shell": "/usr/sbin/nologin",
    },
    "directories": {"path": REQUIRED, "owner": "root", "group": "root", "mode": "0755"},
    "trust": {"name": REQUIRED, "pem": REQUIRED},
    "files": {
        "path": REQUIRED,
        "content": REQUIRED,
        "owner": "root",
        "group": "root",
        "mode": "0644",
        "validate": None,
        "show": True,
        "with_release": False,
    },
    "only": {"path": REQUIRED, "names": REQUIRED},
    "links": {"path": REQUIRED, "target": REQUIRED},
    "credentials": {"name": REQUIRED, "path": REQUIRED, "parameter": REQUIRED, "region": REQUIRED},
    "releases": {"root": REQUIRED, "id": REQUIRED, "version": REQUIRED, "allow_downgrade": False},
    "units": {
        "name": REQUIRED,
        "enabled": None,
        "state": None,
        "restart_on": [],
        "reload": False,
        "stamp": False,
        "ruleset": False,
        "executable": None,
        "permit": None,
        "force": False,
        "with_release": False,
    },
}
WORDS = ("hostname", "packages", "absent", "requires")
CHOICES = {"state": (None, "started", "stopped", "ran"), "enabled": (None, True)}


def fragment(raw: object, position: int) -> dict[str, Any]:
    """Return one fragment with every key that the core reads; DocumentError names what is wrong."""
    if not isinstance(raw, Mapping):
        raise DocumentError(f"fragments[{position}] is not a mapping")
    name = raw.get("name")
    if not isinstance(name, str):
        raise DocumentError(f"fragments[{position}] has no name")
    unknown = sorted(set(raw) - set(ITEMS) - set(WORDS) - {"name"})
    if unknown:
        allowed = ", ".join(sorted([*ITEMS, *WORDS, "name"]))
        raise DocumentError(f"fragment {name}: unknown key {unknown[0]!r}; allowed are {allowed}")
    whole: dict[str, Any] = {"name": name}
    for key in WORDS:
        whole[key] = [str(word) for word in raw.get(key) or []]
    for kind, fields in ITEMS.items():
        items = raw.get(kind) or []
        if isinstance(items, str | Mapping) or not isinstance(items, Sequence):
            raise DocumentError(f"fragment {name}: {kind} is not a list")
        whole[kind] = [_item(f"fragment {name}: {kind}[{i}]", item, fields) for i, item in enumerate(items)]
    return whole


def _item(where: str, raw: object, fields: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise DocumentError(f"{where} is not a mapping")
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise DocumentError(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(fields)}")
    item = {}
    for key, default in fields.items():
        if key not in raw and default is REQUIRED:
            raise DocumentError(f"{where}: {key} is missing")
        item[key] = raw.get(key, default)
        if key in CHOICES and item[key] not in CHOICES[key]:
            raise DocumentError(f"{where}: {key} is {item[key]!r}; allowed are {CHOICES[key]}")
    if "mode" in item and not (isinstance(item["mode"], str) and item["mode"].isdigit()):
        raise DocumentError(f"{where}: mode {item['mode']!r} must be a quoted octal number such as '0640'")
    return item
