"""The local socket that the engine connects to: SEQPACKET, one message a packet, one engine at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from . import wire

if TYPE_CHECKING:
    from .session import Session

log = logging.getLogger("slipway.polymarket")

MOST_WAITING = 20_000
"""Messages that wait for an engine that does not read; more of them and it counts as dead."""

LARGEST_PACKET = 4096


class EnginePort:
    """What is said to the engine; where none is connected, nobody hears it. Implements session.Engine."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._is_writing = False

    def attach(self, connection: socket.socket) -> None:
        """Speak to this engine from now on."""
        self._socket = connection
        self._waiting.clear()
        self._is_writing = False

    def detach(self) -> None:
        """Speak to nobody."""
        if self._socket is not None and self._is_writing:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._socket, self._is_writing = None, False
        self._waiting.clear()

    def state(self, state: wire.State, reason: str) -> None:
        """Send wire_state."""
        self._send(wire.state(state, reason))

    def quote(
        self, instrument: int, bid: tuple[int, int], ask: tuple[int, int], received_mono_ns: int
    ) -> None:
        """Send wire_quote, unless the engine lags: an old quote is worth nothing, and a newer one follows."""
        if not self._waiting:
            self._send(wire.quote(instrument, bid, ask, received_mono_ns))

    def ack(self, client_id: int, venue_id: str) -> None:
        """Send wire_ack."""
        self._send(wire.ack(client_id, venue_id))

    def fill(
        self, client_id: int, price_e8: int, quantity_e8: int, fee_e8: int, side: wire.Side, *, final: bool
    ) -> None:
        """Send wire_fill."""
        self._send(wire.fill(client_id, price_e8, quantity_e8, fee_e8, side, final=final))

    def canceled(self, client_id: int, left_e8: int) -> None:
        """Send wire_canceled."""
        self._send(wire.canceled(client_id, left_e8))

    def reject(self, client_id: int, code: int, reason: str) -> None:
        """Send wire_reject."""
        self._send(wire.reject(client_id, code, reason))

    def orphan(self, venue_id: str, instrument: int) -> None:
        """Send wire_orphan."""
        self._send(wire.orphan(venue_id, instrument))

    def log(self, level: int, message: str) -> None:
        """Send wire_log."""
        self._send(wire.log(level, message))

    def _send(self, packet: bytes) -> None:
        if self._socket is None:
            return
        if not self._waiting:
            try:
                self._socket.send(packet)
            except BlockingIOError:
                pass
            except OSError:
                return  # the reader sees the end of the connection and acts on it
            else:
                return
        self._waiting.append(packet)
        if len(self._waiting) > MOST_WAITING:
            log.error("the engine does not read; closing its connection")
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._waiting.clear()
        elif not self._is_writing:
            self._is_writing = True
            asyncio.get_running_loop().add_writer(self._socket, self._drain)

    def _drain(self) -> None:
        assert self._socket is not None
        try:
            while self._waiting:
                self._socket.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()
        asyncio.get_running_loop().remove_writer(self._socket)
        self._is_writing = False


def listen(path: Path) -> socket.socket:
    """Bind the socket with mode 0660, in place of one that a dead process left."""
    path.unlink(missing_ok=True)
    listener = socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(4)
    except OSError:
        listener.close()
        raise
    return listener


class Server:
    """Accepts engines, reads their messages, hands them to the session."""

    def __init__(self, port: EnginePort, session: Session, instrument_count: int) -> None:
        self._port, self._session, self._count = port, session, instrument_count
        self._is_busy = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.settimeout(0)
            task = loop.create_task(self._converse(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _converse(self, connection: socket.socket) -> None:
        with connection:
            try:
                refusal = await self._greet(connection)
                if refusal:
                    log.error("engine refused: %s", refusal)
                    connection.send(wire.state(wire.State.REFUSED, refusal))
                    return
            except (OSError, TimeoutError) as error:
                log.warning("connection closed before a hello: %r", error)
                return
            self._is_busy = True
            self._port.attach(connection)
            log.info("engine connected")
            try:
                self._session.engine_arrived()
                await self._read(connection)
            finally:
                self._port.detach()
                self._is_busy = False
                self._session.engine_left()

    async def _greet(self, connection: socket.socket) -> str | None:
        """Read the hello; gives why this engine is not served, or None."""
        async with asyncio.timeout(5):
            packet = await asyncio.get_running_loop().sock_recv(connection, LARGEST_PACKET)
        try:
            hello = wire.decode(packet)
        except wire.WireError as error:
            return f"bad first message: {error}"
        if not isinstance(hello, wire.Hello):
            return f"first message must be a hello, found {type(hello).__name__}"
        if hello.version != wire.VERSION:
            return f"wire version {hello.version}, this connector speaks {wire.VERSION}"
        if hello.instrument_count != self._count:
            return f"engine has {hello.instrument_count} instruments, this connector {self._count}"
        if self._is_busy:
            return "another engine is connected"
        return None

    async def _read(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(connection, LARGEST_PACKET)
            except OSError as error:
                log.error("engine connection lost: %s", error)  # noqa: TRY400 (an end, no fault of ours)
                return
            if not packet:
                log.warning("engine disconnected")
                return
            try:
                request = wire.decode(packet)
            except wire.WireError as error:
                log.error("bad message from the engine, closing: %s", error)  # noqa: TRY400
                return
            if isinstance(request, wire.Submit):
                self._session.submit(request)
            elif isinstance(request, wire.Cancel):
                self._session.cancel(request.client_id)
            elif isinstance(request, wire.CancelAll):
                self._session.cancel_all()
            else:
                log.error("a second hello from the engine, closing")
                return
