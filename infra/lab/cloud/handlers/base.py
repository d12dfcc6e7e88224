"""What a handler of one resource type is: create, read, update and delete over boto3."""

# ruff: noqa: ARG002, D102 - what each method does is told once, in Handler

from __future__ import annotations

import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

Inputs = Mapping[str, Any]
"""A resource's properties as Pulumi sends them: camelCase names, plain values."""

_NOT_FOUND = ("NotFound", "NotFoundException", "NoSuchEntity", "NoSuchEntityException", "Unknown")


class HandlerError(Exception):
    """The cloud does not hold what a handler needs to go on."""


@dataclass(frozen=True)
class Made:
    """A resource as it is in the cloud: its id, and the properties that the cloud decided."""

    id: str
    outputs: dict[str, Any] = field(default_factory=dict)


class Cloud:
    """boto3 clients of one region, each made once; boto3's clients may be shared by threads.

    ``endpoint`` is the URL that serves every API; ``None`` leaves boto3's own rules (``AWS_ENDPOINT_URL``).
    """

    def __init__(self, region: str, endpoint: str | None = None) -> None:
        self.region = region
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """Return the client of a service by boto3's name of it (``ec2``, ``kms``)."""
        with self._lock:
            if service not in self._clients:
                make: Callable[..., Any] = boto3.client
                self._clients[service] = make(
                    service,
                    region_name=self.region,
                    endpoint_url=self._endpoint,
                    # One attempt: a lab that fails is to be seen, not retried into the next fault.
                    config=Config(retries={"total_max_attempts": 1}, read_timeout=300),
                )
            return self._clients[service]


class Handler(ABC):
    """One resource type."""

    resource_type: ClassVar[str]
    """Pulumi's type token."""

    updates: ClassVar[frozenset[str]] = frozenset({"tags"})
    """Properties that change in place; a change of any other means a new resource."""

    @abstractmethod
    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        """Make the resource. ``name`` is its logical name."""

    @abstractmethod
    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        """Return the resource, or ``None`` where it has vanished."""

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        """Bring an existing resource from ``old`` to ``new``, which ``replaces`` has allowed."""
        raise NotImplementedError(f"{self.resource_type} has no update in place")

    def replaces(self, old: Inputs, new: Inputs) -> bool:
        """Tell whether going from ``old`` to ``new`` takes a new resource."""
        return not changed(old, new) <= self.updates

    @abstractmethod
    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        """Remove the resource; one that is gone already is no error."""

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        """Return a resource that an interrupted run made and did not record."""
        return None


def changed(old: Inputs, new: Inputs) -> frozenset[str]:
    """Return the names of the properties that differ."""
    return frozenset(key for key in {*old, *new} if old.get(key) != new.get(key))


def physical_name(logical: str, given: str | None, limit: int = 64) -> str:
    """Return the given name, or ours with seven random digits, as Pulumi names things."""
    return given or f"{logical[: limit - 8]}-{secrets.token_hex(4)[:7]}"


def tag_list(inputs: Inputs) -> list[dict[str, str]]:
    """Return the tags in the form that most AWS APIs take."""
    return [{"Key": key, "Value": value} for key, value in sorted((inputs.get("tags") or {}).items())]


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that have a value: AWS tells an absent one from an empty one."""
    return {key: value for key, value in values.items() if value is not None}


def none_if_missing(call: Callable[[], Any]) -> Any:
    """Call and return; a resource that the cloud does not know gives ``None``."""
    try:
        return call()
    except ClientError as error:
        if str(error.response["Error"]["Code"]).endswith(_NOT_FOUND):
            return None
        raise


class Ec2Handler(Handler):
    """Base of EC2's taggable things: one describe call, filters, tags."""

    kind: ClassVar[str]
    """EC2's name of the type in tag specifications."""

    describe: ClassVar[str]
    """The describe operation, as a method of the client."""

    listed: ClassVar[str]
    """The key of the described list."""

    identity: ClassVar[str]
    """The id's key in an entry; also the singular argument of the delete operation."""

    ids: ClassVar[str]
    """The argument of the describe operation that takes ids."""

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the computed properties of a described entry."""
        del entry
        return {}

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        answer = none_if_missing(lambda: self._describe(cloud, **{self.ids: [identity]}))
        return self._made(answer)

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        tags = inputs.get("tags") or {}
        if not {"Name", "Stack"} <= set(tags):
            return None
        filters = [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in ("Name", "Stack")]
        return self._made(self._describe(cloud, Filters=filters))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        retag(cloud, identity, old, new)

    def tag_specification(self, inputs: Inputs) -> list[dict[str, Any]]:
        """Return the ``TagSpecifications`` of a create call: tagged from its first moment."""
        return [{"ResourceType": self.kind, "Tags": tag_list(inputs)}] if inputs.get("tags") else []

    def _describe(self, cloud: Cloud, **arguments: Any) -> Any:
        return getattr(cloud.client("ec2"), self.describe)(**arguments)

    def _made(self, answer: Mapping[str, Any] | None) -> Made | None:
        entries = [entry for entry in (answer or {}).get(self.listed, []) if self.alive(entry)]
        return Made(entries[0][self.identity], self.outputs(entries[0])) if entries else None

    def alive(self, entry: Mapping[str, Any]) -> bool:
        """Tell an entry that is there from one that EC2 still lists after its end."""
        return bool(entry)


def retag(cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
    """Make an EC2 resource's tags those of ``new``; tags that others put on it stay."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    gone = sorted(set(before) - set(after))
    if gone:
        cloud.client("ec2").delete_tags(Resources=[identity], Tags=[{"Key": key} for key in gone])
    if after != before and after:
        cloud.client("ec2").create_tags(Resources=[identity], Tags=tag_list(new))
