"""Faults of the Binance simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.lab.venues.common.faults import ClockOffset, HttpStatus
from infra.plan.model import Closed

SocketKind = Literal["ws_api", "streams"]


class NoReply(Closed):
    """WebSocket API requests of these methods are carried out but never answered."""

    methods: tuple[str, ...] = ("order.place",)


class Delay(Closed):
    """Requests wait this long between arrival and the matching engine."""

    ms: Annotated[int, Field(gt=0)]


class DropConnections(Closed):
    """Cut sockets now, without a close frame unless ``clean``."""

    kinds: tuple[SocketKind, ...] = ("ws_api", "streams")
    clean: bool = False


class RefuseConnections(Closed):
    """New WebSocket connections get 503."""

    kinds: tuple[SocketKind, ...] = ("ws_api", "streams")


class ServerShutdown(Closed):
    """Announce ``serverShutdown`` on all sockets and close them after ``grace_ms``."""

    grace_ms: Annotated[int, Field(ge=0)] = 1000
    kinds: tuple[SocketKind, ...] = ("ws_api", "streams")


class SilentStreams(Closed):
    """Market streams stay open and say nothing."""


class SilentUserData(Closed):
    """User data subscriptions stay open and say nothing."""


class RejectKeys(Closed):
    """Keys of these accounts are invalid (-2015) from now on, also in running sessions."""

    accounts: tuple[str, ...]


class RejectOrders(Closed):
    """Every new order is refused with this code and text."""

    code: int = -2010
    message: str = "Market is closed."


class BanAddress(Closed):
    """Answer 418 to this source address."""

    address: str
    seconds: Annotated[float, Field(gt=0)] = 120


class BlockAddresses(Closed):
    """Answer 451 to these source addresses."""

    addresses: tuple[str, ...]


class IgnorePongs(Closed):
    """The venue does not see pongs, so that sockets die of the pong timeout."""


class EventsFirst(Closed):
    """User data events of a request are written before its reply."""


KNOWN: dict[str, type[Closed]] = {
    "clock_offset": ClockOffset,
    "http_status": HttpStatus,
    "no_reply": NoReply,
    "delay": Delay,
    "drop_connections": DropConnections,
    "refuse_connections": RefuseConnections,
    "server_shutdown": ServerShutdown,
    "silent_streams": SilentStreams,
    "silent_user_data": SilentUserData,
    "reject_keys": RejectKeys,
    "reject_orders": RejectOrders,
    "ban_address": BanAddress,
    "block_addresses": BlockAddresses,
    "ignore_pongs": IgnorePongs,
    "events_first": EventsFirst,
}
