"""What was measured, as a document that a later run can be compared with."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from infra.plan.model import Closed

Section = Literal["converge", "verify", "engine", "lab"]
SECTIONS: tuple[Section, ...] = ("engine", "lab", "converge", "verify")

Unit = Literal["s", "ms", "ns", "MiB", "1/s", "count", "requests"]

SCHEMA: Literal[1] = 1


class BenchError(Exception):
    """Something could not be measured; the message says what, and what was seen."""


class Figure(Closed):
    """One thing that was measured ``runs`` times."""

    section: Section
    name: str
    """Unique in a record; the same thing has the same name in every record."""

    unit: Unit
    median: float
    min: float
    max: float
    runs: Annotated[int, Field(ge=1)]
    note: str = ""


class Ratio(Closed):
    """Two figures of this run, one divided by the other.

    The best runs are divided: what else goes on on the machine only ever adds to a time.
    """

    section: Section
    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words; empty without one."""
        words = [f"at most {self.at_most:g}"] if self.at_most is not None else []
        words += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        return ", ".join(words)

    @property
    def met(self) -> bool:
        """Whether the goal is met (a ratio without a goal always is)."""
        below = self.at_most is None or self.value <= self.at_most
        return below and (self.at_least is None or self.value >= self.at_least)


class Machine(Closed):
    """Where it was measured, and what else went on there."""

    cpu: str
    cpus: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str]
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]


class Record(Closed):
    """One run of the benchmark."""

    schema_version: Literal[1] = SCHEMA
    revision: str
    began: str
    """UTC, ISO 8601."""

    seconds: float
    machine: Machine
    figures: tuple[Figure, ...]
    ratios: tuple[Ratio, ...]
    remarks: tuple[str, ...] = ()
    """What a reader must know beside the figures."""

    def figure(self, name: str) -> Figure | None:
        """Return the figure of this name."""
        return next((figure for figure in self.figures if figure.name == name), None)


class Board:
    """Collects figures while they are measured."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Section, Unit, str, list[float]]] = {}
        self.ratios: list[Ratio] = []
        self.remarks: list[str] = []

    def add(self, section: Section, name: str, value: float, unit: Unit = "s", note: str = "") -> None:
        """Add one measurement of ``name``."""
        self._values.setdefault(name, (section, unit, note, []))[3].append(value)

    def median(self, name: str) -> float:
        """Return the median of what was measured under ``name``; BenchError when nothing was."""
        if name not in self._values:
            raise BenchError(f"{name!r} was not measured; there are: {', '.join(self._values) or 'none'}")
        return statistics.median(self._values[name][3])

    def best(self, name: str) -> float:
        """Return the least of what was measured under ``name``; BenchError as for ``median``."""
        self.median(name)
        return min(self._values[name][3])

    def ratio(
        self,
        name: str,
        above: str,
        below: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Add ``above`` / ``below`` when both were measured."""
        if above in self._values and below in self._values:
            section, best = self._values[above][0], self.best(above) / self.best(below)
            self.ratios.append(
                Ratio(section=section, name=name, value=best, at_most=at_most, at_least=at_least)
            )

    def figures(self) -> tuple[Figure, ...]:
        """Return everything measured so far."""
        return tuple(
            Figure(
                section=section,
                name=name,
                unit=unit,
                median=statistics.median(values),
                min=min(values),
                max=max(values),
                runs=len(values),
                note=note,
            )
            for name, (section, unit, note, values) in self._values.items()
        )


def read(path: Path) -> Record:
    """Read a record; BenchError names the file when it is missing or of another form."""
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchError(f"{path}: no such file; make one with make bench") from None
    except ValidationError as error:
        raise BenchError(f"{path} is not a record of schema {SCHEMA}: {error}") from None
