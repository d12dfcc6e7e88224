"""An engine under test: its files, its process, and what it says and does."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_S = 20.0
"""How long to wait for what must happen. Long, as the machine may be busy; a sound engine never needs it."""

QUIET_S = 0.5
"""How long to watch for what must not happen; the mock venue quotes a thousand times in it."""


def wait_for(what: Callable[[], T], why: str, patience_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and give it back."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        answer = what()
        if answer:
            return answer
        time.sleep(0.01)
    pytest.fail(f"did not happen within {patience_s} s: {why}")


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mock_venue(directory: Path, name: str = "mock") -> dict[str, Any]:
    """A venue section of engine.json for the mock connector."""
    return {
        "name": name,
        "connector": {"kind": "library", "path": f"connectors/libslipway_{name}.so"},
        "settings": {
            "journal": str(directory / f"{name}.journal"),
            "script": str(directory / f"{name}.script"),
            "mid": "50000",
            "half_spread": "0.5",
            "quote_us": 500,
            "orphans": 0,
            "fee_bps": 0,
        },
        "instruments": [{"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"}],
        "strategy": {
            "name": "paper_quote",
            "parameters": {"spread_bps": 20, "quantity": "0.001", "requote_ms": 20, "take_every": 4},
        },
    }


def venue_limits() -> dict[str, Any]:
    """Limits that the mock venue's strategy stays within."""
    return {
        "instruments": ["BTCUSDT"],
        "price_collar_bps": 500,
        "max_order_value": "200",
        "max_order_quantity": "0.01",
        "max_open_orders": 10,
        "max_messages_per_s": 1000,
        "max_position": "0.05",
        "max_daily_loss": "50",
    }


class Engine:
    """One engine: change `config` and `limits`, then `start`."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program, self.directory = program, directory
        self.permit = directory / "permit"
        self.latch = directory / "latch"
        self.log = directory / "engine.log"
        self.config: dict[str, Any] = {
            "config_version": 1,
            "mode": "simulated",
            "host": "test-host-01",
            "loop": {"policy": "paced", "pace_us": 100, "cpu": None},
            "paths": {
                "permit": str(self.permit),
                "limits": str(directory / "limits.json"),
                "latch": str(self.latch),
                "control_socket": str(directory / "control.sock"),
            },
            "metrics": {"address": "127.0.0.1", "port": free_port()},
            "venues": [mock_venue(directory)],
        }
        self.limits: dict[str, Any] = {
            "limits_version": 1,
            "mode": "simulated",
            "total": {"venues": 2, "max_messages_per_s": 2000, "max_daily_loss": "100"},
            "venues": {"mock": venue_limits()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def venue(self) -> dict[str, Any]:
        """The only venue's configuration."""
        venue: dict[str, Any] = self.config["venues"][0]
        return venue

    @property
    def bounds(self) -> dict[str, Any]:
        """The only venue's limits."""
        bounds: dict[str, Any] = self.limits["venues"][self.venue["name"]]
        return bounds

    @property
    def strategy(self) -> dict[str, Any]:
        """The only venue's strategy parameters."""
        parameters: dict[str, Any] = self.venue["strategy"]["parameters"]
        return parameters

    @property
    def config_file(self) -> Path:
        return self.directory / "engine.json"

    @property
    def limits_file(self) -> Path:
        return self.directory / "limits.json"

    def write(self) -> None:
        """Write both files."""
        self.config_file.write_text(json.dumps(self.config))
        self.limits_file.write_text(json.dumps(self.limits))

    def check(self) -> subprocess.CompletedProcess[str]:
        """--check-config on the files as they are."""
        return subprocess.run(
            [self.program, "--check-config", self.config_file],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, environment: dict[str, str] | None = None) -> Engine:
        """Start and wait until the control socket answers."""
        self.write()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--config", self.config_file],
                stderr=log,
                stdout=log,
                env={**os.environ, **(environment or {})},
            )
        wait_for(self.answers, f"the engine starts; its log: {self.text}")
        return self

    def answers(self) -> bool:
        """Whether the control socket answers; fails the test when the process has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"engine ended with {self.process.returncode}:\n{self.text()}")
        try:
            return "state" in self.ask({"cmd": "status"})
        except OSError:
            return False

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_S)

    def end(self) -> None:
        """Whatever happened, leave nothing behind; a sanitizer's report fails the test."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.log.exists():
            report = self.text()
            assert "Sanitizer" not in report, report
            assert "runtime error" not in report, report

    def ask(self, request: dict[str, Any] | bytes) -> dict[str, Any]:
        """One request on the control socket."""
        line = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE_S)
            control.connect(self.config["paths"]["control_socket"])
            control.sendall(line)
            with control.makefile("rb") as answer:
                reply: dict[str, Any] = json.loads(answer.readline())
                return reply

    def status(self) -> dict[str, Any]:
        return self.ask({"cmd": "status"})

    def state(self) -> str:
        return str(self.status()["state"])

    def of(self, key: str, venue: str | None = None) -> Any:
        """One value of a venue's status."""
        return self.status()["venues"][venue or self.venue["name"]][key]

    def refused(self, limit: str) -> int:
        """How many orders this limit has refused."""
        return int(self.ask({"cmd": "limits"})["venues"][self.venue["name"]]["refused"][limit])

    def metrics(self) -> str:
        port = self.config["metrics"]["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What the mock venue saw, in order."""
        journal = Path(self.venue["settings"]["journal"])
        lines = journal.read_text().splitlines() if journal.exists() else []
        all_events = [json.loads(line) for line in lines]
        return [event for event in all_events if kind in (None, event["event"])]

    def script(self, words: str) -> None:
        """Put faults on the mock venue, whole or not at all."""
        target = Path(self.venue["settings"]["script"])
        draft = target.with_suffix(".draft")
        draft.write_text(words)
        draft.rename(target)

    def permit_text(self, **changes: object) -> str:
        """A permit that this engine would take, with changes."""
        now = time.time_ns()
        terms = {
            "release": hashlib.sha256(self.program.read_bytes()).hexdigest(),
            "limits": hashlib.sha256(self.limits_file.read_bytes()).hexdigest(),
            "armed_by": "tester",
            "armed_at_ns": now,
            "expires_at_ns": now + 600 * 10**9,
            **changes,
        }
        return "A" + json.dumps(terms) + "\n"

    def place_permit(self, text: str, mode: int = 0o640) -> None:
        """Write a permit as slipway-arm does: whole, then renamed."""
        draft = self.directory / "permit.draft"
        draft.write_text(text)
        draft.chmod(mode)
        draft.rename(self.permit)

    def arm(self, **changes: object) -> None:
        """Arm, without waiting for what follows."""
        self.place_permit(self.permit_text(**changes))

    def trade(self) -> None:
        """Arm, and wait until orders rest at the venue."""
        self.arm()
        wait_for(lambda: self.state() == "ACTIVE", f"the engine becomes active; log:\n{self.text()}")
        wait_for(lambda: self.of("open_orders") > 0, "orders rest at the venue")

    def is_flat(self) -> bool:
        return all(venue["open_orders"] == 0 for venue in self.status()["venues"].values())

    def assert_quiet(self) -> None:
        """No new order reaches the venue."""
        before = len(self.events("submit"))
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            assert len(self.events("submit")) == before
            time.sleep(0.05)
