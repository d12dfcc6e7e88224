"""Ansible's variables, each evaluated once a host.

What a role declares is ordinary Ansible (Jinja with Ansible's filters and lookups), but Ansible's engine
evaluates a variable anew wherever it is named and compiles every expression in every worker: more than
half a second of CPU for each host. Here expressions are compiled once, before workers are forked
(``warm``), and a value is kept once it is known. Values are native: a list stays a list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.plugins.filter import core, mathstuff
from ansible.template import is_trusted_as_template
from jinja2.nativetypes import NativeEnvironment, NativeTemplate

from ansible_collections.slipway.host.plugins.plugin_utils.document import DocumentError

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

SCOPE = "__scope__"
"""The name under which an expression finds the variables that it may use."""

Lookup = Callable[..., Any]


def _joined(values: Iterable[Any]) -> Any | None:
    """Return what an expression gave as it is; text around it makes text of it."""
    given = list(values)
    return given[0] if len(given) == 1 else "".join(str(node) for node in given)


class _Context(jinja2.runtime.Context):
    """Names are looked for in the expression itself, then among the variables."""

    def resolve_or_missing(self, key: str) -> Any:
        found = super().resolve_or_missing(key)
        if found is not jinja2.utils.missing:
            return found
        try:
            return self.parent[SCOPE][key]
        except KeyError:
            return jinja2.utils.missing


class _Environment(NativeEnvironment):
    """Ansible's filters, native values, no undefined names."""

    context_class = _Context
    concat = staticmethod(_joined)


class _Template(NativeTemplate):
    environment_class = _Environment


_Environment.template_class = _Template


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    made = _Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    made.filters.update(core.FilterModule().filters() | mathstuff.FilterModule().filters())
    return made


@lru_cache(maxsize=4096)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def _is_expression(value: str) -> bool:
    return "{{" in value or "{%" in value


def warm(roles_path: list[str]) -> None:
    """Compile every expression in the defaults and vars of the roles on ``roles_path``."""
    for roles in roles_path:
        for found in sorted(Path(roles).glob("*/[dv]*s/main.yml")):
            _warm(yaml.load(found.read_text(encoding="utf-8"), Loader=Loader))


def _warm(value: object) -> None:
    if isinstance(value, str):
        if _is_expression(value):
            with contextlib.suppress(jinja2.TemplateError):  # it is told where it is used
                _compiled(value)
    elif isinstance(value, dict):
        for item in value.values():
            _warm(item)
    elif isinstance(value, list):
        for item in value:
            _warm(item)


class Variables:
    """The variables of one host. Names that begin with an underscore are ordinary names."""

    def __init__(self, raw: Mapping[str, Any], lookup: Lookup) -> None:
        self._raw = raw
        self._known: dict[str, Any] = {}
        self._open: list[str] = []
        self._scope = {
            SCOPE: self,
            "lookup": lambda name, *terms, **options: _first(lookup(name, *terms, **options)),
            "query": lookup,
        }

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def __getitem__(self, name: str) -> Any:
        """Return a variable's value; KeyError when there is none, DocumentError when it cannot be had."""
        if name in self._known:
            return self._known[name]
        raw = self._raw[name]
        if name in self._open:
            raise DocumentError(f"variable {name} is defined by itself ({' -> '.join([*self._open, name])})")
        self._open.append(name)
        try:
            value = self.value(raw)
        except jinja2.TemplateError as error:
            raise DocumentError(f"variable {name}: {error}") from None
        finally:
            self._open.pop()
        self._known[name] = value
        return value

    def settle(self, name: str, value: Any) -> None:
        """Take ``value`` for ``name`` from now on (as its argument spec made it of what was given)."""
        self._known[name] = value

    def value(self, raw: Any) -> Any:
        """Return ``raw`` with every expression in it evaluated, as plain data."""
        if isinstance(raw, str):
            if _is_expression(raw) and is_trusted_as_template(raw):
                return _compiled(str(raw)).render(self._scope)
            return str(raw)
        if isinstance(raw, Mapping):
            return {str(key): self.value(item) for key, item in raw.items()}
        if isinstance(raw, list | tuple):
            return [self.value(item) for item in raw]
        return raw


def _first(found: list[Any]) -> Any:
    return found[0] if len(found) == 1 else found
