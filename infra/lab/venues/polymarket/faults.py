"""Faults of the Polymarket simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.lab.venues.common.faults import ClockOffset, HttpStatus
from infra.plan.model import Closed

Channel = Literal["market", "user"]


class Restart(Closed):
    """The matching engine restarts: 425 with Retry-After on everything that needs it."""

    retry_after: int = 90


class PostOnlyMode(Closed):
    """The two minutes after a restart: only post-only orders are taken."""

    retry_after_seconds: int = 120


class CancelOnly(Closed):
    """New orders get 503, cancels work."""


class Disabled(Closed):
    """Orders and cancels get 503."""


class TooManyRequests(Closed):
    """Every private request gets 429."""

    retry_after: int = 1


class VersionMismatch(Closed):
    """The exchange moved on: orders are refused with order_version_mismatch, /version says ``version``."""

    version: int = 3


class Delay(Closed):
    """Private requests wait this long before they are carried out."""

    ms: Annotated[int, Field(gt=0)]


class DropConnections(Closed):
    """Cut sockets now, without a close frame unless ``clean``."""

    kinds: tuple[Channel, ...] = ("market", "user")
    clean: bool = False


class RefuseConnections(Closed):
    """New sockets get 503."""

    kinds: tuple[Channel, ...] = ("market", "user")


class SilentMarket(Closed):
    """The market channel stays open and says nothing but PONG."""


class SilentUser(Closed):
    """The user channel stays open and says nothing but PONG."""


class RejectKeys(Closed):
    """Keys of these accounts do not work from now on."""

    accounts: tuple[str, ...]


class BlockAddresses(Closed):
    """These source addresses (networks) may not place orders."""

    addresses: tuple[str, ...]
    country: str = "GB"


KNOWN: dict[str, type[Closed]] = {
    "clock_offset": ClockOffset,
    "http_status": HttpStatus,
    "restart": Restart,
    "post_only_mode": PostOnlyMode,
    "cancel_only": CancelOnly,
    "disabled": Disabled,
    "too_many_requests": TooManyRequests,
    "version_mismatch": VersionMismatch,
    "delay": Delay,
    "drop_connections": DropConnections,
    "refuse_connections": RefuseConnections,
    "silent_market": SilentMarket,
    "silent_user": SilentUser,
    "reject_keys": RejectKeys,
    "block_addresses": BlockAddresses,
}
