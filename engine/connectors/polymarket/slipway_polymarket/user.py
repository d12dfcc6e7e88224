"""The user channel: what happened to our orders, as it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .messages import OrderEvent, Trade, user_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from .credentials import Credentials


class UserChannel:
    """Hands order events and trades on; after every gap ``on_change()`` asks for a reconcile."""

    name = "user"

    def __init__(
        self,
        credentials: Credentials,
        on_order: Callable[[OrderEvent], None],
        on_trade: Callable[[Trade], None],
        on_change: Callable[[], None],
    ) -> None:
        self._credentials = credentials
        self._on_order, self._on_trade, self._on_change = on_order, on_trade, on_change
        self.trouble: str | None = "user stream not yet open"
        self.openings = 0
        """How often the stream was opened: a reconcile made before the last opening counts for nothing."""

    def subscription(self) -> str:
        """Log in. This text holds secrets: it goes to the socket and nowhere else."""
        auth = {
            "apiKey": self._credentials.api_key,
            "secret": self._credentials.api_secret,
            "passphrase": self._credentials.api_passphrase,
        }
        return json.dumps({"type": "user", "auth": auth})

    def opened(self) -> None:
        """Count as live from here on."""
        self.openings += 1
        self.trouble = None
        self._on_change()

    def lost(self, reason: str) -> None:
        """Count as blind from here on."""
        self.trouble = f"user stream lost: {reason}"
        self._on_change()

    def received(self, text: str) -> None:
        """Hand on what one frame says, in its order."""
        for event in user_events(text):
            if isinstance(event, OrderEvent):
                self._on_order(event)
            else:
                self._on_trade(event)
