"""The dead-man switch: who began to send heartbeats and stops has all its orders cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from infra.lab.venues.polymarket.config import Heartbeats
from infra.lab.venues.polymarket.errors import ClobError


@dataclass
class _Beat:
    id: str
    at: float


class DeadMan:
    """The heartbeats of every API key; ``expired`` is told of a key whose heartbeats stopped."""

    def __init__(self, rule: Heartbeats, expired: Callable[[str], None]) -> None:
        self.rule = rule
        self._expired = expired
        self._beats: dict[str, _Beat] = {}

    def beat(self, api_key: str, heartbeat_id: str) -> str:
        """Take a heartbeat, return the next one's id; the first has the empty id. 400 for a wrong one."""
        known = self._beats.get(api_key)
        expected = known.id if known else ""
        if heartbeat_id != expected:
            extra = {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected}
            raise ClobError(400, "Invalid Heartbeat ID", extra=extra)
        self._beats[api_key] = _Beat(str(uuid4()), time.monotonic())
        return self._beats[api_key].id

    def check(self) -> None:
        """Disarm keys whose last heartbeat is too old, and tell of them."""
        limit = time.monotonic() - self.rule.expire_s
        for api_key, beat in list(self._beats.items()):
            if beat.at < limit:
                del self._beats[api_key]
                self._expired(api_key)

    def armed(self) -> list[str]:
        """Return the API keys that sent a heartbeat and have not expired."""
        return list(self._beats)
