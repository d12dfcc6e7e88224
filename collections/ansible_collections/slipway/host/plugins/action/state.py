"""Action side of ``slipway.host.state``: render, read secrets, send one document, read one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 (Ansible's own name for it)
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.slipway.host.plugins.plugin_utils import document, parameters
from ansible_collections.slipway.host.plugins.plugin_utils.program import COMMAND, MARK, program


class ActionModule(ActionBase):
    """One round trip: the host observes, compares and acts on its own."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _VALID_ARGS = frozenset({"fragments", "roles", "lock_wait_s", "test_stop_after"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the host to the fragments and return what was changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = str(task_vars.get("inventory_hostname", "?"))
        _, arguments = self.validate_argument_spec(
            {
                "fragments": {"type": "list", "elements": "dict", "required": True},
                "roles": {"type": "list", "elements": "str", "default": []},
                "lock_wait_s": {"type": "float", "default": 60.0},
                "test_stop_after": {"type": "int"},
            }
        )
        try:
            for role in arguments["roles"]:
                self._check_arguments(role, task_vars)
            fragments = [self._fragment(raw, i) for i, raw in enumerate(arguments["fragments"])]
            parameters.fill(host, fragments)
        except (document.DocumentError, parameters.ParameterError) as error:
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

    def _fragment(self, raw: dict[str, Any], position: int) -> dict[str, Any]:
        """Return a fragment with its templates rendered (``template: ROLE/FILE`` instead of ``content``)."""
        files = []
        for item in raw.get("files") or []:
            whole = dict(item)
            if "template" in whole:
                whole["content"] = self._render(str(whole.pop("template")), whole.pop("vars", {}))
            elif "copy" in whole:
                role, _, file = str(whole.pop("copy")).partition("/")
                whole["content"] = self._source(role, "files", file).read_text(encoding="utf-8")
            files.append(whole)
        return document.fragment({**raw, "files": files}, position)

    def _source(self, role: str, folder: str, file: str) -> Path:
        for place in [*C.DEFAULT_ROLES_PATH, f"{self._loader.get_basedir()}/roles"]:
            path = Path(place) / role / folder / file
            if path.is_file():
                return path
        raise document.DocumentError(f"no role on roles_path ({', '.join(C.DEFAULT_ROLES_PATH)}) has {role}/{folder}/{file}")

    def _render(self, name: str, variables: dict[str, Any]) -> str:
        role, _, file = name.partition("/")
        source = trust_as_template(self._source(role, "templates", file).read_text(encoding="utf-8"))
        templar = self._templar
        if variables:
            templar = templar.copy_with_new_env(available_variables={**templar.available_variables, **variables})
        text = templar.template(source)
        if not isinstance(text, str):
            raise document.DocumentError(f"template {name} did not render to text")
        return text if text.endswith("\n") else text + "\n"

    def _check_arguments(self, role: str, task_vars: dict[str, Any]) -> None:
        """Check the role's variables against its meta/argument_specs.yml, as Ansible's own task would."""
        specs = self._loader.load_from_file(str(self._source(role, "meta", "argument_specs.yml")))
        options = specs["argument_specs"]["main"]["options"]
        given = {name: self._templar.template(task_vars[name]) for name in options if name in task_vars}
        checked = ArgumentSpecValidator(options).validate(given)
        if checked.error_messages:
            raise document.DocumentError(f"role {role}: {'; '.join(checked.error_messages)}")

    def _ask(self, host: str, sent: dict[str, Any]) -> dict[str, Any]:
        if self._connection.become and self._play_context.become_pass:
            raise AnsibleActionFail(f"{host}: sudo asks for a password; standard input carries the document, not a password")
        done = self._low_level_execute_command(COMMAND, in_data=program() + json.dumps(sent).encode())
        for line in reversed(done["stdout"].splitlines()):
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line[len(MARK) :])
                return answer
        words = (done["stderr"].strip() or done["stdout"].strip())[-1500:]
        raise AnsibleActionFail(
            f"{host}: the converge ended without an answer (exit status {done['rc']}): {words or 'no words'}. "
            f"What it had done stays; run it again"
        )


