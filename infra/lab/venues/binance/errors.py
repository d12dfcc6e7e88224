"""The venue's refusals, with the codes and texts of its error list."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """One refusal: HTTP status, code and text; ``retry_after_ms`` is the moment (ms) to come back at."""

    def __init__(self, status: int, code: int, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def document(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"code": self.code, "msg": self.message}


def bad_key_format() -> ApiError:
    """-2014."""
    return ApiError(401, -2014, "API-key format invalid.")


def bad_key() -> ApiError:
    """-2015: an unknown key, a foreign address or a missing permission; the venue does not say which."""
    return ApiError(401, -2015, "Invalid API-key, IP, or permissions for action.")


def bad_signature() -> ApiError:
    """-1022."""
    return ApiError(400, -1022, "Signature for this request is not valid.")


def late() -> ApiError:
    """-1021 for a timestamp older than the receive window."""
    return ApiError(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def early() -> ApiError:
    """-1021 for a timestamp a second or more ahead."""
    return ApiError(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def missing(name: str) -> ApiError:
    """-1102."""
    return ApiError(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> ApiError:
    """-1100."""
    return ApiError(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def filtered(name: str) -> ApiError:
    """-1013 with the filter's name."""
    return ApiError(400, -1013, f"Filter failure: {name}")


def order_refused(text: str) -> ApiError:
    """-2010, from the matching engine."""
    return ApiError(400, -2010, text)


def cancel_refused(text: str = "Unknown order sent.") -> ApiError:
    """-2011, from the matching engine."""
    return ApiError(400, -2011, text)
