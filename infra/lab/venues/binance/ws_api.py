"""The WebSocket API front end: sessions, requests and user data subscriptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.door import Door, Request
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.faults import EventsFirst, NoReply, SilentUserData
from infra.lab.venues.binance.operations import WS_API, Operation
from infra.lab.venues.binance.security import Identity
from infra.lab.venues.common.sockets import ClientSocket

CONNECT_WEIGHT = 2
_LOGON = Operation(lambda _: None, frozenset(), "USER_DATA", weight=2)
_SUBSCRIBE = Operation(lambda _: None, frozenset(), "USER_STREAM", weight=2)
_SESSION = Operation(lambda _: None, frozenset({"subscriptionId"}), weight=2)
GONE = {"userDataStream.start", "userDataStream.ping", "userDataStream.stop"}


class Session:
    """One WebSocket API connection."""

    def __init__(
        self, socket: ClientSocket, door: Door, flush: Callable[[], None], *, show_limits: bool
    ) -> None:
        self.socket = socket
        self.subscriptions: dict[int, str] = {}
        self._door = door
        self._flush = flush
        self._show_limits = show_limits
        self._identity: Identity | None = None
        self._since_ms: int | None = None
        self._connected_ms = door.clock.ms()
        self._next_subscription = 0
        self._logon_subscription: int | None = None

    def deliver(self, account: str, event: dict[str, Any]) -> None:
        """Send one user data event to every subscription of its account."""
        if self._door.faults.get(SilentUserData) is not None:
            return
        for number, name in self.subscriptions.items():
            if name == account:
                self.socket.send({"subscriptionId": number, "event": event})

    async def on_text(self, text: str) -> None:
        """Answer one request."""
        request_id: Any = None
        account: str | None = None
        show = self._show_limits
        reply: dict[str, Any]
        method = ""
        try:
            document = _parse(text)
            request_id, method = document.get("id"), document["method"].removeprefix("v3/")
            parameters = {name: _as_text(value) for name, value in (document.get("params") or {}).items()}
            show = parameters.pop("returnRateLimits", str(show).lower()) == "true"
            result, account = await self._dispatch(method, parameters)
            reply = {"id": request_id, "status": 200, "result": result}
        except ApiError as error:
            reply = {"id": request_id, "status": error.status, "error": error.document()}
            if error.retry_after_ms is not None:
                reply["error"]["data"] = {
                    "serverTime": self._door.clock.ms(),
                    "retryAfter": error.retry_after_ms,
                }
            if error.code == -2015 and self._identity is not None and "apiKey" not in text:
                self._log_out()
                reply["id"] = None
        if show:
            reply["rateLimits"] = self._door.limits.usage(self.socket.address, account)
        if self._door.faults.get(EventsFirst) is not None:
            self._flush()
        silent = self._door.faults.get(NoReply)
        if silent is None or method not in silent.methods:
            self.socket.send(reply)
        self._flush()
        if reply["status"] == 418:
            self.socket.close(1008, "IP banned")

    async def _dispatch(self, method: str, parameters: dict[str, str]) -> tuple[Any, str | None]:
        if method in GONE:
            raise ApiError(410, -1016, "This service is no longer available.")
        special = {
            "session.logon": self._logon,
            "session.status": self._status,
            "session.logout": self._logout,
            "session.subscriptions": self._list_subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_by_signature,
            "userDataStream.unsubscribe": self._unsubscribe,
        }.get(method)
        if special is not None:
            self._door.limits.spend(self.socket.address, 2)
            return special(parameters), None
        operation = WS_API.get(method)
        if operation is None:
            raise ApiError(400, -1020, "This operation is not supported.")
        return await self._door.answer(self._request(operation, parameters))

    def _request(self, operation: Operation, parameters: dict[str, str]) -> Request:
        signed = {name: value for name, value in parameters.items() if name != "signature"}
        payload = "&".join(f"{name}={signed[name]}" for name in sorted(signed)).encode()
        return Request(
            self.socket.address,
            operation,
            parameters,
            parameters.get("apiKey"),
            payload,
            session=self._identity,
        )

    def _logon(self, parameters: dict[str, str]) -> Any:
        _LOGON.check_parameters(parameters)
        if "apiKey" not in parameters:
            raise errors.missing("apiKey")
        request = self._request(_LOGON, parameters)
        try:
            identity = self._authorise_logon(request)
        except ApiError as error:
            self._door.record.record(
                "logon_refused", code=error.code, text=error.message, address=request.address
            )
            raise
        self._identity, self._since_ms = identity, self._door.clock.ms()
        self.socket.account = identity.account
        self._door.record.record("logon", identity.account, connection=self.socket.number)
        return self._status({})

    def _authorise_logon(self, request: Request) -> Identity:
        identity, _ = self._door.authorise(request)
        if not identity.is_ed25519:
            raise ApiError(400, -4056, "HMAC_SHA256 API key is not supported.")
        return identity

    def _status(self, parameters: dict[str, str]) -> Any:
        _SESSION.check_parameters(parameters)
        return {
            "apiKey": self._identity.key.api_key if self._identity else None,
            "authorizedSince": self._since_ms,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._show_limits,
            "serverTime": self._door.clock.ms(),
            "userDataStream": bool(self.subscriptions),
        }

    def _logout(self, parameters: dict[str, str]) -> Any:
        self._log_out()
        return self._status(parameters)

    def _log_out(self) -> None:
        self._identity = self._since_ms = None
        if self._logon_subscription is not None:
            self._end_subscription(self._logon_subscription)

    def _list_subscriptions(self, _parameters: dict[str, str]) -> Any:
        return [{"subscriptionId": number} for number in self.subscriptions]

    def _subscribe(self, _parameters: dict[str, str]) -> Any:
        if self._identity is None:
            raise ApiError(401, -1002, "You are not authorized to execute this request.")
        if not self._door.keys.allows(self._identity, self.socket.address, "USER_STREAM"):
            raise errors.bad_key()
        number = self._begin_subscription(self._identity.account)
        self._logon_subscription = number
        return {"subscriptionId": number}

    def _subscribe_by_signature(self, parameters: dict[str, str]) -> Any:
        _SUBSCRIBE.check_parameters(parameters)
        if "apiKey" not in parameters:
            raise errors.missing("apiKey")
        identity, _ = self._door.authorise(self._request(_SUBSCRIBE, parameters))
        self.socket.account = self.socket.account or identity.account
        return {"subscriptionId": self._begin_subscription(identity.account)}

    def _begin_subscription(self, account: str) -> int:
        if account in self.subscriptions.values():
            raise ApiError(400, -2035, "User Data Stream subscription already active.")
        number = self._next_subscription
        self._next_subscription += 1
        self.subscriptions[number] = account
        self._door.record.record("subscribe", account, connection=self.socket.number, subscription=number)
        return number

    def _unsubscribe(self, parameters: dict[str, str]) -> Any:
        _SESSION.check_parameters(parameters)
        wanted = parameters.get("subscriptionId")
        numbers = [number for number in self.subscriptions if wanted in {None, str(number)}]
        if not numbers:
            raise ApiError(400, -2036, "User Data Stream subscription not active.")
        for number in numbers:
            self._end_subscription(number)
        return {}

    def _end_subscription(self, number: int) -> None:
        if self.subscriptions.pop(number, None) is not None:
            event = {"e": "eventStreamTerminated", "E": self._door.clock.ms()}
            self.socket.send({"subscriptionId": number, "event": event})
        if number == self._logon_subscription:
            self._logon_subscription = None


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_float=str)
    except ValueError:
        raise ApiError(400, -1135, "Invalid JSON Request") from None
    parameters = document.get("params") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(parameters, dict | None):
        raise ApiError(400, -1135, "Invalid JSON Request")
    if not isinstance(document.get("method"), str):
        raise errors.missing("method")
    if "id" not in document or not isinstance(document["id"], int | str | None):
        raise errors.missing("id")
    return document


def _as_text(value: Any) -> str:
    """Return a parameter as it is signed: strings as they are, numbers as they were written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "" if value is None else str(value)
