"""The report's plots, as SVG text that stands in the page itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from infra.operate.record import RunRecord, VenueRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1c2733", "#5b6b7b", "#dde3e9"
KINDS = {"new": "#2f6fb3", "fill": "#2e9e6b", "cancel": "#c98a1b", "reject": "#c0392b"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "slipway",
}


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def orders(venue: VenueRecord, killed_ns: int) -> str:
    """Cumulated orders, fills, cancels and rejects at the venue over time, with the kill marked."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.0)
        zero = venue.events[0].wall_ns if venue.events else killed_ns
        for kind, colour in KINDS.items():
            times = [(event.wall_ns - zero) / 1e9 for event in venue.events if event.kind == kind]
            if times:
                axes.step(times, range(1, len(times) + 1), where="post", color=colour, label=kind)
        axes.axvline((killed_ns - zero) / 1e9, color=KINDS["reject"], linestyle="--", linewidth=1)
        axes.annotate(
            "kill", ((killed_ns - zero) / 1e9, 1), xycoords=("data", "axes fraction"), ha="right", va="top"
        )
        axes.set_xlabel("seconds since the first order")
        axes.set_ylabel("count at the venue")
        axes.legend(frameon=False, loc="upper left")
        return _svg(figure)


def kill(venue: VenueRecord, killed_ns: int) -> str:
    """Open orders at the venue in the moments around the kill."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.4)
        end_ms = max(50.0, (venue.kill_to_flat_ms or 0.0) * 1.6)
        near = [(e, (e.wall_ns - killed_ns) / 1e6) for e in venue.events]
        shown = [(ms, e.open_orders) for e, ms in near if -end_ms <= ms <= end_ms]
        before = [e.open_orders for e, ms in near if ms < -end_ms]
        first = before[-1] if before else venue.open_at_kill
        times = [-end_ms, *(ms for ms, _ in shown), end_ms]
        counts = [first, *(count for _, count in shown)]
        axes.step(times, [*counts, counts[-1]], where="post", color=KINDS["new"])
        axes.fill_between(times, [*counts, counts[-1]], step="post", alpha=0.15, color=KINDS["new"])
        axes.axvline(0, color=KINDS["reject"], linestyle="--", linewidth=1)
        if venue.kill_to_flat_ms is not None:
            axes.axvline(venue.kill_to_flat_ms, color=KINDS["fill"], linestyle="--", linewidth=1)
            axes.annotate(
                f"flat after {venue.kill_to_flat_ms:.1f} ms",
                (venue.kill_to_flat_ms, 0.95),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                va="top",
            )
        axes.set_xlim(-end_ms, end_ms)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("milliseconds from the kill command")
        axes.set_ylabel("open orders at the venue")
        return _svg(figure)


def latency(record: RunRecord) -> str:
    """Order round trip and tick to order by venue, at p50, p99, p99.9 and the maximum (logarithmic)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(0.9 + 0.75 * max(1, len(record.venues)))
        marks = (("p50", "o"), ("p99", "s"), ("p999", "D"), ("max", "|"))
        labels = []
        for row, venue in enumerate(record.venues):
            for offset, name, value, colour in (
                (0.14, "order round trip", venue.order_rtt_ns, KINDS["new"]),
                (-0.14, "tick to order", venue.tick_to_order_ns, KINDS["fill"]),
            ):
                points = [max(1, getattr(value, quantile)) / 1e3 for quantile, _ in marks]
                axes.plot([points[0], points[-1]], [row + offset] * 2, color=colour, linewidth=1, alpha=0.5)
                for point, (quantile, marker) in zip(points, marks, strict=True):
                    axes.plot(
                        point,
                        row + offset,
                        marker,
                        color=colour,
                        label=f"{name} {quantile.replace('p999', 'p99.9')}" if row == 0 else None,
                    )
            labels.append(f"{venue.venue}")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.set_xscale("log")
        axes.set_xlabel("microseconds (this machine, shared with everything else: not a venue's latency)")
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _svg(figure)


def steps(record: RunRecord) -> str:
    """Wall time of each step."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(0.7 + 0.3 * len(record.steps))
        names = [step.name for step in record.steps]
        seconds = [step.seconds for step in record.steps]
        bars = axes.barh(names, seconds, color=KINDS["new"], height=0.6)
        axes.bar_label(bars, labels=[f"{value:.1f} s" for value in seconds], padding=3, color=MUTED)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("seconds")
        return _svg(figure)
