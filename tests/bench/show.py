"""A record as tables for the terminal, alone or beside an earlier one."""

from __future__ import annotations

from rich.table import Table

from tests.bench.figures import SECTIONS, Figure, Record

FASTER, SLOWER = 0.9, 1.1
"""Changes within these ratios are noise on a shared machine, and are shown without colour."""


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, short."""
    if unit == "ns":
        return f"{value / 1e3:,.2f} µs"
    if unit == "count":
        return f"{value:,.0f}"
    return f"{value:,.2f} {unit}"


def figures(record: Record) -> Table:
    """Return every figure: median, and the range of its runs."""
    shown = Table(title=f"measured at {record.began}, revision {record.revision[:12]}")
    for heading in ("section", "figure"):
        shown.add_column(heading, overflow="fold")
    for heading in ("median", "min", "max", "runs"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for section in SECTIONS:
        mine = [figure for figure in record.figures if figure.section == section]
        for number, figure in enumerate(mine):
            values = [amount(value, figure.unit) for value in (figure.median, figure.min, figure.max)]
            end = number == len(mine) - 1
            shown.add_row(
                "" if number else section, _name(figure), *values, str(figure.runs), end_section=end
            )
    return shown


def _name(figure: Figure) -> str:
    return f"{figure.name} [dim]({figure.note})[/]" if figure.note else figure.name


def ratios(record: Record) -> Table:
    """Return the ratios with their goals."""
    shown = Table(title="ratios, both sides measured alternately in this run")
    shown.add_column("ratio", overflow="fold")
    for heading in ("value", "goal"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for ratio in record.ratios:
        colour = "" if not ratio.goal else "green" if ratio.met else "red"
        value = f"{ratio.value:.2f}"
        shown.add_row(ratio.name, f"[{colour}]{value}[/]" if colour else value, ratio.goal)
    return shown


def comparison(old: Record, new: Record) -> Table:
    """Return old and new side by side, with old / new: above 1 is faster (or smaller) now."""
    shown = Table(title=f"{old.revision[:12]} ({old.began}) beside {new.revision[:12]} ({new.began})")
    shown.add_column("figure", overflow="fold")
    for heading in ("old", "new", "old / new"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for figure in new.figures:
        before = old.figure(figure.name)
        if before is None or before.unit != figure.unit or not figure.median:
            continue
        change = before.median / figure.median
        # A rate is better when it grows, everything else when it shrinks.
        better = 1 / change if figure.unit == "1/s" and change else change
        colour = "green" if better > SLOWER else "red" if better < FASTER else "dim"
        shown.add_row(
            figure.name,
            amount(before.median, figure.unit),
            amount(figure.median, figure.unit),
            f"[{colour}]{change:.2f}[/]",
        )
    for ratio in new.ratios:
        earlier = next((r for r in old.ratios if r.name == ratio.name), None)
        if earlier is not None and ratio.value:
            shown.add_row(
                f"[bold]{ratio.name}[/]",
                f"{earlier.value:.2f}",
                f"{ratio.value:.2f}",
                f"{earlier.value / ratio.value:.2f}",
            )
    return shown
