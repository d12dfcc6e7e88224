"""What a stack costs a month, from a static table; a price that it lacks is called unknown, not guessed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from infra.plan.model import CostLine, HostPlan, NetworkPlan

HOURS = Decimal(730)
ROOT_VOLUME_GIB = 32
"""Root volume of a host: base system, three engine releases and two weeks of journal."""

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Price:
    """US dollars for one unit, and where the figure is from."""

    usd: Decimal
    source: str


_MEMORY = "from memory, check the AWS price list"
_ADDRESS = Price(Decimal("0.005"), "AWS announcement of 2023-07 (charged since 2024-02-01)")
_KEY = Price(Decimal(1), _MEMORY)

INSTANCE_HOUR: dict[tuple[str, str], Price] = {
    ("c7i.large", "us-east-1"): Price(Decimal("0.08925"), _MEMORY),
    ("c7i.xlarge", "us-east-1"): Price(Decimal("0.1785"), _MEMORY),
    ("c7a.xlarge", "us-east-1"): Price(Decimal("0.20528"), _MEMORY),
}
"""On-demand Linux price of an hour by (type, region)."""

VOLUME_GIB_MONTH: dict[str, Price] = {
    "us-east-1": Price(Decimal("0.08"), _MEMORY),
    "eu-west-1": Price(Decimal("0.088"), _MEMORY),
    "ap-northeast-1": Price(Decimal("0.096"), _MEMORY),
    "eu-west-2": Price(Decimal("0.0928"), _MEMORY),
}
"""gp3 price of a GiB and month by region."""


def monthly_cost(hosts: Iterable[HostPlan], networks: Iterable[NetworkPlan]) -> tuple[CostLine, ...]:
    """Return the bill of real hosts; traffic and orders' fees are not in it."""
    lines: list[CostLine] = []
    for host in hosts:
        if host.kind != "ec2" or host.environment == "container":
            continue
        hour = INSTANCE_HOUR.get((host.instance_type, host.region))
        lines.append(_line(f"{host.name}: {host.instance_type}", hour, HOURS))
        volume = VOLUME_GIB_MONTH.get(host.region)
        lines.append(_line(f"{host.name}: {ROOT_VOLUME_GIB} GiB gp3", volume, Decimal(ROOT_VOLUME_GIB)))
        if host.elastic_address:
            lines.append(_line(f"{host.name}: Elastic IP", _ADDRESS, HOURS))
    if lines:
        lines.extend(
            _line(f"{region}: customer key", _KEY, Decimal(1))
            for region in sorted({n.region for n in networks})
        )
    return tuple(lines)


def _line(item: str, price: Price | None, units: Decimal) -> CostLine:
    if price is None:
        return CostLine(item=item, monthly_usd=Decimal(0), source="unknown price, not counted")
    return CostLine(item=item, monthly_usd=(price.usd * units).quantize(_CENT), source=price.source)
