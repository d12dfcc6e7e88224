"""Starting a simulator and speaking to its admin socket, for the lab and for tests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Literal

VenueName = Literal["binance", "polymarket"]


class SimulatorError(Exception):
    """A simulator did not start, or refused an admin request; the text says why."""


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Admin:
    """A simulator's admin endpoints. SimulatorError for a refusal and for a socket that is not there."""

    socket_path: Path
    timeout: float = 10

    def ask(self, method: str, target: str, document: object = None) -> Any:
        """Return the JSON answer to one request."""
        connection = _UnixConnection(self.socket_path, self.timeout)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            reply = json.loads(response.read())
        except (OSError, HTTPException) as error:
            raise SimulatorError(f"does not answer on {self.socket_path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            why = reply.get("error", reply)
            raise SimulatorError(f"refused {method} {target}: {response.status} {why} ({self.socket_path})")
        return reply

    def state(self) -> dict[str, Any]:
        """Return open orders, counters, flatness, markets, connections and faults."""
        state: dict[str, Any] = self.ask("GET", "/state")
        return state

    def last_event(self) -> int:
        """Return the sequence number of the newest event."""
        return int(self.state()["last_event"])

    def events(self, since: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        """Return the events after ``since``; if there are none, wait up to ``wait`` seconds for one."""
        events: list[dict[str, Any]] = self.ask("GET", f"/events?since={since}&wait={wait}")["events"]
        return events

    def wait_for(
        self, matches: Callable[[dict[str, Any]], bool], since: int = 0, seconds: float = 10
    ) -> dict[str, Any]:
        """Return the first event after ``since`` that matches; SimulatorError if none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            for event in self.events(since, wait=max(0.0, min(left, self.timeout / 2))):
                since = event["seq"]
                if matches(event):
                    return event
            if left <= 0:
                raise SimulatorError(f"{self.socket_path}: the awaited event did not come in {seconds} s")

    def set_faults(self, **faults: dict[str, Any]) -> None:
        """Switch faults on by name, each with its parameters."""
        self.ask("POST", "/faults", faults)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.ask("DELETE", "/faults")

    def move_market(self, **document: object) -> dict[str, Any]:
        """Set ``mid``, ``frozen`` (and, at Polymarket, ``tick``) of ``symbol``; return the market's state."""
        market: dict[str, Any] = self.ask("POST", "/market", document)
        return market

    def add_account(self, document: dict[str, Any]) -> None:
        """Add an account, or give a known one new keys."""
        self.ask("POST", "/accounts", document)


@dataclass(frozen=True)
class Running:
    """A simulator that listens."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    admin: Admin

    def address(self, index: int = 0) -> str:
        """Return ``host:port`` of a listener."""
        entry = self.ready["listen"][index]
        return f"{entry['address']}:{entry['port']}"


def start(
    venue: VenueName, config: Path, *, prefix: tuple[str, ...] = (), log: Path | None = None
) -> Running:
    """Start a simulator and return when it listens; ``prefix`` precedes its command (``ip netns exec …``).

    ``log`` takes its standard error. SimulatorError if it ends before it is ready, with what it said.
    """
    command = [*prefix, sys.executable, "-m", f"infra.lab.venues.{venue}", "--config", str(config)]
    errors = log or config.with_suffix(".log")
    with errors.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, stdin=subprocess.DEVNULL, text=True
        )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("READY "):
            ready = json.loads(line.removeprefix("READY "))
            return Running(process, ready, Admin(Path(ready["admin_socket"])))
    status = process.wait()
    raise SimulatorError(
        f"{venue} simulator ended with status {status}: {errors.read_text(encoding='utf-8')}"
    )


def stop(running: Running, seconds: float = 10) -> int:
    """End a simulator with SIGTERM (SIGKILL after ``seconds``) and return its exit status."""
    running.process.terminate()
    try:
        return running.process.wait(seconds)
    except subprocess.TimeoutExpired:
        running.process.kill()
        return running.process.wait()
    finally:
        if running.process.stdout is not None:
            running.process.stdout.close()


@contextmanager
def running(venue: VenueName, config: dict[str, Any], directory: Path) -> Iterator[Running]:
    """Run a simulator with this configuration, written to ``directory``, for as long as the block lasts."""
    path = directory / f"{venue}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    simulator = start(venue, path)
    try:
        yield simulator
    finally:
        stop(simulator)
