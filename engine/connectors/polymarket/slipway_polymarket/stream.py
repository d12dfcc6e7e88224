"""A WebSocket that keeps itself open: text PING every 10 s, reconnect with back-off after any fault."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Protocol

import aiohttp

from .errors import MalformedMessageError

if TYPE_CHECKING:
    import ssl

PING_S = 10.0
SILENCE_S = 25.0
"""No byte for this long (two PINGs and their answers missed): the connection is dead."""

CONNECT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0
LARGEST_FRAME = 8 << 20

log = logging.getLogger("slipway.polymarket")


class Channel(Protocol):
    """What one of the venue's channels does with its connection."""

    name: str

    def subscription(self) -> str:
        """Return the first message that we send; it may hold credentials and is never logged."""

    def opened(self) -> None:
        """Take note: the venue has answered a PING that followed the subscription, so it is live."""

    def received(self, text: str) -> None:
        """Take one frame; MalformedMessageError drops the connection."""

    def lost(self, reason: str) -> None:
        """Take note: what follows may be missed until opened() is called again."""


async def keep_open(url: str, channel: Channel, tls: ssl.SSLContext) -> None:
    """Hold ``channel`` open at ``url`` until cancelled."""
    wait = FIRST_WAIT_S
    async with aiohttp.ClientSession() as http:
        while True:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                reason = await _one_connection(http, url, channel, tls)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            except MalformedMessageError as error:
                reason = f"malformed message: {error}"
            channel.lost(reason)
            log.warning("%s stream lost: %s", channel.name, reason)
            if loop.time() - began > 60:
                wait = FIRST_WAIT_S
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, no secret)
            wait = min(wait * 2, LONGEST_WAIT_S)


async def _one_connection(
    http: aiohttp.ClientSession, url: str, channel: Channel, tls: ssl.SSLContext
) -> str:
    async with asyncio.timeout(CONNECT_S):
        socket = await http.ws_connect(url, ssl=tls, max_msg_size=LARGEST_FRAME, autoping=True)
    async with socket:
        await socket.send_str(channel.subscription())
        await socket.send_str("PING")
        pinger = asyncio.create_task(_ping(socket))
        try:
            return await _read(socket, channel)
        finally:
            pinger.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pinger


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(PING_S)
        try:
            await socket.send_str("PING")
        except (aiohttp.ClientError, OSError):
            return  # the reader sees the same end and says why


async def _read(socket: aiohttp.ClientWebSocketResponse, channel: Channel) -> str:
    is_open = False
    while True:
        try:
            message = await socket.receive(timeout=SILENCE_S)
        except TimeoutError:
            return f"silent for {SILENCE_S:.0f} s"
        if message.type is aiohttp.WSMsgType.TEXT:
            text: str = message.data
            if text != "PONG":
                channel.received(text)
            elif not is_open:
                is_open = True
                channel.opened()
        elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
            return f"closed by the venue (code {socket.close_code})"
        elif message.type is aiohttp.WSMsgType.ERROR:
            return f"broken: {socket.exception()!r}"
