"""JSON with exact decimals that no input can crash.

A dependency of the wallet library (py_ecc) raises the interpreter's recursion limit to 100,000, at which a
deeply nested text overflows the C stack: a frame of a few kilobytes would kill the process. So the
limit is put back before each parse, and nesting ends in an error as it should.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any, NoReturn

MOST_RECURSION = 3000


def parse(text: str | bytes) -> Any:
    """Parse ``text``; ValueError for whatever is no JSON, NaN and absurd nesting included."""
    if sys.getrecursionlimit() > MOST_RECURSION:
        sys.setrecursionlimit(MOST_RECURSION)
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
