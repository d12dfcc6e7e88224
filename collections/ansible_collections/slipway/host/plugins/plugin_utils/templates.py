"""Files of roles: templates rendered from named variables alone, and argument specs.

Rendered here rather than by Ansible's engine because of cost: that engine compiles every template in
every worker, a third of a second of CPU for each host. Here they are compiled once, before the workers
are forked (``warm``). A template sees the variables that its fragment names and nothing else.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ansible_collections.slipway.host.plugins.plugin_utils.document import DocumentError

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]


def nice_json(value: object) -> str:
    """Return ``value`` as indented JSON, keys in the order in which they were written."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@lru_cache(maxsize=8)
def environment(roles: str) -> jinja2.Environment:
    """Return the templates of the roles under one folder; an undefined variable is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(roles),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 (configuration files, not HTML)
        trim_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters["nice_json"] = nice_json
    return made


def warm(roles_path: list[str]) -> None:
    """Compile every template and read every argument spec on ``roles_path``, for workers to inherit."""
    for roles in roles_path:
        for found in sorted(Path(roles).glob("*/templates/*.j2")):
            environment(roles).get_template(str(found.relative_to(roles)))
        for found in sorted(Path(roles).glob("*/meta/argument_specs.yml")):
            options(str(found))


def find(roles_path: list[str], role: str, folder: str, file: str) -> Path:
    """Return the place of a role's file; DocumentError when no role has it."""
    for roles in roles_path:
        path = Path(roles) / role / folder / file
        if path.is_file():
            return path
    raise DocumentError(f"no role on roles_path ({', '.join(roles_path)}) has {role}/{folder}/{file}")


def render(roles_path: list[str], name: str, variables: dict[str, Any]) -> str:
    """Return ROLE/FILE rendered with ``variables``; DocumentError names the template and what is wrong."""
    role, _, file = name.partition("/")
    path = find(roles_path, role, "templates", file)
    roles = str(path.parent.parent.parent)
    try:
        return environment(roles).get_template(str(path.relative_to(roles))).render(variables)
    except jinja2.TemplateError as error:
        raise DocumentError(f"template {path}: {error}") from None


@lru_cache(maxsize=64)
def options(path: str) -> dict[str, Any]:
    """Return the options of a role's main entry point."""
    specs = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Loader)
    found: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return found
