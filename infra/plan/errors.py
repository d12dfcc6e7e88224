"""The one error of planning."""

from __future__ import annotations


class PlanError(ValueError):
    """The stack cannot be deployed as it asks; the text names host or venue, the reason and what to do."""
