"""Deploy a stack into a cloud on this machine: by the ``pulumi`` command where it is, else by its SDK alone.

The program is the same (``infra/__main__.py``), its configuration is the same stack file with the same
overrides, and both ways speak to the same endpoint. A deployment runs in a process of its own, because the
Pulumi SDK keeps its state in globals; it reports on standard output, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import runpy
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from infra.catalogue.errors import FileFaultsError
from infra.catalogue.load import load_catalogue
from infra.lab.cloud.handlers.state import State, StateError, sole_writer
from infra.plan.build import build_plan
from infra.plan.errors import PlanError
from infra.plan.inventory import Inventory
from infra.plan.model import Closed
from infra.plan.settings import REPOSITORY, STACKS_DIR, settings_from_mapping

PROJECT = "slipway"
_OUTPUT = "inventory"


class DeployError(Exception):
    """The stack could not be deployed; the text says which resource, file or command, and why."""


class Event(Closed):
    """One line of progress.

    ``command``: a line that a person could type to do the same. ``resource``: one resource is done.
    ``line``: a line of the ``pulumi`` command. ``inventory`` and ``error`` end a deployment.
    """

    event: Literal["command", "resource", "line", "inventory", "error"]
    text: str = ""
    operation: str = ""
    type: str = ""
    name: str = ""
    id: str = ""
    seconds: float = 0.0
    inventory: dict[str, Any] | None = None

    def __str__(self) -> str:
        if self.event == "resource":
            return f"{self.operation} {self.name} {self.id}"
        return self.text


class Request(Closed):
    """What to deploy, where, and which file remembers it."""

    stack: str
    overrides: dict[str, Any]
    endpoint: str
    state_file: Path


Progress = Callable[[Event], None]


def deploy(
    stack: str,
    overrides: Mapping[str, Any],
    *,
    endpoint: str,
    state_file: Path,
    progress: Progress = lambda _: None,
) -> Inventory:
    """Bring the cloud at ``endpoint`` to the stack with ``overrides`` laid over it; return its inventory.

    ``overrides`` are configuration keys (``slipway:mode``) with plain values; mappings are merged into the
    stack's. ``state_file`` remembers what was made: a second run makes nothing anew. The first events are
    the lines that a person would type to do the same with ``pulumi``. Raises DeployError; what was made by
    then is remembered.
    """
    request = Request(
        stack=stack, overrides=dict(overrides), endpoint=endpoint, state_file=state_file.absolute()
    )
    _refuse_what_cannot_be_planned(request)
    pulumi = shutil.which("pulumi")
    staging = Staging(request)
    try:
        with sole_writer(request.state_file):
            staging.prepare()
            for line in staging.typed():
                progress(Event(event="command", text=line))
            document = {} if pulumi is None else _by_command(pulumi, staging, progress)
        if pulumi is None:
            document = _by_sdk(request, progress)
    except StateError as error:
        raise DeployError(f"stack {stack}: {error}") from error
    try:
        return Inventory.model_validate(document)
    except ValidationError as error:
        raise DeployError(f"stack {stack}: its output {_OUTPUT!r} is no inventory: {error}") from error


def _refuse_what_cannot_be_planned(request: Request) -> None:
    """Plan once here, where it costs nothing: a bad stack is told at once and before anything is made."""
    file = STACKS_DIR / f"Pulumi.{request.stack}.yaml"
    try:
        config = stack_config(request.stack, request.overrides)
        build_plan(load_catalogue(), settings_from_mapping(request.stack, config, file=file))
    except (FileFaultsError, PlanError) as error:
        raise DeployError(f"stack {request.stack}: {error}") from error


def environment(endpoint: str) -> dict[str, str]:
    """Return the environment in which boto3 and the AWS provider reach the lab and nothing else.

    The caller's AWS identity is left out: a lab deployment never acts with it.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return {**kept, **_lab_identity(endpoint)}


def _lab_identity(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def stack_config(stack: str, overrides: Mapping[str, Any], directory: Path = STACKS_DIR) -> dict[str, Any]:
    """Return the keys of the stack's file with ``overrides`` laid over them (mappings are merged)."""
    path = directory / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(one.name.split(".")[1] for one in directory.glob("Pulumi.*.yaml")))
        raise DeployError(f"{path}: no such stack; there are {known or 'none'}") from None
    except yaml.YAMLError as error:
        raise DeployError(f"{path}: not YAML: {error}") from error
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise DeployError(f"{path}: config is {config!r}; allowed is a mapping of keys such as slipway:mode")
    return _merged(config, _full_keys(overrides))


