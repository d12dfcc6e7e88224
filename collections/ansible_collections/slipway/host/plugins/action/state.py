"""Action side of ``slipway.host.state``: render, read secrets, send one document, read one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible import constants as C  # noqa: N812 (Ansible's own name for it)
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

# What is imported and prepared here is done once, in the process that forks a worker for each host.
from ansible_collections.slipway.host.plugins.plugin_utils import (
    document,
    parameters,
    signature,
    templates,
    variables,
)
from ansible_collections.slipway.host.plugins.plugin_utils.program import COMMAND, MARK, program

SCALARS = {"bool", "int", "float"}
ARGUMENTS = {
    "fragments": {"type": "list", "elements": "raw", "required": True},
    "variables": {"type": "raw"},
    "roles": {"type": "list", "elements": "str", "default": []},
    "lock_wait_s": {"type": "float", "default": 60.0},
    "test_stop_after": {"type": "int"},
}

templates.warm(C.DEFAULT_ROLES_PATH)
variables.warm(C.DEFAULT_ROLES_PATH)
parameters.warm()
program()
REFUSALS = (document.DocumentError, parameters.ParameterError, signature.SignatureError)


class ActionModule(ActionBase):
    """One round trip: the host observes, compares and acts on its own."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the host to the fragments and return what was changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = str(task_vars.get("inventory_hostname", "?"))
        checked = ArgumentSpecValidator(ARGUMENTS).validate(dict(self._task.args))
        if checked.error_messages:
            raise AnsibleActionFail(f"{host}: slipway.host.state: {'; '.join(checked.error_messages)}")
        arguments = checked.validated_parameters
        scope = variables.Variables(task_vars, self._lookup)
        try:
            for role in arguments["roles"]:
                self._check_role(role, scope)
            shared = self._named(arguments["variables"] or {}, scope)
            fragments = [
                self._fragment(self._named(raw, scope), i, shared)
                for i, raw in enumerate(arguments["fragments"])
            ]
            parameters.fill(fragments)
        except REFUSALS as error:
            raise AnsibleActionFail(f"{host}: {error}") from None
        sent = {
            "check": bool(self._task.check_mode),
            "fragments": fragments,
            "lock_wait_s": arguments["lock_wait_s"],
        }
        if arguments["test_stop_after"] is not None:
            sent["test_stop_after"] = arguments["test_stop_after"]
        answer = self._ask(host, sent)
        diff = answer.pop("diff", [])
        if self._task.diff:
            result["diff"] = diff
        result.update(answer)
        if result.get("failed"):
            result["msg"] = f"{host}: {result['msg']}"
        return result

    def _named(self, given: Any, scope: variables.Variables) -> dict[str, Any]:
        """Return a mapping that was given as it is, or as the name of a variable."""
        if isinstance(given, str):
            if given not in scope:
                raise document.DocumentError(
                    f"no variable is called {given!r} (is its role imported in this play?)"
                )
            given = scope[given]
        if not isinstance(given, Mapping):
            raise document.DocumentError(
                f"a mapping or the name of one is needed, found {type(given).__name__}"
            )
        return dict(given)

    def _lookup(self, name: str, *terms: Any, **options: Any) -> list[Any]:
        """Run one of Ansible's lookups, for the expressions in role variables."""
        found = lookup_loader.get(name, loader=self._loader, templar=self._templar)
        if found is None:
            raise document.DocumentError(f"no lookup is called {name!r}")
        try:
            return list(found.run(list(terms), variables={}, **options))
        except AnsibleError as error:
            raise document.DocumentError(str(error)) from None

    def _check_role(self, role: str, scope: variables.Variables) -> None:
        """Check the role's variables against its meta/argument_specs.yml, as Ansible's own task would."""
        specs = templates.find(C.DEFAULT_ROLES_PATH, role, "meta", "argument_specs.yml")
        options = templates.options(str(specs))
        given = {}
        for name, option in options.items():
            if name in scope:
                # The plan was validated when the inventory was written: here it only has to be there.
                value = scope[name]
                given[name] = {} if option["type"] == "dict" and isinstance(value, dict) else value
        checked = ArgumentSpecValidator(options).validate(given)
        if checked.error_messages:
            raise document.DocumentError(f"role {role}: {'; '.join(checked.error_messages)}")
        for name, option in options.items():
            if option["type"] in SCALARS and name in given:  # `-e NAME=false` is a string until here
                scope.settle(name, checked.validated_parameters[name])

    def _fragment(self, whole: dict[str, Any], position: int, shared: dict[str, Any]) -> dict[str, Any]:
        """Return a fragment with its files' content (from ``template`` or ``copy: ROLE/FILE``)."""
        usable = {**shared, **whole.pop("variables", {})}
        whole["files"] = [self._file(dict(item), usable) for item in whole.get("files") or []]
        return document.fragment(whole, position)

    def _file(self, item: dict[str, Any], usable: dict[str, Any]) -> dict[str, Any]:
        own = item.pop("variables", {})
        if "template" in item:
            name = item.pop("template")
            item["content"] = templates.render(C.DEFAULT_ROLES_PATH, name, {**usable, **own})
        elif "copy" in item:
            role, _, file = item.pop("copy").partition("/")
            path = templates.find(C.DEFAULT_ROLES_PATH, role, "files", file)
            item["content"] = path.read_text(encoding="utf-8")
        return item

    def _ask(self, host: str, sent: dict[str, Any]) -> dict[str, Any]:
        if self._connection.become and self._play_context.become_pass:
            raise AnsibleActionFail(
                f"{host}: standard input carries the document, so sudo must not ask for a password there"
            )
        done = self._low_level_execute_command(COMMAND, in_data=program() + json.dumps(sent).encode())
        for line in reversed(done["stdout"].splitlines()):
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line[len(MARK) :])
                return answer
        words = (done["stderr"].strip() or done["stdout"].strip())[-1500:]
        raise AnsibleActionFail(
            f"{host}: the converge ended without an answer (exit {done['rc']}): {words or 'no words'}. "
            f"What it had done stays; run it again"
        )
