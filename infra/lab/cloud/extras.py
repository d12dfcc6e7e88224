"""What the lab answers beside moto: placement groups, console output, images of every well-formed id."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.sax.saxutils import escape

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
IMAGE_ID = re.compile(r"ami-[0-9a-f]{8,17}")
STRATEGIES = ("cluster", "partition", "spread")

Form = Mapping[str, str]
"""A call's parameters in EC2's query form."""


class ApiError(Exception):
    """An error as EC2 answers it: a code that programs read and a message that people read."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    def xml(self) -> str:
        """Return the answer's body (it goes out with status 400)."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>'
            f"<Code>{escape(self.code)}</Code><Message>{escape(str(self))}</Message>"
            f"</Error></Errors><RequestID>{_request_id()}</RequestID></Response>"
        )


@dataclass
class PlacementGroup:
    """One placement group of a region."""

    name: str
    strategy: str
    tags: dict[str, str]
    id: str = field(default_factory=lambda: f"pg-{secrets.token_hex(8)}0")

    def xml(self) -> str:
        """Return the group as an item of EC2's answers."""
        tags = "".join(
            f"<item><key>{escape(key)}</key><value>{escape(value)}</value></item>"
            for key, value in sorted(self.tags.items())
        )
        return (
            f"<groupName>{escape(self.name)}</groupName><groupId>{self.id}</groupId>"
            f"<strategy>{self.strategy}</strategy><state>available</state><tagSet>{tags}</tagSet>"
        )


class PlacementGroups:
    """The placement groups of all regions; ``in_use`` are those that an instance is in."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], PlacementGroup] = {}

    def create(self, region: str, form: Form) -> str:
        """Serve CreatePlacementGroup."""
        name = form.get("GroupName", "")
        strategy = form.get("Strategy", "cluster")
        if not name:
            raise ApiError("MissingParameter", "The request must contain the parameter GroupName")
        if strategy not in STRATEGIES:
            allowed = ", ".join(STRATEGIES)
            raise ApiError("InvalidParameterValue", f"Strategy {strategy!r} is none of {allowed}")
        if (region, name) in self._groups:
            raise ApiError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        group = PlacementGroup(name, strategy, _tags(form))
        self._groups[region, name] = group
        return answer(
            "CreatePlacementGroup", f"<return>true</return><placementGroup>{group.xml()}</placementGroup>"
        )

    def describe(self, region: str, form: Form) -> str:
        """Serve DescribePlacementGroups, by name, by id or with filters on name, strategy, state and tags."""
        groups = [group for (where, _), group in sorted(self._groups.items()) if where == region]
        names, ids = _list(form, "GroupName"), _list(form, "GroupId")
        unknown = (set(names) - {group.name for group in groups}) | (
            set(ids) - {group.id for group in groups}
        )
        if unknown:
            listed = ", ".join(sorted(unknown))
            raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{listed}' is unknown.")
        if names or ids:
            groups = [group for group in groups if group.name in names or group.id in ids]
        for key, values in _filters(form).items():
            groups = [group for group in groups if _attribute(group, key) in values]
        items = "".join(f"<item>{group.xml()}</item>" for group in groups)
        return answer("DescribePlacementGroups", f"<placementGroupSet>{items}</placementGroupSet>")

    def delete(self, region: str, form: Form, in_use: set[str]) -> str:
        """Serve DeletePlacementGroup."""
        name = form.get("GroupName", "")
        self.require(region, name)
        if name in in_use:
            message = f"The placement group '{name}' is in use and may not be deleted."
            raise ApiError("InvalidPlacementGroup.InUse", message)
        del self._groups[region, name]
        return answer("DeletePlacementGroup", "<return>true</return>")

    def require(self, region: str, name: str) -> None:
        """Raise EC2's error when a region has no such group."""
        if (region, name) not in self._groups:
            raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


def console_output(instance_id: str, keys: list[str]) -> str:
    """Serve GetConsoleOutput: the host keys in cloud-init's block; nothing before the first boot."""
    text = ""
    if keys:
        text = "\n".join(["-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----", ""])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    body = (
        f"<instanceId>{instance_id}</instanceId><timestamp>{now}</timestamp>"
        f"<output>{base64.b64encode(text.encode()).decode()}</output>"
    )
    return answer("GetConsoleOutput", body)


def answer(action: str, body: str) -> str:
    """Return a whole answer in EC2's XML."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="{NAMESPACE}">'
        f"<requestId>{_request_id()}</requestId>{body}</{action}Response>"
    )


def image_ids(form: Form) -> list[str]:
    """Return the well-formed image ids that a call names."""
    named = [*_list(form, "ImageId"), *([form["ImageId"]] if "ImageId" in form else [])]
    named += _filters(form).get("image-id", [])
    return [name for name in dict.fromkeys(named) if IMAGE_ID.fullmatch(name)]


def _request_id() -> str:
    raw = secrets.token_hex(16)
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def _list(form: Form, key: str) -> list[str]:
    pattern = re.compile(rf"{re.escape(key)}\.\d+")
    return [value for name, value in form.items() if pattern.fullmatch(name)]


def _filters(form: Form) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in form.items():
        match = re.fullmatch(r"Filter\.(\d+)\.Name", name)
        if match:
            found[value] = _list(form, f"Filter.{match[1]}.Value")
    return found


def _tags(form: Form) -> dict[str, str]:
    found = {}
    for name, value in form.items():
        match = re.fullmatch(r"(TagSpecification\.\d+\.Tag\.\d+)\.Key", name)
        if match:
            found[value] = form.get(f"{match[1]}.Value", "")
    return found


def _attribute(group: PlacementGroup, key: str) -> str | None:
    if key.startswith("tag:"):
        return group.tags.get(key.removeprefix("tag:"))
    values = {
        "group-name": group.name,
        "group-id": group.id,
        "strategy": group.strategy,
        "state": "available",
    }
    if key not in values:
        raise ApiError("InvalidParameterValue", f"The filter '{key}' is invalid")
    return values[key]