def _full_keys(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {key if ":" in key else f"{PROJECT}:{key}": value for key, value in overrides.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        both = isinstance(lower, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(lower, value) if both else value  # type: ignore[arg-type] # both are mappings
    return merged


def _config_text(value: Any) -> str:
    """Return a value as Pulumi hands it to a program: text, and JSON where it is no plain string."""
    return value if isinstance(value, str) else json.dumps(value)


# --- by the SDK alone -------------------------------------------------------------------------------------


def _by_sdk(request: Request, progress: Progress) -> Mapping[str, Any]:
    """Run the program in a process of its own and pass its events on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.lab.cloud.deploy"],
        cwd=REPOSITORY,
        env=environment(request.endpoint),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(request.model_dump_json())
        process.stdin.close()
        result: Mapping[str, Any] | None = None
        failure = ""
        for event in _events(process):
            if event.event == "inventory":
                result = event.inventory
            elif event.event == "error":
                failure = event.text
            else:
                progress(event)
        errors = process.stderr.read() if process.stderr is not None else ""
    if failure or result is None or process.returncode != 0:
        why = failure or errors.strip() or f"ended with {process.returncode} and no inventory"
        raise DeployError(f"stack {request.stack}: {why}")
    return result


def _events(process: subprocess.Popen[str]) -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            yield Event.model_validate_json(line)
        except ValidationError:
            # Not ours: something in the program printed.
            yield Event(event="line", text=line.rstrip("\n"))


def run_program(request: Request, progress: Progress) -> Mapping[str, Any]:
    """Run the program in this process under the lab's engine; return its inventory.

    Raises StateError before anything is done where the state file is in use or unusable, and whatever the
    program or the cloud raises.
    """
    config = stack_config(request.stack, {**request.overrides, f"{PROJECT}:endpoint": request.endpoint})
    with sole_writer(request.state_file):
        state = State(request.state_file, request.stack)
        return _run_under_engine(request, config, state, progress)


def _run_under_engine(
    request: Request, config: Mapping[str, Any], state: State, progress: Progress
) -> Mapping[str, Any]:
    # The SDK and the AWS package take seconds to load: only a process that runs a program does it.
    import pulumi  # noqa: PLC0415
    from pulumi.runtime import set_all_config, set_mocks  # noqa: PLC0415
    from pulumi.runtime.settings import get_root_resource, reset_options  # noqa: PLC0415
    from pulumi.runtime.stack import run_pulumi_func  # noqa: PLC0415

    from infra.lab.cloud.handlers.engine import LabEngine, Step  # noqa: PLC0415
    from infra.lab.cloud.handlers.registry import REGISTRY  # noqa: PLC0415

    def report(step: Step) -> None:
        progress(
            Event(
                event="resource",
                operation=step.operation,
                type=step.type,
                name=step.name,
                id=step.id,
                seconds=round(step.seconds, 3),
            )
        )

    engine = LabEngine(REGISTRY, state, request.endpoint, report)
    # The loop first: the root stack that set_mocks makes has futures, and they belong to the loop of now.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        reset_options()
        set_mocks(engine.mocks, project=PROJECT, stack=request.stack, preview=False, monitor=engine)
        set_all_config({key: _config_text(value) for key, value in config.items()})
        program = str(REPOSITORY / "infra" / "__main__.py")
        loop.run_until_complete(run_pulumi_func(lambda: _ignore(runpy.run_path(program))))
        outputs = getattr(get_root_resource(), "outputs", {})
        if _OUTPUT not in outputs:
            raise DeployError(f"{program}: the program exports no {_OUTPUT!r}")
        inventory = loop.run_until_complete(pulumi.Output.from_input(outputs[_OUTPUT]).future())
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    engine.finish()
    return dict(inventory or {})


def _ignore(_: object) -> None:
    """Drop a program's globals: Pulumi would await what it returns."""


def main() -> int:
    """Read a request from standard input, deploy, and write events to standard output."""
    # The SDK is a million objects that live as long as this process: looking for garbage among them only
    # makes it a second slower to start.
    gc.disable()
    request = Request.model_validate_json(sys.stdin.read())

    def write(event: Event) -> None:
        sys.stdout.write(event.model_dump_json(exclude_defaults=True) + "\n")
        sys.stdout.flush()

    try:
        write(Event(event="inventory", inventory=dict(run_program(request, write))))
    except (DeployError, StateError) as error:
        write(Event(event="error", text=str(error)))
        return 1
    # What a program or a handler raises is told in one line; the traceback goes where a developer looks.
    except Exception as error:
        write(Event(event="error", text=str(error) or type(error).__name__))
        raise
    return 0


# --- by the pulumi command ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Staging:
    """A project directory beside the state file, so that a lab run writes nothing into the checkout.

    It holds a copy of the stack's file (Pulumi writes overrides and a salt into it) and links to the rest.
    """

    request: Request

    @property
    def directory(self) -> Path:
        """The project directory, as ``pulumi --cwd`` takes it."""
        return self.request.state_file.parent / "pulumi" / self.request.stack

    @property
    def home(self) -> Path:
        """Pulumi's own home for the lab: the user's login and plugins stay as they are."""
        return self.request.state_file.parent / "pulumi" / "home"

    @property
    def backend(self) -> str:
        """Where the state lies."""
        return f"file://{self.request.state_file.parent / 'pulumi' / 'state'}"

    @property
    def passphrase_file(self) -> Path:
        """The passphrase of the stack's secrets. Pulumi reads this file: it is in no argument or variable."""
        return self.request.state_file.parent / "pulumi" / "passphrase"

    def commands(self) -> list[list[str]]:
        """Return the commands, in their order; the last prints the inventory."""
        stack = self.request.stack
        base = ["pulumi", "--cwd", str(self.directory), "--non-interactive"]
        overrides = _full_keys({**self.request.overrides, f"{PROJECT}:endpoint": self.request.endpoint})
        settings = [
            ["config", "set", "--stack", stack, "--path", path, value]
            for key, value in sorted(overrides.items())
            for path, value in _paths(key, value)
        ]
        return [
            [*base, *command]
            for command in (
                ["login", self.backend],
                ["stack", "select", "--create", stack],
                *settings,
                ["up", "--yes", "--stack", stack],
                ["stack", "output", _OUTPUT, "--json", "--stack", stack],
            )
        ]

    def typed(self) -> list[str]:
        """Return the lines that a person would type, the environment first."""
        variables = {**_lab_identity(self.request.endpoint), **self._pulumi_variables()}
        exports = " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())
        return [f"export {exports}", *(shlex.join(command) for command in self.commands())]

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands; it names the passphrase's file, never the passphrase."""
        theirs = environment(self.request.endpoint)
        own = {key: value for key, value in theirs.items() if key != "PULUMI_CONFIG_PASSPHRASE"}
        return {**own, **self._pulumi_variables()}

    def _pulumi_variables(self) -> dict[str, str]:
        return {
            "PULUMI_HOME": str(self.home),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def prepare(self) -> None:
        """Make the directory anew; the state and the passphrase stay."""
        self.home.mkdir(parents=True, exist_ok=True)
        Path(self.backend.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
        if not self.passphrase_file.exists():
            self.passphrase_file.touch(mode=0o600)
            self.passphrase_file.write_text(secrets.token_urlsafe(32), encoding="utf-8")
        stacks = self.directory / STACKS_DIR.name
        stacks.mkdir(parents=True, exist_ok=True)
        name = f"Pulumi.{self.request.stack}.yaml"
        salt = _salt(stacks / name)
        stack_config(self.request.stack, {})
        document = yaml.safe_load((STACKS_DIR / name).read_text(encoding="utf-8"))
        # A stack's salt belongs to its state: a fresh copy without it could not read its own secrets.
        (stacks / name).write_text(yaml.safe_dump({**document, **salt}, sort_keys=False), encoding="utf-8")
        shutil.copyfile(REPOSITORY / "Pulumi.yaml", self.directory / "Pulumi.yaml")
        for shared in ("infra", "pyproject.toml", "uv.lock", ".venv", "README.md", "LICENSE"):
            link = self.directory / shared
            if (REPOSITORY / shared).exists() and not link.is_symlink():
                link.symlink_to(REPOSITORY / shared)


def _salt(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key == "encryptionsalt"}


def _paths(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return a value as the path and the text of ``pulumi config set --path``, one a plain value."""
    if isinstance(value, Mapping):
        for inner, one in sorted(value.items()):
            yield from _paths(f'{key}["{inner}"]' if not inner.isidentifier() else f"{key}.{inner}", one)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, one in enumerate(value):
            yield from _paths(f"{key}[{index}]", one)
    else:
        yield key, _config_text(value)


def _by_command(pulumi: str, staging: Staging, progress: Progress) -> Mapping[str, Any]:
    *earlier, output = staging.commands()
    for command in earlier:
        _run(pulumi, command, staging, lambda line: progress(Event(event="line", text=line)))
    lines: list[str] = []
    _run(pulumi, output, staging, lines.append)
    try:
        document = json.loads("\n".join(lines))
    except json.JSONDecodeError as error:
        raise DeployError(
            f"{shlex.join(output)}: printed no JSON ({error}): {' '.join(lines)[:200]}"
        ) from error
    if not isinstance(document, dict):
        raise DeployError(f"{shlex.join(output)}: printed {type(document).__name__}; a mapping is needed")
    return document


def _run(pulumi: str, command: Sequence[str], staging: Staging, line: Callable[[str], None]) -> None:
    errors_kept = 20
    with subprocess.Popen(
        [pulumi, *command[1:]],
        env=staging.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for text in process.stdout:
            line(text.rstrip("\n"))
        errors = process.stderr.read().strip().splitlines()
    if process.returncode != 0:
        raise DeployError(
            f"{shlex.join(command)}: ended with {process.returncode}: " + "\n".join(errors[-errors_kept:])
        )


if __name__ == "__main__":
    sys.exit(main())
