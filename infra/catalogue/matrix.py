"""The connection matrix: one flat row a venue, for a table on screen and for JSON."""

from __future__ import annotations

from collections.abc import Iterable

from infra.catalogue.load import weak_facts
from infra.catalogue.models import AbsentMode, AssignedMode, Catalogue, Facility, PublicMode, Venue, Zone
from infra.plan.model import Mode

SCREEN = ("venue", "phase", "place", "connector", "simulated", "test", "live", "cancel_all", "dead_man")
"""The columns that fit a terminal of 80; the others are for JSON and for pages."""


def connection_matrix(catalogue: Catalogue) -> list[dict[str, str | int]]:
    """Return how each venue is reached and stopped, by phase and name; every row has the same keys."""
    venues = sorted(catalogue.venues.values(), key=lambda venue: (venue.phase, venue.name))
    return [_row(catalogue, venue) for venue in venues]


def _row(catalogue: Catalogue, venue: Venue) -> dict[str, str | int]:
    place = catalogue.places[venue.hosting.place]
    bound = venue.clock.bound_ms.value
    return {
        "venue": venue.name,
        "phase": venue.phase,
        "orders": ", ".join(_unique(p.name for p in venue.protocols if p.use != "market_data")),
        "market_data": ", ".join(
            _unique(p.name for p in venue.protocols if p.use in ("market_data", "orders_and_market_data"))
        ),
        "place": venue.hosting.place,
        "region": place.region if isinstance(place, Zone) else "hall",
        "zone": place.zone_id if isinstance(place, Zone) else place.operator,
        "connector": venue.connector.kind if venue.connector.built else "not built",
        **{mode: _world(venue, mode) for mode, _ in venue.modes.each()},
        "credentials": sum(credential.needed(venue.connector.settings) for credential in venue.credentials),
        "address_list": venue.allow_list.support,
        "clock_ms": "unknown" if bound is None else bound,
        "latency": venue.latency.kind,
        "cancel_all": venue.cancel.cancel_all.scope,
        "dead_man": _facility(venue.cancel.dead_man),
        "on_disconnect": _facility(venue.cancel.on_disconnect),
        "to_check": len(weak_facts(venue)),
    }


def _world(venue: Venue, mode: Mode) -> str:
    """Return a mode's ports where its addresses are known, else why not."""
    world = venue.modes.of(mode)
    match world:
        case AbsentMode():
            return "none"
        case AssignedMode():
            return "assigned"
        case PublicMode():
            ports = sorted({e.port for e in world.endpoints.values() if e.use == "connector"})
            return ", ".join(str(port) for port in ports)


def _facility(facility: Facility) -> str:
    if facility.available is None:
        return "unknown"
    if not facility.available:
        return "none"
    return f"{facility.worst_s} s at worst" if facility.worst_s is not None else "yes"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
