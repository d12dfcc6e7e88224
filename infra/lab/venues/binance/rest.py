"""The REST front end."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import unquote_plus
from uuid import uuid4

from aiohttp import web

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.door import Door, Request
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.operations import REST, Operation
from infra.lab.venues.common.faults import HttpStatus

RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this "
    "message in error."
)


def restricted_response() -> web.Response:
    """Return the 451 of a restricted country."""
    return web.json_response({"code": 0, "msg": RESTRICTED}, status=451)


class RestFrontEnd:
    """Carries HTTP requests to the door. ``flush`` sends the user data events that a request caused."""

    def __init__(self, door: Door, flush: Callable[[], None]) -> None:
        self._door = door
        self._flush = flush

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request under /api."""
        address = str(ip_address(request.remote or "0.0.0.0"))  # noqa: S104 - a source address, nothing is bound
        operation = REST.get((request.method, request.path))
        if operation is None:
            return _unknown(request)
        fault = self._door.faults.get(HttpStatus)
        if fault is not None and fault.paths and request.path not in fault.paths:
            fault = None
        if fault is not None and not fault.after:
            return _failed(fault)
        response = await self._answer(request, operation, address)
        self._flush()
        return _failed(fault) if fault is not None else response

    async def _answer(self, request: web.Request, operation: Operation, address: str) -> web.Response:
        account: str | None = None
        headers: dict[str, str] = {}
        try:
            body = await request.read()
            if body and request.method == "GET":
                body = b""
            parameters, payload = _signed_parts(request.raw_path.partition("?")[2].encode("latin-1"), body)
            api_key = request.headers.get("X-MBX-APIKEY")
            result, account = await self._door.answer(
                Request(address, operation, parameters, api_key, payload)
            )
            status, document = 200, result
        except ApiError as error:
            status, document = error.status, error.document()
            if error.retry_after_ms is not None:
                wait_ms = max(error.retry_after_ms - time.time_ns() // 1_000_000, 0)
                headers["Retry-After"] = str(-(-wait_ms // 1000))
        headers |= self._door.limits.headers(address, account) | {"x-mbx-uuid": str(uuid4())}
        return web.json_response(document, status=status, headers=headers)


def _signed_parts(query: bytes, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the decoded parameters and the bytes that the signature covers.

    Covered is the query followed by the body, as they were sent, without the signature itself. Both
    must be percent-encoded before they are signed: a raw non-ASCII byte is -1022 whatever was signed.
    """
    parameters: dict[str, str] = {}
    covered = b""
    for part in (query, body):
        if not part.isascii():
            raise errors.bad_signature()
        seen: set[str] = set()
        pairs = [pair for pair in part.decode("ascii").split("&") if pair]
        for pair in pairs:
            name, _, value = pair.partition("=")
            name = unquote_plus(name)
            if name in seen:
                raise ApiError(400, -1101, f"Duplicate values for parameter '{name}' detected.")
            seen.add(name)
            parameters.setdefault(name, unquote_plus(value))
        covered += "&".join(pair for pair in pairs if not pair.startswith("signature=")).encode()
    return parameters, covered


def _unknown(request: web.Request) -> web.Response:
    if request.path.startswith("/api/v3/userDataStream"):
        text = "This service is no longer available: use userDataStream.subscribe on the WebSocket API."
        return web.json_response({"code": -1016, "msg": text}, status=410)
    if any(path == request.path for _, path in REST):
        return web.json_response({"code": -1020, "msg": "This operation is not supported."}, status=405)
    return web.Response(status=404, text="<html><body>404 Not found</body></html>", content_type="text/html")


def _failed(fault: HttpStatus) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    code, text = -1000, "An unknown error occurred while processing the request."
    if fault.status >= 500:
        code = -1007
        text = (
            "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        )
    return web.json_response({"code": code, "msg": text}, status=fault.status, headers=headers)
