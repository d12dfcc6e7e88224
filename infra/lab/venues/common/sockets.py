"""A client's WebSocket as the venue holds it: written by its own task, pinged, closed at its time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from infra.lab.venues.common.events import EventRecord

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class SocketRules:
    """What a venue does to a socket: times in seconds; 0 means no such rule (except for ``life``)."""

    ping_every: float = 0
    pong_within: float = 60
    life: float = 86_400
    inbound_per_second: int = 0
    speak_within: float = 0
    """Time for the client's first text message."""

    silence: float = 0
    """Longest time between two text messages of the client."""

    backlog: int = 20_000


class ClientSocket:
    """One accepted WebSocket. ``send`` never waits: a client that does not read is cut off."""

    def __init__(self, kind: str, request: web.Request, rules: SocketRules, record: EventRecord) -> None:
        self.kind = kind
        self.address = request.remote or ""
        self.account = ""
        self.number = next(_numbers)
        self.since_ms = time.time_ns() // 1_000_000
        self.ignore_pongs = False
        self._ws = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20)
        self._request = request
        self._rules = rules
        self._record = record
        self._out: asyncio.Queue[str | tuple[int, str]] = asyncio.Queue(rules.backlog)
        self._pong = asyncio.Event()
        self._inbound: list[float] = []
        self._heard: float | None = None
        self._closing = False

    def document(self) -> dict[str, Any]:
        """Return what ``/state`` shows of it."""
        return {
            "id": self.number,
            "kind": self.kind,
            "address": self.address,
            "account": self.account,
            "since_ms": self.since_ms,
        }

    def send(self, message: object) -> None:
        """Queue one message: text as it is, anything else as compact JSON."""
        if self._closing:
            return
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        try:
            self._out.put_nowait(text)
        except asyncio.QueueFull:
            self.close(WSCloseCode.POLICY_VIOLATION, "client does not read")

    def close(self, code: int = WSCloseCode.GOING_AWAY, reason: str = "") -> None:
        """Close after what is queued has been written."""
        if self._closing:
            return
        self._closing = True
        while self._out.full():
            self._out.get_nowait()
        self._out.put_nowait((code, reason))

    def abort(self) -> None:
        """Cut the TCP connection without a close frame, as a failing network does."""
        self._closing = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(
        self, on_text: Callable[[str], Awaitable[None]], on_open: Callable[[], None] | None = None
    ) -> web.WebSocketResponse:
        """Serve the socket to its end; ``on_text`` gets every text message."""
        await self._ws.prepare(self._request)
        self._record.record(
            "connect", self.account, connection=self.number, socket=self.kind, address=self.address
        )
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._expire())]
        if self._rules.speak_within or self._rules.silence:
            tasks.append(asyncio.create_task(self._listen_for_silence()))
        if self._rules.ping_every:
            tasks.append(asyncio.create_task(self._ping()))
        try:
            if on_open is not None:
                on_open()
            await self._read(on_text)
        finally:
            self._closing = True
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task
            self._record.record("disconnect", self.account, connection=self.number, socket=self.kind)
        return self._ws

    async def _read(self, on_text: Callable[[str], Awaitable[None]]) -> None:
        while True:
            message = await self._ws.receive()
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR}:
                return
            if self._too_fast():
                self.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                continue
            if message.type is WSMsgType.PONG:
                if not self.ignore_pongs:
                    self._pong.set()
            elif message.type is WSMsgType.PING:
                await self._ws.pong(message.data)
            elif message.type is WSMsgType.TEXT and not self._closing:
                self._heard = time.monotonic()
                await on_text(message.data)

    def _too_fast(self) -> bool:
        if not self._rules.inbound_per_second:
            return False
        now = time.monotonic()
        self._inbound = [at for at in self._inbound if at > now - 1] + [now]
        return len(self._inbound) > self._rules.inbound_per_second

    async def _write(self) -> None:
        while True:
            item = await self._out.get()
            if isinstance(item, tuple):
                await self._ws.close(code=item[0], message=item[1].encode())
                return
            await self._ws.send_str(item)

    async def _ping(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._rules.ping_every)
            if self._pong.is_set():
                last = time.monotonic()
                self._pong.clear()
            if time.monotonic() - last > self._rules.pong_within:
                self.close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")
                return
            await self._ws.ping(str(time.time_ns() // 1_000_000).encode())

    async def _listen_for_silence(self) -> None:
        began = time.monotonic()
        while True:
            limit = self._rules.speak_within if self._heard is None else self._rules.silence
            left = (self._heard or began) + limit - time.monotonic()
            if limit and left <= 0:
                self.close(WSCloseCode.POLICY_VIOLATION, "client is silent")
                return
            await asyncio.sleep(min(left, 1) if limit else 1)

    async def _expire(self) -> None:
        await asyncio.sleep(self._rules.life)
        self.close(WSCloseCode.GOING_AWAY, "connection life is over")
