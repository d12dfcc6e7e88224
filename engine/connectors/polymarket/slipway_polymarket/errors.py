"""What can go wrong between us and the venue, by what to do about it."""

from __future__ import annotations


class VenueError(Exception):
    """The venue answered with an error, or not at all.

    ``status`` is the HTTP status, 0 where no answer came (then an order's fate is unknown).
    ``retry_after_s`` is the venue's own wish, where it gave one. ``unsent``: no byte of the request left us.
    """

    def __init__(
        self, status: int, message: str, retry_after_s: float | None = None, *, unsent: bool = False
    ) -> None:
        super().__init__(f"HTTP {status}: {message}" if status else message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.unsent = unsent

    @property
    def is_refusal(self) -> bool:
        """The venue rejects us (key, wallet, region): retrying blindly is wrong."""
        return self.status in (401, 403)

    @property
    def is_pause(self) -> bool:
        """The venue asks us to wait: restarting (425), rate limit (429), closed or cancel-only (503)."""
        return self.status in (425, 429, 503)

    @property
    def is_unknown(self) -> bool:
        """Whether the request took effect is not known: it must be looked up, never sent again."""
        return (self.status == 0 and not self.unsent) or (self.status >= 500 and self.status != 503)


class RefusedError(Exception):
    """We may not trade here; the text is the reason that the operator reads."""


class MalformedMessageError(ValueError):
    """Bytes from the venue that do not have the documented form."""
