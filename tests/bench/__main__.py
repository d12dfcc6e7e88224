"""``python -m tests.bench``: measure, write out/bench.json, show."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from infra.lab.preflight import PreflightError
from infra.lab.settings import LabError
from infra.operate.command import CommandError
from infra.operate.inventory import InventoryError
from infra.operate.release import ReleaseError
from tests.bench import converge, engine, machine, phase, show, verify
from tests.bench.figures import SECTIONS, BenchError, Board, Record, Section, read
from tests.bench.grounds import grounds
from tests.bench.place import CHECKOUT, Place, place, revision
from tests.bench.rival import environment as rival

console = Console()
errors = Console(stderr=True)

OUR_ERRORS = (BenchError, CommandError, InventoryError, LabError, PreflightError, ReleaseError)
MOST_HOSTS = 24


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure slipway in the lab.")
    parser.add_argument(
        "--only", type=_sections, default=SECTIONS, metavar="A,B", help=f"sections: {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--hosts", type=_hosts, default=(1, 10, 20), metavar="1,10,20", help="lab hosts to converge"
    )
    parser.add_argument("--runs", type=int, default=3, help="measurements of each figure (default 3)")
    parser.add_argument(
        "--rtt-ms", type=float, default=100.0, help="round trip to the far host (default 100)"
    )
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "out" / "bench.json", help="where the record goes"
    )
    parser.add_argument("--against", type=Path, help="an earlier record to show beside the new one")
    parser.add_argument("--no-run", action="store_true", help="measure nothing: show --out (and --against)")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error(f"--runs is {given.runs}; at least 1 is needed")
    return given


def _sections(text: str) -> tuple[Section, ...]:
    found = tuple(section for section in SECTIONS if section in text.split(","))
    unknown = set(text.split(",")) - set(SECTIONS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{sorted(unknown)[0]!r}; allowed are {', '.join(SECTIONS)}")
    return found


def _hosts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed are numbers with commas between") from None
    if not counts or counts[0] < 1 or counts[-1] > MOST_HOSTS:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed are 1 to {MOST_HOSTS}")
    return counts


def measure(given: argparse.Namespace, board: Board, where: Place, tell: Callable[[str], None]) -> None:
    """Run the wanted sections."""
    if "lab" in given.only:
        phase.section(where, board, given.runs, tell)
    if "engine" in given.only:
        engine.section(where, board, given.runs, tell)
    if not {"converge", "verify"} & set(given.only):
        return
    with grounds(where) as ground:
        tell("lab for many hosts is up")
        for number, count in enumerate(given.hosts):
            ground.grow(count)
            tell(f"{count} hosts deployed")
            runs = given.runs if "converge" in given.only else 0
            field = converge.section(ground, board, ground.names, runs, tell)
            if "verify" in given.only:
                verify.section(field, board, given.runs, tell)
            if number == 0 and count == 1:
                if runs:
                    converge.far(field, board, runs, given.rtt_ms, tell)
                if "verify" in given.only:
                    verify.far(field, board, given.rtt_ms, tell)


def run(given: argparse.Namespace) -> Record:
    """Measure and write the record; what was measured before an error is written too."""
    board, load, measured = Board(), os.getloadavg(), revision()
    began, clock = datetime.now(UTC), time.monotonic()
    status = console.status("making a copy of the checkout")

    def tell(text: str) -> None:
        elapsed = time.monotonic() - clock
        stamp = f"[dim]{elapsed:6.0f} s  load {os.getloadavg()[0]:4.1f}[/]"
        console.print(f"{stamp}  {escape(text)}", highlight=False)

    def quietly(text: str) -> None:
        status.update(
            f"[dim]{time.monotonic() - clock:.0f} s[/] {escape(text[: max(20, console.width - 12)])}"
        )

    def record() -> Record:
        return Record(
            revision=measured,
            began=began.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 1),
            machine=machine.facts(load, rival.VERSION if "converge" in given.only else None),
            figures=board.figures(),
            ratios=tuple(board.ratios),
            remarks=tuple(board.remarks),
        )

    try:
        with status, place(quietly) as where:
            measure(given, board, where, tell)
    finally:
        made = record()
        if made.figures:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return made


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the command line; 1 with one message when something could not be measured."""
    given = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        old = read(given.against) if given.against else None
        record = read(given.out) if given.no_run else run(given)
    except OUR_ERRORS as error:
        errors.print(f"[bold red]error[/] {escape(str(error))}", soft_wrap=True)
        return 1
    console.print(show.figures(record))
    if record.ratios:
        console.print(show.ratios(record))
    for remark in record.remarks:
        console.print(f"[dim]{escape(remark)}[/]")
    if old is not None:
        console.print(show.comparison(old, record))
    if not given.no_run:
        console.print(str(given.out), soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
