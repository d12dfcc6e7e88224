"""Where a request comes from, and what may be done from there."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from infra.lab.venues.common.faults import Faults
from infra.lab.venues.polymarket.config import Place
from infra.lab.venues.polymarket.errors import ClobError
from infra.lab.venues.polymarket.faults import BlockAddresses


class Geography:
    """The places of source addresses."""

    def __init__(self, places: tuple[Place, ...], faults: Faults) -> None:
        self._places = places
        self._faults = faults

    def place(self, address: str) -> Place:
        """Return the place of an address."""
        source = ip_address(address)
        fault = self._faults.get(BlockAddresses)
        if fault is not None:
            for text in fault.addresses:
                network = ip_network(text)
                if network.version == 4 and source in network:
                    return Place(network=network, country=fault.country, status="close_only")
        for place in self._places:
            if source in place.network:
                return place
        return Place.model_validate({"network": "0.0.0.0/0", "country": "IE", "region": "L"})

    def document(self, address: str) -> dict[str, Any]:
        """Return the answer of ``GET /api/geoblock``."""
        place = self.place(address)
        return {
            "blocked": place.status != "open",
            "ip": address,
            "country": place.country,
            "region": place.region,
        }

    def check(self, address: str, *, new_order: bool) -> None:
        """403 if nothing private, or no new order, may come from there."""
        status = self.place(address).status
        if status == "blocked" or (new_order and status == "close_only"):
            raise ClobError(403, "Trading restricted in your region")
