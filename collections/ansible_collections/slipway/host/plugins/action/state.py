"""Action side of ``slipway.host.state``: render, read secrets, send one document, read one answer."""

from __future__ import annotations

import json
from typing import Any

from ansible import constants as C  # noqa: N812 (Ansible's own name for it)
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# What is imported and prepared here is done once, in the process that forks a worker for each host.
from ansible_collections.slipway.host.plugins.plugin_utils import document, parameters, signature, templates
from ansible_collections.slipway.host.plugins.plugin_utils.program import COMMAND, MARK, program

ARGUMENTS = {
    "fragments": {"type": "list", "elements": "dict", "required": True},
    "variables": {"type": "dict", "default": {}},
    "roles": {"type": "list", "elements": "str", "default": []},
    "lock_wait_s": {"type": "float", "default": 60.0},
    "test_stop_after": {"type": "int"},
}

templates.warm(C.DEFAULT_ROLES_PATH)
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
        arguments = self._arguments(host)
        try:
            for role in arguments["roles"]:
                self._check_role(role, task_vars)
            fragments = [
                self._fragment(raw, i, arguments["variables"]) for i, raw in enumerate(arguments["fragments"])
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

    def _arguments(self, host: str) -> dict[str, Any]:
        """Return the task's arguments as plain data (Ansible's own checks copy large ones several times)."""
        given = json.loads(json.dumps(self._task.args))
        large = {name: given.pop(name) for name in ("fragments", "variables") if name in given}
        if not isinstance(large.get("fragments"), list) or not isinstance(large.get("variables", {}), dict):
            raise AnsibleActionFail(
                f"{host}: slipway.host.state needs a list of fragments, and variables as a mapping"
            )
        small = {name: spec for name, spec in ARGUMENTS.items() if name not in {"fragments", "variables"}}
        checked = ArgumentSpecValidator(small).validate(given)
        if checked.error_messages:
            raise AnsibleActionFail(f"{host}: slipway.host.state: {'; '.join(checked.error_messages)}")
        return {"variables": {}, **checked.validated_parameters, **large}

    def _check_role(self, role: str, task_vars: dict[str, Any]) -> None:
        """Check the role's variables against its meta/argument_specs.yml, as Ansible's own task would."""
        options = templates.options(
            str(templates.find(C.DEFAULT_ROLES_PATH, role, "meta", "argument_specs.yml"))
        )
        given = {}
        for name, option in options.items():
            if name in task_vars:
                # The plan was validated when the inventory was written: here it only has to be there.
                large = option["type"] == "dict" and isinstance(task_vars[name], dict)
                given[name] = {} if large else self._templar.template(task_vars[name])
        checked = ArgumentSpecValidator(options).validate(given)
        if checked.error_messages:
            raise document.DocumentError(f"role {role}: {'; '.join(checked.error_messages)}")

    def _fragment(self, raw: dict[str, Any], position: int, variables: dict[str, Any]) -> dict[str, Any]:
        """Return a fragment with its files' content (from ``template`` or ``copy: ROLE/FILE``)."""
        whole = dict(raw)
        shared = {**variables, **whole.pop("variables", {})}
        whole["files"] = [self._file(dict(item), shared) for item in whole.get("files") or []]
        return document.fragment(whole, position)

    def _file(self, item: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        own = item.pop("variables", {})
        if "template" in item:
            name = item.pop("template")
            item["content"] = templates.render(C.DEFAULT_ROLES_PATH, name, {**variables, **own})
        elif "copy" in item:
            role, _, file = item.pop("copy").partition("/")
            item["content"] = templates.find(C.DEFAULT_ROLES_PATH, role, "files", file).read_text(
                encoding="utf-8"
            )
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
