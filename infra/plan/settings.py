"""What a stack wants: the ``slipway:*`` keys of its file, checked whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from infra.catalogue.documents import merged, read_document
from infra.catalogue.errors import Fault, FileFaultsError, contradiction, faults_of
from infra.plan.addressing import HOSTS_PER_VENUE
from infra.plan.errors import PlanError
from infra.plan.model import Closed, InstrumentPlan, Mode, Name, VenueLimits
from infra.plan.naming import PROJECT

REPOSITORY = Path(__file__).parents[2]
STACKS_DIR = REPOSITORY / "stacks"
"""Where ``stackConfigDir`` of Pulumi.yaml points."""

_PREFIX = f"{PROJECT}:"


class SettingsError(FileFaultsError, PlanError):
    """A stack's settings are bad; the text names the file, each key, what was found and what is allowed."""


class VenueSettings(Closed):
    """One venue in a stack. Everything may be left out; then the catalogue decides."""

    modes: dict[Literal["test", "live"], Literal["test", "live", "absent"]] = Field(default_factory=dict)
    """What this venue runs in while the stack runs in the key: ``{test: absent}`` leaves it out of a test
    stack. Nothing leads into or out of ``simulated``: the lab is never mixed with a real venue."""

    place: Name | None = None
    instance_type: str | None = None
    hosts: Annotated[int, Field(ge=1, le=HOSTS_PER_VENUE)] = 1
    strategy: str | None = None
    parameters: dict[str, str | int] = Field(default_factory=dict)
    instruments: tuple[InstrumentPlan, ...] | None = None
    settings: dict[str, str | int | bool] = Field(default_factory=dict)
    limits: dict[str, Annotated[Decimal, Field(gt=0)]] = Field(default_factory=dict)
    """Limits that are tighter than the catalogue's."""

    endpoints: dict[str, str] = Field(default_factory=dict)
    """Addresses that the venue assigned to us, where it publishes none."""

    @model_validator(mode="after")
    def _limits_are_known(self) -> VenueSettings:
        for key in self.limits:
            if key not in VenueLimits.model_fields:
                raise contradiction(f"limits.{key}", f"one of {', '.join(VenueLimits.model_fields)}")
        return self

    def mode_in(self, stack_mode: Mode) -> Mode | Literal["absent"]:
        """Return the mode this venue runs in when its stack runs in `stack_mode`."""
        return stack_mode if stack_mode == "simulated" else self.modes.get(stack_mode, stack_mode)


class CloudSettings(Closed):
    """What the Pulumi program needs beside the plan: the owner's account and keys. None of it is a secret."""

    public_key: (
        Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]+( .*)?$")] | None
    ) = None
    """The operators' login key, in OpenSSH's one-line form (``ssh-ed25519 AAAA… name``)."""

    account: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")] | None = None
    """Refuse to work in any AWS account but this one (in quotes: YAML reads bare digits as a number)."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """An EC2-compatible endpoint instead of AWS: the lab's."""

    notify: tuple[str, ...] = ()
    """E-mail addresses that budget warnings go to."""

    alarm_topics: dict[str, str] = Field(default_factory=dict)
    """By region: the ARN of the SNS topic that host alarms go to."""


class StackSettings(CloudSettings):
    """A stack's wishes. ``stack`` is its name; the other fields are the keys ``slipway:<field>``."""

    stack: Name
    phase: Annotated[int, Field(ge=1, le=3)]
    mode: Mode
    venues: Annotated[dict[Name, VenueSettings], Field(min_length=1)]
    owner: Annotated[str, StringConstraints(min_length=1)]
    cost_center: Annotated[str, StringConstraints(min_length=1)]
    monthly_budget_usd: Annotated[Decimal, Field(gt=0)]
    instance_type: str = "c8a.xlarge"
    isolation: Literal["on", "off"] = "on"
    """Whether hosts that can isolate CPUs do; the lab's containers never can."""

    images: dict[str, Annotated[str, StringConstraints(pattern=r"^ami-[0-9a-f]{8,17}$")]] = Field(
        default_factory=dict
    )
    """Pinned machine image by region, for every region with real hosts."""


def settings_from_mapping(
    stack: str, mapping: Mapping[str, Any], *, file: Path | str = "stack settings"
) -> StackSettings:
    """Build settings from configuration keys, with or without ``slipway:`` before them.

    Values may be JSON text where a field is no plain string, as ``pulumi.Config`` hands them out; keys of
    other programs (``aws:…``, ``pulumi:…``) are left alone. Raises SettingsError naming `file`.
    """
    return _validated(stack, _own_keys(mapping), file, None)


def load_settings(
    stack: str,
    mode: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    directory: Path = STACKS_DIR,
) -> StackSettings:
    """Read ``Pulumi.<stack>.yaml`` of `directory`; lay `overrides` (merged), then `mode` over it.

    Raises SettingsError naming the file, each bad key, what was found and what is allowed.
    """
    path = directory / f"Pulumi.{stack}.yaml"
    document, root = read_document(path, SettingsError)
    config = document.get("config")
    if not isinstance(config, dict):
        raise SettingsError(path, [Fault("config", repr(config), "a mapping of keys such as slipway:mode")])
    wishes = _own_keys(config)
    wishes = merged(wishes, _own_keys(overrides or {}))
    if mode is not None:
        wishes["mode"] = mode
    tree = next((value for key, value in root.value if key.value == "config"), None)
    return _validated(stack, wishes, path, tree)


def _validated(stack: str, wishes: dict[str, Any], file: Path | str, tree: yaml.Node | None) -> StackSettings:
    document = {**wishes, "stack": stack}
    if "stack" in wishes:
        raise SettingsError(
            file, [Fault(f"{_PREFIX}stack", repr(wishes["stack"]), "no such key; the file's name says it")]
        )
    try:
        return StackSettings.model_validate(document)
    except ValidationError as error:
        faults = faults_of(error, StackSettings, document, _unprefixed(tree), hidden=("stack",))
        raise SettingsError(
            file, [Fault(f"{_PREFIX}{f.key}" if f.key else "", f.found, f.allowed, f.line) for f in faults]
        ) from None


def _own_keys(mapping: Mapping[str, Any]) -> dict[str, Any]:
    own = {}
    for key, value in mapping.items():
        name = key.removeprefix(_PREFIX)
        if ":" not in name:
            own[name] = _decoded(name, value)
    return own


def _decoded(name: str, value: Any) -> Any:
    """Undo the JSON text in which ``pulumi.Config`` holds mappings and lists."""
    field = StackSettings.model_fields.get(name)
    if field is None or not isinstance(value, str) or get_origin(field.annotation) not in (dict, tuple):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _unprefixed(tree: yaml.Node | None) -> yaml.Node | None:
    if isinstance(tree, yaml.MappingNode):
        for key, _ in tree.value:
            key.value = str(key.value).removeprefix(_PREFIX)
    return tree
