"""Fixed-point numbers: everything inside is an integer in units of 1e-8 (SLIPWAY_SCALE).

No price or size passes through a float: 0.29 * 100 is 28.999… in binary, and a floor of that is a
different order.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

SCALE = 100_000_000
"""Units in 1.0, as SLIPWAY_SCALE in broker_interface.h."""

CHAIN_UNIT = 100
"""1e-8 units in one base unit of the chain: pUSD and outcome tokens have 6 decimals."""

_LIMIT = 2**63 - 1
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


class NotANumberError(ValueError):
    """Text that is no plain decimal number within an int64 of 1e-8 units."""


def to_e8(value: object) -> int:
    """Read a decimal (text, int or Decimal) as 1e-8 units; finer digits are rounded half to even."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise NotANumberError(f"expected a decimal number, found {type(value).__name__}")
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise NotANumberError(f"expected a decimal number, found {text[:40]!r}")
    units = int((Decimal(text) * SCALE).to_integral_value(ROUND_HALF_EVEN))
    if abs(units) > _LIMIT:
        raise NotANumberError(f"{text} does not fit an int64 of 1e-8 units")
    return units


def to_text(units: int) -> str:
    """Write 1e-8 units as the shortest decimal text: 57000000 is ``0.57``."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), SCALE)
    digits = f"{fraction:08d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
