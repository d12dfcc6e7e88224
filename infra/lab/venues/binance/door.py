"""The door that every request passes, whichever way it came: address, limits, key, time, signature."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.exchange import Exchange
from infra.lab.venues.binance.faults import Delay, RejectOrders
from infra.lab.venues.binance.limits import RateLimits
from infra.lab.venues.binance.operations import Call, Operation
from infra.lab.venues.binance.security import Identity, Keys, Window, verify
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.faults import Faults


@dataclass(frozen=True)
class Request:
    """One request: where from, what, and what was signed. ``session`` stands in for key and signature."""

    address: str
    operation: Operation
    parameters: Mapping[str, str]
    api_key: str | None = None
    payload: bytes = b""
    session: Identity | None = None


class Door:
    """Lets requests in or refuses them."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        keys: Keys,
        limits: RateLimits,
        clock: VenueClock,
        record: EventRecord,
        faults: Faults,
    ) -> None:
        self.exchange = exchange
        self.keys = keys
        self.limits = limits
        self.clock = clock
        self.record = record
        self.faults = faults

    def authorise(self, request: Request) -> tuple[Identity, Window]:
        """Check key, permission, address, time and signature of a signed request."""
        permission = request.operation.permission
        assert permission is not None
        if request.session is not None and not request.api_key:
            identity = request.session
            if not self.keys.allows(identity, request.address, permission):
                raise errors.bad_key()
            window = Window(request.parameters)
            window.check_arrival(self.clock.us())
            return identity, window
        identity = self.keys.identify(request.api_key, request.address, permission)
        window = Window(request.parameters)
        signature = request.parameters.get("signature")
        if not signature:
            raise errors.missing("signature")
        window.check_arrival(self.clock.us())
        verify(identity.key, request.payload, signature)
        return identity, window

    async def answer(self, request: Request) -> tuple[Any, str | None]:
        """Answer a request; also return the account whose order count belongs to the reply."""
        operation = request.operation
        self.limits.spend(request.address, operation.weigh(request.parameters))
        identity: Identity | None = None
        try:
            operation.check_parameters(request.parameters)
            window: Window | None = None
            if operation.permission is not None:
                identity, window = self.authorise(request)
                if operation.places_order:
                    client_id = request.parameters.get("newClientOrderId", "")
                    self.record.record("sent", identity.account, client_id, address=request.address)
            if (delay := self.faults.get(Delay)) is not None:
                await asyncio.sleep(delay.ms / 1000)
            if window is not None:
                window.check_matching(self.clock.us())
            if operation.places_order:
                self._reject_by_fault()
            account = self.exchange.accounts[identity.account] if identity else None
            call = Call(self.exchange, self.limits, self.clock, request.parameters, account)
            result = operation.answer(call)
        except ApiError as error:
            self._record_refusal(request, identity, error)
            raise
        return result, identity.account if identity and operation.places_order else None

    def _reject_by_fault(self) -> None:
        fault = self.faults.get(RejectOrders)
        if fault is not None:
            raise ApiError(400, fault.code, fault.message)

    def _record_refusal(self, request: Request, identity: Identity | None, error: ApiError) -> None:
        names = ("newClientOrderId", "origClientOrderId")
        client_id = next((value for name in names if (value := request.parameters.get(name))), "")
        kind = "reject" if request.operation.places_order or identity is None else "refuse"
        self.record.record(
            kind,
            identity.account if identity else "",
            client_id,
            code=error.code,
            text=error.message,
            address=request.address,
        )
