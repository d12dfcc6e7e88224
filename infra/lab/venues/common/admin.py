"""The lab's view of a simulator: HTTP on a unix socket, JSON in and out."""

from __future__ import annotations

import json
from typing import Any, Protocol

from aiohttp import web
from pydantic import ValidationError

from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.faults import FaultError, Faults
from infra.plan.model import Closed


class Administered(Protocol):
    """What the admin endpoints do to a venue."""

    record: EventRecord
    faults: Faults

    def state(self) -> dict[str, Any]:
        """Return the document of ``GET /state``."""

    def fault_changed(self, fault: Closed | None) -> None:
        """Act on a fault that was switched on; None means that some were switched off."""

    def move_market(self, document: dict[str, Any]) -> dict[str, Any]:
        """Do ``POST /market`` and return the market's new state; ValueError for a bad document."""

    def add_account(self, document: dict[str, Any]) -> None:
        """Do ``POST /accounts``: add an account, or replace the one of the same name."""


def application(venue: Administered) -> web.Application:
    """Build the admin endpoints of ``venue``."""

    async def state(_request: web.Request) -> web.Response:
        return web.json_response(venue.state() | {"faults": venue.faults.document()})

    async def events(request: web.Request) -> web.Response:
        since, wait = int(request.query.get("since", "0")), float(request.query.get("wait", "0"))
        if wait:
            await venue.record.wait(since, wait)
        return web.json_response({"events": venue.record.since(since), "last": venue.record.last})

    async def set_faults(request: web.Request) -> web.Response:
        for name, parameters in (await _object(request)).items():
            venue.fault_changed(venue.faults.set(name, parameters))
            venue.record.record("fault", fault=name, on=True)
        return web.json_response(venue.faults.document())

    async def clear_faults(request: web.Request) -> web.Response:
        venue.faults.clear(request.query.get("name"))
        venue.fault_changed(None)
        venue.record.record("fault", fault=request.query.get("name", "*"), on=False)
        return web.json_response(venue.faults.document())

    async def market(request: web.Request) -> web.Response:
        return web.json_response(venue.move_market(await _object(request)))

    async def accounts(request: web.Request) -> web.Response:
        venue.add_account(await _object(request))
        return web.json_response({})

    app = web.Application(middlewares=[_explain])
    app.router.add_get("/state", state)
    app.router.add_get("/events", events)
    app.router.add_post("/faults", set_faults)
    app.router.add_delete("/faults", clear_faults)
    app.router.add_post("/market", market)
    app.router.add_post("/accounts", accounts)
    return app


def totals(counters: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return the counters of all accounts, summed by name."""
    sums: dict[str, int] = {}
    for counts in counters.values():
        for name, number in counts.items():
            sums[name] = sums.get(name, 0) + number
    return sums


async def _object(request: web.Request) -> dict[str, Any]:
    document = json.loads(await request.text() or "{}")
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - a value from outside
    return document


@web.middleware
async def _explain(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except (FaultError, ValidationError, ValueError, KeyError) as error:
        return web.json_response({"error": str(error)}, status=400)
