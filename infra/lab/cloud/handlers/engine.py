"""The part of a Pulumi engine that the lab needs where there is none: the program's resources over boto3.

It stands where ``pulumi.runtime.set_mocks`` puts the SDK's mock monitor, and so hears every resource that
the program registers. For each it does what ``pulumi up`` would: nothing, create, update, replace; and at
the end it deletes what the program no longer wants. It looks at the cloud first, so what vanished (a lab
that was taken down) is made again.

Simpler than Pulumi's engine in one point: a replacement first deletes what depends on the replaced resource,
to be made again as the program registers it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.rpc import deserialize_properties

from infra.lab.cloud.handlers.base import Cloud, Handler, HandlerError, Made, changed
from infra.lab.cloud.handlers.state import Entry, State

Operation = Literal["same", "create", "adopt", "update", "replace", "delete", "keep"]

_PROVIDER = "pulumi:providers:aws"


@dataclass(frozen=True)
class Step:
    """One thing done to one resource, and how long it took in seconds."""

    operation: Operation
    type: str
    name: str
    id: str
    seconds: float


@dataclass(frozen=True)
class _Wanted:
    """A registration, as far as it matters here."""

    urn: str
    type: str
    name: str
    region: str
    inputs: dict[str, Any]
    dependencies: tuple[str, ...]
    protect: bool
    retain: bool
    ignored: frozenset[str]


class LabEngine(MockMonitor):
    """A resource monitor that keeps a cloud at what the program registers."""

    def __init__(
        self,
        registry: Mapping[str, Handler],
        state: State,
        endpoint: str | None,
        report: Callable[[Step], None],
    ) -> None:
        super().__init__(_NoMocks())
        self._registry = registry
        self._state = state
        self._endpoint = endpoint
        self._report = report
        self._clouds: dict[str, Cloud] = {}
        self._regions: dict[str, str] = {}
        self._registered: set[str] = set()
        # Resources are registered from several threads. The state is one; the calls to the cloud are not
        # held up by it, except a replacement, which deletes what others may be reading.
        self._lock = threading.RLock()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the monitor's protocol
        """Answer one registration, after the cloud holds it."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = deserialize_properties(request.object)
        if request.type == _PROVIDER:
            self._regions[urn] = inputs["region"]
            return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=request.object)
        wanted = _Wanted(
            urn=urn,
            type=request.type,
            name=request.name,
            region=self._region(request),
            inputs=inputs,
            dependencies=tuple(sorted(request.dependencies)),
            protect=request.protect,
            retain=request.retainOnDelete,
            ignored=frozenset(request.ignoreChanges),
        )
        try:
            made = self._reconcile(wanted)
        except (BotoCoreError, ClientError) as error:
            raise HandlerError(f"{wanted.name} ({wanted.type}) in {wanted.region}: {error}") from error
        response = resource_pb2.RegisterResourceResponse(urn=urn, id=made.id)
        # What was asked for and what the cloud decided: together, a resource's outputs.
        response.object.CopyFrom(request.object)
        response.object.update(made.outputs)
        self.resources[urn] = MockMonitor.ResourceRegistration(urn, made.id, {**inputs, **made.outputs})
        return response

    def finish(self) -> None:
        """Delete what the last run made and this run did not register; what is protected stays."""
        for urn, entry in reversed(list(self._state.resources.items())):
            if urn in self._registered or urn not in self._state.resources:
                continue
            if entry.protect:
                self._done("keep", entry.type, entry.name, entry.id, time.monotonic())
            else:
                self._delete(urn)

    def _region(self, request: Any) -> str:
        provider = request.provider.rsplit("::", 1)[0]
        if provider not in self._regions:
            raise HandlerError(
                f"{request.name} ({request.type}): no explicit provider, so no region;"
                " give its component one by ResourceOptions(provider=…)"
            )
        return self._regions[provider]

    def _reconcile(self, wanted: _Wanted) -> Made:
        handler = self._registry.get(wanted.type)
        if handler is None:
            raise HandlerError(
                f"{wanted.name}: the lab cannot make {wanted.type}; it can make {', '.join(self._registry)}"
            )
        with self._lock:
            self._registered.add(wanted.urn)
            entry = self._state.resources.get(wanted.urn)
            begun = wanted.urn in self._state.pending
            cloud = self._cloud(wanted.region)
        started = time.monotonic()
        live = None if entry is None else handler.read(cloud, entry.id, entry.inputs)
        if entry is None or live is None:
            return self._create(handler, cloud, wanted, started, may_exist=begun)
        wanted = _with_ignored(wanted, entry)
        if entry.region != wanted.region or handler.replaces(entry.inputs, wanted.inputs):
            return self._replace(handler, cloud, wanted, entry, started)
        operation: Operation = "same"
        if changed(entry.inputs, wanted.inputs):
            operation = "update"
            handler.update(cloud, entry.id, entry.inputs, wanted.inputs)
            live = handler.read(cloud, entry.id, wanted.inputs) or live
        return self._record(operation, wanted, live, started)

    def _create(
        self, handler: Handler, cloud: Cloud, wanted: _Wanted, started: float, *, may_exist: bool
    ) -> Made:
        found = handler.find(cloud, wanted.inputs) if may_exist else None
        if found is not None:
            return self._record("adopt", wanted, found, started)
        with self._lock:
            self._state.begin(wanted.urn)
        return self._record("create", wanted, handler.create(cloud, wanted.name, wanted.inputs), started)

    def _replace(
        self,
        handler: Handler,
        cloud: Cloud,
        wanted: _Wanted,
        entry: Entry,
        started: float,
    ) -> Made:
        if entry.protect:
            raise HandlerError(
                f"{wanted.name} ({wanted.type}) is protected, and a change of"
                f" {', '.join(sorted(changed(entry.inputs, wanted.inputs))) or 'its region'}"
                " would replace it; undo the change"
            )
        with self._lock:
            self._delete(wanted.urn)
            self._state.begin(wanted.urn)
            return self._record("replace", wanted, handler.create(cloud, wanted.name, wanted.inputs), started)

    def _delete(self, urn: str) -> None:
        """Delete a resource after everything that was made from it."""
        with self._lock:
            doomed = self._needing(urn)
            for other in doomed:
                entry = self._state.resources[other]
                if entry.protect:
                    raise HandlerError(
                        f"{entry.name} ({entry.type}) is protected, but what it was made from has to go:"
                        f" {urn.rsplit('::', 1)[1]}; undo that change"
                    )
            for other in doomed:
                self._remove(other)

    def _needing(self, urn: str) -> list[str]:
        """Return the resource and all that was made from it, the last made first."""
        needing = {urn}
        while True:
            more = {
                other
                for other, entry in self._state.resources.items()
                if other not in needing and needing & set(entry.dependencies)
            }
            if not more:
                break
            needing |= more
        # Dependencies are recorded before what depends on them, and an entry keeps its place: but a
        # resource made again comes last. So order by depth, not by place.
        ordered: list[str] = []
        while len(ordered) < len(needing):
            for other in needing - set(ordered):
                dependents = {one for one in needing if other in self._state.resources[one].dependencies}
                if dependents <= set(ordered):
                    ordered.append(other)
        return ordered

    def _remove(self, urn: str) -> None:
        entry = self._state.resources[urn]
        started = time.monotonic()
        if not entry.retain:
            handler = self._registry.get(entry.type)
            if handler is None:
                raise HandlerError(f"{entry.name}: the lab cannot delete {entry.type}, yet once made it")
            handler.delete(self._cloud(entry.region), entry.id, entry.inputs)
        self._state.drop(urn)
        self._done("keep" if entry.retain else "delete", entry.type, entry.name, entry.id, started)

    def _record(self, operation: Operation, wanted: _Wanted, made: Made, started: float) -> Made:
        entry = Entry(
            type=wanted.type,
            name=wanted.name,
            id=made.id,
            region=wanted.region,
            inputs=wanted.inputs,
            outputs=made.outputs,
            dependencies=wanted.dependencies,
            protect=wanted.protect,
            retain=wanted.retain,
        )
        with self._lock:
            if self._state.resources.get(wanted.urn) != entry or wanted.urn in self._state.pending:
                self._state.put(wanted.urn, entry)
        self._done(operation, wanted.type, wanted.name, made.id, started)
        return made

    def _done(self, operation: Operation, token: str, name: str, identity: str, started: float) -> None:
        self._report(Step(operation, token, name, identity, time.monotonic() - started))

    def _cloud(self, region: str) -> Cloud:
        with self._lock:
            return self._clouds.setdefault(region, Cloud(region, self._endpoint))


class _NoMocks(Mocks):
    """The engine answers registrations itself; the program asks the provider nothing."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise HandlerError(f"the lab answers no provider function; the program called {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise HandlerError(f"{args.name}: reading or importing {args.typ} is not served by the lab")


def _with_ignored(wanted: _Wanted, entry: Entry) -> _Wanted:
    """Give ignored properties the values that the resource was made with."""
    inputs = {key: value for key, value in wanted.inputs.items() if key not in wanted.ignored}
    kept = {key: value for key, value in entry.inputs.items() if key in wanted.ignored}
    return replace(wanted, inputs={**inputs, **kept})
