"""Names of hosts, users, units and parameters. A name never holds what may change (type, image, address)."""

from __future__ import annotations

from infra.plan.model import Mode

PROJECT = "slipway"
ENGINE_USER = "slipway-engine"
ENGINE_UNIT = "slipway-engine.service"
ENGINE_UID = 6100


def host_name(venue: str, site: str, number: int) -> str:
    """Return ``binance-tokyo-01`` for the first Binance host in Tokyo."""
    return f"{venue}-{site}-{number:02d}"


def connector_user(venue: str) -> str:
    """Return the user of a connector that is a process of its own."""
    return f"{PROJECT}-{venue}"


def connector_unit(venue: str) -> str:
    """Return the unit of a connector that is a process of its own."""
    return f"{PROJECT}-connector@{venue}.service"


def credential_parameter(stack: str, mode: Mode, venue: str, credential: str) -> str:
    """Return the parameter that holds a credential; the mode in it keeps live keys out of tests."""
    return f"/{PROJECT}/{stack}/{mode}/{venue}/{credential}"
