"""Killing, stopping, hanging: in every case nothing stays open that we could have cancelled."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from engine_harness import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from engine_harness import Engine


def test_kill_command_flattens_and_resume_takes_it_back(engine: Engine) -> None:
    engine.start()
    engine.trade()
    answer = engine.ask({"cmd": "kill", "reason": "drill"})
    assert answer["ok"] is True
    assert answer["state"] == "HALTED"
    wait_for(engine.is_flat, "flat")
    assert engine.status()["reason"] == "killed: drill"
    engine.assert_quiet()
    assert engine.state() == "HALTED"
    sent = engine.of("sent")
    assert engine.ask({"cmd": "resume"})["ok"] is True
    wait_for(lambda: engine.of("sent") > sent, "trades again")


def test_new_permit_takes_back_a_kill(engine: Engine) -> None:
    engine.start()
    engine.trade()
    engine.permit.unlink()
    engine.ask({"cmd": "kill", "reason": "drill"})
    wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat and disarmed")
    sent = engine.of("sent")
    engine.arm()
    wait_for(lambda: engine.of("sent") > sent, "trades again")


def test_sigterm_cancels_everything_and_ends_well(engine: Engine) -> None:
    engine.start()
    engine.trade()
    assert engine.stop() == 0
    events = engine.events()
    last = {
        event["id"]: event["event"] for event in events if event["event"] in ("submit", "canceled", "fill")
    }
    assert "submit" not in last.values(), "an order was left open"
    assert not (engine.directory / "control.sock").exists()
    assert "stopped, 0 orders open" in engine.text()


def test_sigterm_ends_within_its_time_though_the_venue_is_silent(engine: Engine) -> None:
    engine.start()
    engine.trade()
    engine.script("hang")
    time.sleep(0.1)
    begun = time.monotonic()
    assert engine.stop() == 0
    assert time.monotonic() - begun < 15.0


def test_orphans_are_cancelled_before_anything_is_sent(engine: Engine) -> None:
    engine.venue["settings"]["orphans"] = 2
    engine.start()
    engine.trade()
    kinds = [event["event"] for event in engine.events()]
    assert "cancel_all" in kinds[: kinds.index("submit")]
    assert "left-behind" in engine.text()


def test_orphans_are_cancelled_without_a_permit(engine: Engine) -> None:
    engine.venue["settings"]["orphans"] = 1
    engine.start()
    wait_for(lambda: engine.events("cancel_all"), "cancel-all")
    assert engine.events("submit") == []


def test_silent_venue_stops_new_orders(engine: Engine) -> None:
    engine.start()
    engine.trade()
    engine.script("hang")
    wait_for(lambda: 'slipway_venue_stale{venue="mock"} 1' in engine.metrics(), "noticed")
    engine.assert_quiet()
    assert engine.events("cancel_all"), "nothing was done about the open orders"
    engine.script("")
    sent = engine.of("sent")
    wait_for(lambda: engine.of("sent") > sent, "trades again when the venue answers again")


def test_rejecting_venue_is_not_hammered(engine: Engine) -> None:
    engine.script("reject")
    engine.strategy.update({"requote_ms": 20, "take_every": 0})
    engine.start()
    engine.arm()
    wait_for(lambda: engine.of("rejected") >= 6, "rejections")
    times = [event["mono_ns"] for event in engine.events("submit") if event["side"] == 1]
    gaps = [later - first for first, later in itertools.pairwise(times)]
    assert gaps[-1] > 1.5 * gaps[0], f"no back-off: {gaps}"


def test_orders_of_a_lost_connection_are_swept(engine: Engine) -> None:
    engine.start()
    engine.trade()
    engine.script("down hang")
    wait_for(lambda: engine.of("connection") == "DISCONNECTED", "connection lost")
    engine.assert_quiet()
    engine.script("")
    wait_for(lambda: engine.events("cancel_all"), "swept on return")
    sent = engine.of("sent")
    wait_for(lambda: engine.of("sent") > sent, "trades again")


class Manager:
    """systemd's side of the notification protocol."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(PATIENCE_S)
        self.heard: list[str] = []

    def environment(self, watchdog_us: int) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(watchdog_us)}

    def wait(self, prefix: str) -> str:
        while True:
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if message.startswith(prefix):
                return message

    def drain(self) -> list[str]:
        self.socket.setblocking(False)
        got = []
        try:
            while True:
                got.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            pass
        self.socket.settimeout(PATIENCE_S)
        return got


def test_ready_status_and_watchdog_are_sent(engine: Engine) -> None:
    manager = Manager(engine.directory)
    engine.start(manager.environment(200_000))
    manager.wait("READY=1")
    for _ in range(3):
        manager.wait("WATCHDOG=1")
    engine.trade()
    assert "mock ready" in manager.wait("STATUS=ACTIVE")
    assert engine.stop() == 0
    manager.wait("STOPPING=1")


def test_watchdog_comes_from_the_order_loop(engine: Engine) -> None:
    """A loop that hangs in a connector stops the watchdog, though the control socket still answers."""
    manager = Manager(engine.directory)
    engine.start(manager.environment(200_000))
    manager.wait("WATCHDOG=1")
    engine.script("block")
    wait_for(lambda: _loop_age(engine) > 0.3, "the loop hangs")
    manager.drain()
    time.sleep(0.4)
    assert manager.drain() == []
    assert engine.ask({"cmd": "kill", "reason": "x"})["ok"] is False, "a hung loop cannot have obeyed"
    engine.script("")
    manager.wait("WATCHDOG=1")


def _loop_age(engine: Engine) -> float:
    line = next(
        line for line in engine.metrics().splitlines() if line.startswith("slipway_loop_age_seconds ")
    )
    return float(line.split()[1])


def test_stopped_process_sends_no_watchdog(engine: Engine) -> None:
    manager = Manager(engine.directory)
    engine.start(manager.environment(200_000))
    manager.wait("WATCHDOG=1")
    assert engine.process is not None
    os.kill(engine.process.pid, signal.SIGSTOP)
    manager.drain()
    time.sleep(0.4)
    assert manager.drain() == []
    os.kill(engine.process.pid, signal.SIGCONT)
    manager.wait("WATCHDOG=1")
