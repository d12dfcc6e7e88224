"""The venue's refusals, with the texts of its error list."""

from __future__ import annotations

from typing import Any


class ClobError(Exception):
    """One refusal: HTTP status and text; ``extra`` joins the body, ``retry_after`` (s) becomes a header."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        extra: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self._extra = extra or {}

    def document(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": self.message} | self._extra


def bad_payload() -> ClobError:
    """Refuse a malformed order."""
    return ClobError(400, "Invalid order payload")


def bad_key() -> ClobError:
    """Refuse an unknown key, a wrong passphrase, signature, address or time."""
    return ClobError(401, "Unauthorized/Invalid api key")


def bad_l1() -> ClobError:
    """Refuse L1 headers."""
    return ClobError(401, "Invalid L1 Request headers")


def bad_token() -> ClobError:
    """Refuse a token id that is none."""
    return ClobError(400, "Invalid token id")
