"""Tags, by which a bill, a policy and a person tell what a resource belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from infra.plan.model import Mode
from infra.plan.naming import PROJECT


def stack_tags(*, stack: str, phase: int, mode: Mode, owner: str, cost_center: str) -> dict[str, str]:
    """Return the tags that every resource of a stack carries."""
    return {
        "Project": PROJECT,
        "Stack": stack,
        "Phase": str(phase),
        "Environment": mode,
        "Owner": owner,
        "CostCenter": cost_center,
        "ManagedBy": "pulumi",
    }


def host_tags(stack: Mapping[str, str], *, name: str, venue: str, role: str, mode: Mode) -> dict[str, str]:
    """Return a host's tags: the stack's, its own name, and the mode of its venue."""
    return {**stack, "Environment": mode, "Name": name, "Venue": venue, "Role": role}
