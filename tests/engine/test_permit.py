"""Orders go out only while a permit for this executable and these limits is in place."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from engine_harness import QUIET_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine_harness import Engine


def test_disarmed_engine_sends_nothing(engine: Engine) -> None:
    engine.start()
    wait_for(lambda: engine.of("connection") == "READY", "venue ready")
    engine.assert_quiet()
    assert engine.events("submit") == []
    assert engine.state() == "DISARMED"


def test_permit_lets_orders_go_out_be_filled_and_cancelled(engine: Engine) -> None:
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("filled") >= 4 and engine.of("canceled") >= 10, "orders filled and cancelled")
    venue = engine.status()["venues"]["mock"]
    assert venue["acked"] <= venue["sent"]
    assert venue["rejected"] == 0
    assert venue["order_rtt_ns"]["count"] > 0
    assert 0 < venue["order_rtt_ns"]["p50"] <= venue["order_rtt_ns"]["p99"] <= venue["order_rtt_ns"]["max"]
    assert venue["tick_to_order_ns"]["count"] > 0
    submitted = engine.events("submit")
    assert {event["side"] for event in submitted} == {1, 2}
    assert {event["tif"] for event in submitted} == {1, 2}
    assert all(event["price_e8"] % 1_000_000 == 0 for event in submitted), "off the tick"
    assert len({event["id"] for event in submitted}) == len(submitted), "a client id was used twice"


def revoke_by_unlink(engine: Engine) -> None:
    engine.permit.unlink()


def revoke_by_byte(engine: Engine) -> None:
    with engine.permit.open("r+b") as permit:
        permit.write(b"R")


def revoke_by_truncation(engine: Engine) -> None:
    os.truncate(engine.permit, 0)


@pytest.mark.parametrize("revoke", [revoke_by_unlink, revoke_by_byte, revoke_by_truncation])
def test_revoked_permit_cancels_everything_and_stops(
    engine: Engine, revoke: Callable[[Engine], None]
) -> None:
    engine.start()
    engine.trade()
    before = time.monotonic_ns()
    revoke(engine)
    after = time.monotonic_ns()
    wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat and disarmed")
    events = engine.events()
    stop = next(i for i, event in enumerate(events) if event["event"] == "cancel_all")
    assert events[stop]["mono_ns"] > before
    assert events[stop]["mono_ns"] - after < 200e6, "the cancel-all was late"
    assert not [event for event in events[stop:] if event["event"] == "submit"], (
        "an order after the revocation"
    )
    engine.assert_quiet()


def test_permit_of_another_release_is_refused(engine: Engine) -> None:
    engine.start()
    engine.arm(release="0" * 64)
    wait_for(lambda: "permit is for release 000000000000" in engine.status()["reason"], "refusal is told")
    engine.assert_quiet()
    assert engine.state() == "DISARMED"


def test_permit_of_other_limits_is_refused(engine: Engine) -> None:
    engine.start()
    engine.arm(limits="f" * 64)
    wait_for(lambda: "permit is for limits ffffffffffff" in engine.status()["reason"], "refusal is told")
    engine.assert_quiet()


def test_expired_permit_is_refused(engine: Engine) -> None:
    engine.start()
    engine.arm(expires_at_ns=time.time_ns() - 1)
    wait_for(lambda: "expired" in engine.status()["reason"], "refusal is told")
    engine.assert_quiet()


def test_permit_that_runs_out_stops_trading(engine: Engine) -> None:
    engine.start()
    engine.arm(expires_at_ns=time.time_ns() + 1_500_000_000)
    wait_for(lambda: engine.of("sent") > 0, "orders before the expiry")
    wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat after the expiry")
    assert "expired" in engine.status()["reason"]


def test_permit_older_than_the_engine_is_refused(engine: Engine) -> None:
    engine.write()
    engine.arm()
    engine.start()
    wait_for(lambda: "arm again" in engine.status()["reason"], "refusal is told")
    engine.assert_quiet()


def test_restart_does_not_rearm(engine: Engine) -> None:
    engine.start()
    engine.trade()
    assert engine.stop() == 0
    sent = len(engine.events("submit"))
    engine.start()
    wait_for(lambda: engine.of("connection") == "READY", "venue ready")
    engine.assert_quiet()
    assert len(engine.events("submit")) == sent
    assert engine.state() == "DISARMED"


def test_the_revoked_permit_put_back_does_not_rearm(engine: Engine) -> None:
    engine.start()
    engine.trade()
    kept = engine.directory / "kept"
    engine.permit.rename(kept)
    kept.unlink()
    wait_for(lambda: engine.state() == "DISARMED", "disarmed")
    engine.arm(armed_at_ns=time.time_ns() - 10**10)
    wait_for(lambda: "arm again" in engine.status()["reason"], "refusal is told")
    engine.assert_quiet()


def test_renewed_permit_keeps_trading(engine: Engine) -> None:
    engine.start()
    engine.trade()
    engine.arm()
    sent = engine.of("sent")
    wait_for(lambda: engine.of("sent") > sent + 5, "goes on")
    assert engine.state() == "ACTIVE"
    assert engine.events("cancel_all") == []


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("R{}", 0o640, "first byte"),
        ("A{not json", 0o640, "not valid JSON"),
        ('A{"release":"x"}', 0o640, "missing key"),
        (None, 0o660, "written by group"),
        ("A" + " " * 5000, 0o640, "too large"),
    ],
)
def test_malformed_permit_is_refused(engine: Engine, text: str | None, mode: int, told: str) -> None:
    engine.start()
    engine.place_permit(text or engine.permit_text(), mode)
    wait_for(lambda: told in engine.status()["reason"], f"refusal is told: {told}")
    assert engine.state() == "DISARMED"


def test_link_in_place_of_a_permit_is_refused(engine: Engine) -> None:
    engine.start()
    elsewhere = engine.directory / "elsewhere"
    elsewhere.write_text(engine.permit_text())
    engine.permit.symlink_to(elsewhere)
    wait_for(lambda: "cannot open" in engine.status()["reason"], "refusal is told")
    time.sleep(QUIET_S / 5)
    assert engine.events("submit") == []
