"""Progress of a run in the terminal: a line for each step done, a spinner for the one that runs."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Steps:
    """Shows steps one after another; the running one with what it said last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._name = ""
        self._began = 0.0

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("[bold red]✗[/]" if error else "[bold green]✓[/]")

    def begin(self, name: str, command: str) -> None:
        """End the step before, show this one's plain command and start its spinner."""
        self._end("[bold green]✓[/]")
        self._name, self._began = name, time.monotonic()
        self._console.print(f"[dim]$ {escape(command)}[/]", soft_wrap=True)
        self._status = self._console.status(f"[bold]{escape(name)}[/]")
        self._status.start()

    def tell(self, line: str) -> None:
        """Show the last line of the running step."""
        if self._status is not None and line.strip():
            width = max(20, self._console.width - len(self._name) - 8)
            self._status.update(f"[bold]{escape(self._name)}[/] [dim]{escape(line.strip()[:width])}[/]")

    def _end(self, mark: str) -> None:
        if self._status is not None:
            self._status.stop()
            self._console.print(f"{mark} {escape(self._name):14} {time.monotonic() - self._began:6.1f} s")
            self._status = None
