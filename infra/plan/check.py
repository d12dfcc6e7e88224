"""A second look at finished hosts: nothing of one world may stand in another.

It reads hosts and not settings, so it serves a fresh plan and an inventory that was read back alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from infra.catalogue.models import Catalogue, PublicMode, Venue, url_port
from infra.plan.model import ConnectorPlan, HostPlan, Mode
from infra.plan.naming import credential_parameter


def crossed_worlds(hosts: Iterable[HostPlan], catalogue: Catalogue, stack: str) -> list[str]:
    """Return a line for each address or credential that belongs to another mode than its connector's."""
    faults = []
    for host in hosts:
        for connector in host.connectors:
            venue = catalogue.venues.get(connector.venue)
            if venue is None:
                faults.append(f"host {host.name}: venue {connector.venue!r} is not in the catalogue")
                continue
            where = f"host {host.name}, venue {venue.name} in mode {connector.mode}"
            faults.extend(f"{where}: {fault}" for fault in _addresses(venue, connector))
            faults.extend(f"{where}: {fault}" for fault in _credentials(venue, connector, stack))
    return faults


def _addresses(venue: Venue, connector: ConnectorPlan) -> Iterable[str]:
    foreign = _foreign_addresses(venue, connector.mode)
    for key, url in connector.endpoints.items():
        address = (urlsplit(url).hostname or "", url_port(url))
        if address in foreign:
            yield f"endpoint {key} {url} is an address of mode {foreign[address]}"
        elif address[0].endswith(".lab") != (connector.mode == "simulated"):
            yield f"endpoint {key} {url}: names under .lab belong to mode simulated, and it to them"


def _foreign_addresses(venue: Venue, mode: Mode) -> dict[tuple[str, int], Mode]:
    return {
        (endpoint.host, endpoint.port): other
        for other, world in venue.modes.each()
        if other != mode and isinstance(world, PublicMode)
        for endpoint in world.endpoints.values()
        if not endpoint.shared
    }


def _credentials(venue: Venue, connector: ConnectorPlan, stack: str) -> Iterable[str]:
    for credential in connector.credentials:
        right = credential_parameter(stack, connector.mode, venue.name, credential.name)
        if credential.parameter != right:
            yield f"credential {credential.name} is read from {credential.parameter} instead of {right}"
