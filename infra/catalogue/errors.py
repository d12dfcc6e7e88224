"""Errors of files that people write: every fault at once, with where, what was found, what is allowed."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a file."""

    key: str
    """Path of the key with dots and indices, empty for the file as a whole."""

    found: str
    allowed: str
    line: int | None = None


class FileFaultsError(ValueError):
    """A file cannot be used. ``str()`` is the whole list, ready for a person."""

    def __init__(self, file: Path | str, faults: Sequence[Fault]) -> None:
        self.file = str(file)
        self.faults = tuple(faults)
        super().__init__(self._text())

    def _text(self) -> str:
        count = len(self.faults)
        lines = [f"{self.file}: {count} error{'s' if count != 1 else ''}"]
        for fault in self.faults:
            where = fault.key or "(the file)"
            lines.append(f"  {where}" + (f" (line {fault.line})" if fault.line else ""))
            lines.append(f"    found:   {fault.found}")
            lines.append(f"    allowed: {fault.allowed}")
        return "\n".join(lines)


class CatalogueError(FileFaultsError):
    """A catalogue file is bad; the text names the file, each key, what was found and what is allowed."""


def contradiction(found: str, allowed: str) -> PydanticCustomError:
    """Return what a validator raises when keys that are fine alone do not go together."""
    return PydanticCustomError(
        "contradiction", "{found}; allowed: {allowed}", {"found": found, "allowed": allowed}
    )


def dotted(location: Iterable[str | int]) -> str:
    """Write a location as people do: ``modes.live.instruments[0].tick``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def faults_of(
    error: ValidationError,
    model: type[BaseModel],
    document: object,
    root: yaml.Node | None,
    *,
    hidden: Collection[str] = (),
) -> list[Fault]:
    """Translate pydantic's errors on `document` into faults; `root` (its YAML tree) gives the lines.

    `hidden` are fields of `model` that no file may give, and that are not offered as keys.
    """
    faults = []
    for item in error.errors(include_url=False):
        location = _in_document(item["loc"], document)
        faults.append(
            Fault(
                key=dotted(location),
                found=_found(item, location, document),
                allowed=_allowed(item, model, location, hidden),
                line=line_of(root, location),
            )
        )
    return faults


def line_of(root: yaml.Node | None, location: Sequence[str | int]) -> int | None:
    """Return the 1-based line where `location` (or the nearest part of it that exists) stands."""
    if root is None:
        return None
    node, line = root, root.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if str(key.value) == str(part):
                    node, line = value, key.start_mark.line + 1
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _in_document(location: Sequence[str | int], document: object) -> tuple[str | int, ...]:
    """Drop the parts that pydantic adds for unions and keys, which no file holds."""
    kept: list[str | int] = []
    here: Any = document
    for position, part in enumerate(location):
        if _holds(here, part):
            here = here[part]
            kept.append(part)
        elif position == len(location) - 1 and isinstance(here, dict) and part != "[key]":
            kept.append(part)
    return tuple(kept)


def _holds(here: object, part: str | int) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


def _found(item: Any, location: Sequence[str | int], document: object) -> str:
    if item["type"] == "missing":
        return "nothing"
    if item["type"] == "contradiction":
        return str(item["ctx"]["found"])
    here: Any = document
    for part in location:
        here = here[part] if _holds(here, part) else None
    text = repr(here)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


_LONGEST = 100
"""Characters of a found value that are shown."""


def _allowed(
    item: Any, model: type[BaseModel], location: Sequence[str | int], hidden: Collection[str]
) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            keys = ", ".join(key for key in _keys_at(model, location[:-1]) if key not in hidden)
            text = f"no such key; the keys here are {keys}" if keys else "no such key"
        case "missing":
            text = "this key must be given"
        case "literal_error" | "enum":
            text = f"one of {context['expected']}"
        case "union_tag_invalid":
            text = f"{context['discriminator']} is one of {context['expected_tags']}"
        case "union_tag_not_found":
            text = f"a mapping with the key {context['discriminator']}"
        case "string_pattern_mismatch":
            text = f"text that matches {context['pattern']}"
        case "contradiction":
            text = context["allowed"]
        case _:
            text = str(item["msg"]).removeprefix("Value error, ")
    return text


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that the models allow at `location`, over all members of a union."""
    candidates: list[Any] = [model]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            following.extend(_step(candidate, part))
        candidates = following
    keys: set[str] = set()
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            keys.update(candidate.model_fields)
    return sorted(keys)


def _step(annotation: Any, part: str | int) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return _flatten(field.annotation) if field else []
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        return _flatten(arguments[1])
    if typing.get_origin(annotation) in (tuple, list):
        return _flatten(arguments[0])
    return []


def _flatten(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in _flatten(member)]
    return [annotation]
