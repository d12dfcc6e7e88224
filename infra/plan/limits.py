"""Limits of a deployment: a venue's defaults, tightened by the stack, and their total over a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from infra.plan.errors import PlanError
from infra.plan.model import LimitsPlan, TotalLimits, VenueLimits


def venue_limits(
    venue: str, defaults: VenueLimits, tighter: Mapping[str, Decimal | int], instruments: tuple[str, ...]
) -> LimitsPlan:
    """Return the limits of `venue`; a stack may lower any of them and raise none."""
    values = defaults.model_dump()
    for key, value in tighter.items():
        if isinstance(values[key], int) and value != int(value):
            raise PlanError(f"venue {venue}: limit {key} {value} must be a whole number")
        if value > values[key]:
            raise PlanError(
                f"venue {venue}: limit {key} {value} is looser than the catalogue's {values[key]}; "
                f"lower it, or change infra/catalogue/venues/{venue}.yaml with a second pair of eyes"
            )
        values[key] = int(value) if isinstance(values[key], int) else value
    return LimitsPlan(instruments=instruments, **values)


def total_limits(limits: Iterable[LimitsPlan]) -> TotalLimits:
    """Return the limits over all venues of a host: never more than its venues could reach together."""
    every = tuple(limits)
    return TotalLimits(
        venues=len(every),
        max_messages_per_s=sum(venue.max_messages_per_s for venue in every),
        max_daily_loss=sum((venue.max_daily_loss for venue in every), Decimal(0)),
    )
