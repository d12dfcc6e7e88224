"""Reading a YAML file strictly: a key given twice, or one that is no text, is a fault and not a surprise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.catalogue.errors import Fault, FileFaultsError, dotted

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where it is built in: ten times faster, and the same language."""


def read_document(path: Path, error: type[FileFaultsError]) -> tuple[dict[str, Any], yaml.Node]:
    """Return the mapping in `path` with its YAML tree; raise `error` when there is no such mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise error(path, [Fault("", problem.strerror or str(problem), "a file that can be read")]) from None
    except UnicodeDecodeError as problem:
        raise error(path, [Fault("", f"byte {problem.start} is no UTF-8", "UTF-8 text")]) from None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        document = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        raise error(
            path, [Fault("", str(problem.problem), "well-formed YAML", mark.line + 1 if mark else None)]
        ) from None
    except (yaml.YAMLError, ValueError) as problem:
        raise error(path, [Fault("", str(problem), "well-formed YAML")]) from None
    if root is None or not isinstance(document, dict):
        raise error(path, [Fault("", type(document).__name__, "a mapping of keys to values")])
    if faults := _key_faults(root, ()):
        raise error(path, faults)
    return document, root


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`: mappings are merged key by key, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        lower = result.get(key)
        if isinstance(lower, Mapping) and isinstance(value, Mapping):
            result[key] = merged(lower, value)
        else:
            result[key] = value
    return result


def _key_faults(node: yaml.Node, location: tuple[str | int, ...]) -> list[Fault]:
    faults: list[Fault] = []
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            here = (*location, name)
            if key.tag != "tag:yaml.org,2002:str":
                faults.append(Fault(dotted(here), f"the key {name}", "a key that is text (quote it)", line))
            elif name in first:
                faults.append(
                    Fault(dotted(here), f"given before in line {first[name]}", "each key once", line)
                )
            else:
                first[name] = line
            faults.extend(_key_faults(value, here))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            faults.extend(_key_faults(value, (*location, index)))
    return faults
