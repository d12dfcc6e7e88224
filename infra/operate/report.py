"""The record of a run as one HTML page that opens from the file system, and as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table

from infra.operate.record import CheckRecord, RunRecord

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def _by_host(record: RunRecord) -> tuple[Counter[str], Counter[str]]:
    count = Counter(check.host for check in record.checks)
    passed = Counter(check.host for check in record.checks if check.passed)
    return count, passed


def page(record: RunRecord) -> str:
    """Return the report: one file, no network, plots drawn in."""
    from infra.operate import plots  # noqa: PLC0415  slow to import, and needed here alone

    count, passed = _by_host(record)
    concerns: dict[str, dict[str, list[CheckRecord]]] = {}
    for check in record.checks:
        concerns.setdefault(check.concern, {}).setdefault(check.host, []).append(check)
    drawn: dict[str, Any] = {
        "orders": {v.venue: plots.orders(v, record.killed_ns) for v in record.venues},
        "kill": {v.venue: plots.kill(v, record.killed_ns) for v in record.venues},
        "latency": plots.latency(record),
        "steps": plots.steps(record),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        record=record,
        plots=drawn,
        count=count,
        passed=passed,
        concerns=concerns,
        total=sum(step.seconds for step in record.steps),
        began=datetime.fromtimestamp(record.began_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def table(record: RunRecord) -> Table:
    """Return the closing table: host, venue, checks, round trip, time to flat."""
    count, passed = _by_host(record)
    shown = Table(title=f"{record.stack}: {'passed' if record.passed else 'FAILED'}")
    for heading in ("host", "venue"):
        shown.add_column(heading)
    for heading in ("checks", "sent", "acked", "filled", "cancelled", "p50", "p99", "time to flat"):
        shown.add_column(heading, justify="right")
    for venue in record.venues:
        good = passed[venue.host] == count[venue.host]
        shown.add_row(
            venue.host,
            venue.venue,
            f"[{'green' if good else 'red'}]{passed[venue.host]}/{count[venue.host]}[/]",
            str(venue.sent),
            str(venue.acked),
            str(venue.filled),
            str(venue.canceled),
            f"{venue.order_rtt_ns.p50 / 1e6:.2f} ms",
            f"{venue.order_rtt_ns.p99 / 1e6:.2f} ms",
            "[red]never[/]" if venue.kill_to_flat_ms is None else f"{venue.kill_to_flat_ms:.1f} ms",
        )
    return shown
