"""The record of a run: what it counts as passed, and the page that is made of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra.operate.record import CheckRecord, OrderEvent, Quantiles, RunRecord, StepRecord, VenueRecord
from infra.operate.report import page, table
from infra.rehearsal import open_at, order_events

QUANTILES = Quantiles(count=9, p50=1_000_000, p99=2_000_000, p999=3_000_000, max=4_000_000)
KILLED_NS = 10**18 + 10**9


def _venue(**changes: Any) -> VenueRecord:
    events = (
        OrderEvent(kind="new", wall_ns=10**18, open_orders=1),
        OrderEvent(kind="cancel", wall_ns=KILLED_NS + 5_000_000, open_orders=0),
    )
    fields: dict[str, Any] = {
        "host": "h-01",
        "venue": "binance",
        "sent": 3,
        "acked": 3,
        "filled": 1,
        "canceled": 2,
        "rejected": 0,
        "order_rtt_ns": QUANTILES,
        "tick_to_order_ns": QUANTILES,
        "open_at_kill": 1,
        "kill_to_flat_ms": 5.0,
        "host_revoked_ms": 2.0,
        "events": events,
    }
    return VenueRecord(**fields | changes)


def _record(*, passed: bool = True, message: str = "", **venue: Any) -> RunRecord:
    return RunRecord(
        stack="phase1",
        mode="simulated",
        began_ns=10**18,
        killed_ns=KILLED_NS,
        release="reference-engine 0.1.0",
        revision="0" * 40,
        steps=(StepRecord(name="converge", command="ansible-playbook <site>", seconds=1.5),),
        checks=(CheckRecord(host="h-01", concern="clock", name="is right", passed=passed, message=message),),
        venues=(_venue(**venue),),
    )


def test_a_whole_run_passes() -> None:
    assert _record().passed


@pytest.mark.parametrize(
    "change",
    [
        {"passed": False},
        {"acked": 0},
        {"filled": 0},
        {"canceled": 0},
        {"open_at_kill": 0},
        {"kill_to_flat_ms": None},
    ],
)
def test_a_run_that_lacks_anything_does_not(change: dict[str, Any]) -> None:
    assert not _record(**change).passed


def test_the_page_stands_alone_with_its_plots_drawn_in() -> None:
    text = page(_record())
    assert text.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "5.0 ms" in text
    assert "1 of 1" in text


def test_what_checks_and_commands_say_is_escaped() -> None:
    text = page(_record(passed=False, message="<script>alert(1)</script>"))
    assert "<script>" not in text
    assert "ansible-playbook &lt;site&gt;" in text


def test_the_table_says_never_where_the_venue_was_not_flat() -> None:
    shown = table(_record(kill_to_flat_ms=None))
    assert list(shown.columns[-1].cells) == ["[red]never[/]"]


def test_orders_are_counted_as_the_venue_saw_them() -> None:
    said = [
        {"kind": "connect", "account": "slipway", "wall_ns": 0},
        {"kind": "new", "account": "slipway", "client_id": 1, "wall_ns": 1},
        {"kind": "new", "account": "other", "client_id": 2, "wall_ns": 2},
        {"kind": "new", "account": "slipway", "client_id": 3, "wall_ns": 3},
        {"kind": "cancel", "account": "slipway", "client_id": 1, "wall_ns": 4},
    ]
    events = order_events(said)
    assert [(e.kind, e.open_orders) for e in events] == [("new", 1), ("new", 2), ("cancel", 1)]
    assert [open_at(events, at) for at in (0, 1, 3, 9)] == [0, 1, 2, 1]
