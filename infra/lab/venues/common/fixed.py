"""Decimal numbers as integers in units of 1e-8, so that prices and sizes never pass through a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

SCALE = 100_000_000


def parse_e8(text: str) -> int:
    """Return ``text`` (a plain decimal) in units of 1e-8; ValueError if it is none, or finer than 1e-8."""
    try:
        scaled = Decimal(text) * SCALE
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal number") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{text!r} has more than eight decimals or is not finite")
    return int(scaled)


def decimal_e8(value: Decimal) -> int:
    """Return a Decimal in units of 1e-8; ValueError if it is finer than that."""
    return parse_e8(str(value))


def format_e8(value: int, decimals: int = 8) -> str:
    """Return ``value`` (units of 1e-8) with exactly ``decimals`` (0 to 8) digits after the point, cut off."""
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), SCALE)
    if decimals == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:08d}"[: len(sign) + len(str(whole)) + 1 + decimals]


def plain_e8(value: int) -> str:
    """Return ``value`` (units of 1e-8) in its shortest plain form: ``0.5``, ``12``, ``0.00001``."""
    text = format_e8(value).rstrip("0").rstrip(".")
    return text or "0"


def multiply_e8(price: int, quantity: int) -> int:
    """Return price times quantity, both and the result in units of 1e-8, cut off below 1e-8."""
    return price * quantity // SCALE
