"""Each class of limit refuses the order that is one over, and only that one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from engine_harness import mock_venue, venue_limits, wait_for

if TYPE_CHECKING:
    from engine_harness import Engine


@pytest.mark.parametrize(
    ("bounds", "strategy", "limit"),
    [
        ({"max_order_quantity": "0.00099999"}, {}, "order_quantity"),
        ({"max_order_value": "49.94"}, {}, "order_value"),
        ({"price_collar_bps": 99}, {"spread_bps": 200}, "price_collar"),
        ({"max_position": "0.00099999"}, {}, "position"),
    ],
)
def test_order_over_the_limit_never_reaches_the_venue(
    engine: Engine, bounds: dict[str, Any], strategy: dict[str, Any], limit: str
) -> None:
    engine.bounds.update(bounds)
    engine.strategy.update({"take_every": 0, **strategy})
    engine.start()
    engine.arm()
    wait_for(lambda: engine.refused(limit) > 3, f"{limit} refuses")
    assert engine.events("submit") == []
    assert engine.state() == "ACTIVE"


@pytest.mark.parametrize(
    ("bounds", "strategy"),
    [
        ({"max_order_quantity": "0.001"}, {}),
        ({"max_order_value": "50.05"}, {}),
        ({"price_collar_bps": 100}, {"spread_bps": 200}),
        ({"max_position": "0.001"}, {}),
    ],
)
def test_order_at_the_limit_passes(engine: Engine, bounds: dict[str, Any], strategy: dict[str, Any]) -> None:
    engine.bounds.update(bounds)
    engine.strategy.update({"take_every": 0, **strategy})
    engine.start()
    engine.trade()
    wait_for(lambda: len(engine.events("submit")) >= 2, "both sides quoted")


def test_open_orders_never_exceed_their_limit(engine: Engine) -> None:
    engine.bounds["max_open_orders"] = 1
    engine.strategy["take_every"] = 0
    engine.start()
    engine.trade()
    wait_for(lambda: engine.refused("open_orders") > 3, "the second side is refused")
    open_orders: set[int] = set()
    for event in engine.events():
        if event["event"] == "submit":
            open_orders.add(event["id"])
            assert len(open_orders) == 1
        elif event["event"] in ("canceled", "fill"):
            open_orders.discard(event["id"])


def test_messages_in_any_second_stay_within_the_limit(engine: Engine) -> None:
    engine.bounds["max_messages_per_s"] = 10
    engine.strategy.update({"requote_ms": 1, "take_every": 3})
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("sent") >= 25, "a few seconds of orders")
    times = [event["mono_ns"] for event in engine.events() if event["event"] == "submit"]
    # The engine stamps an order before the venue does, so allow the two to differ by 50 ms.
    for i, first in enumerate(times):
        assert sum(1 for later in times[i:] if later - first < 950_000_000) <= 10


def test_runaway_latches_and_only_a_person_lifts_it(engine: Engine) -> None:
    engine.bounds["max_messages_per_s"] = 1  # two orders at once are already twice the limit
    engine.strategy["requote_ms"] = 1
    engine.start()
    engine.arm()
    wait_for(lambda: engine.state() == "HALTED" and engine.is_flat(), "halted and flat")
    assert "runaway" in engine.status()["reason"]
    wait_for(engine.latch.exists, "latch file written")
    engine.assert_quiet()
    engine.arm()
    assert engine.ask({"cmd": "resume"})["state"] == "HALTED"
    engine.assert_quiet()

    assert engine.stop() == 0
    engine.start()
    assert engine.state() == "HALTED", "a restart lifted the latch"
    engine.arm()
    wait_for(lambda: engine.of("connection") == "READY", "venue ready")
    engine.assert_quiet()

    sent = len(engine.events("submit"))
    time.sleep(0.2)  # housekeeping has seen the latch since the permit was written
    engine.latch.unlink()
    wait_for(lambda: engine.state() == "DISARMED", "lifted, yet not armed by a permit from before")
    engine.assert_quiet()
    engine.arm()
    wait_for(lambda: len(engine.events("submit")) > sent, "armed anew")


def test_arming_at_once_after_lifting_is_not_lost(engine: Engine) -> None:
    engine.write()
    engine.latch.write_text("x")
    engine.start()
    assert engine.state() == "HALTED"
    time.sleep(0.2)
    engine.latch.unlink()
    engine.arm()
    wait_for(lambda: engine.state() == "ACTIVE", "armed")


def test_daily_loss_halts(engine: Engine) -> None:
    engine.bounds["max_daily_loss"] = "0.5"
    engine.strategy.update({"take_every": 1, "requote_ms": 2000})  # a position is held for two seconds
    engine.start()
    engine.arm()
    wait_for(lambda: engine.of("position_e8") > 0, "a position")
    engine.script("mid=48000")
    wait_for(lambda: engine.state() == "HALTED" and engine.is_flat(), "halted and flat")
    assert "daily loss limit" in engine.status()["reason"]
    wait_for(engine.latch.exists, "latch file written")
    engine.assert_quiet()


def test_halt_holds_when_the_latch_cannot_be_written(engine: Engine) -> None:
    engine.config["paths"]["latch"] = "/dev/full/latch"  # ENOTDIR, as good as a full disk
    engine.bounds["max_messages_per_s"] = 1
    engine.start()
    assert engine.state() == "HALTED", "a latch that cannot be looked for counts as one that is there"
    engine.arm()
    engine.assert_quiet()


def test_halt_holds_when_the_disk_is_full(engine: Engine) -> None:
    place = engine.directory / "gone"
    place.mkdir()
    engine.config["paths"]["latch"] = str(place / "latch")
    engine.bounds["max_messages_per_s"] = 1
    engine.start()
    place.rmdir()  # the latch can be looked for and not be made: what a full disk looks like
    engine.arm()
    wait_for(lambda: engine.state() == "HALTED" and engine.is_flat(), "halted and flat")
    engine.arm()
    engine.assert_quiet()
    assert engine.state() == "HALTED"
    place.mkdir()
    wait_for((place / "latch").exists, "the latch is written as soon as it can be")


def test_limits_of_two_venues_are_apart_and_together(engine: Engine) -> None:
    engine.config["venues"].append(mock_venue(engine.directory, "mock2"))
    engine.limits["venues"]["mock2"] = venue_limits()
    engine.limits["venues"]["mock2"]["max_order_quantity"] = "0.0001"
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("sent") > 10, "the first venue trades")
    assert engine.of("sent", "mock2") == 0
    assert not Path(engine.config["venues"][1]["settings"]["journal"]).read_text().count("submit")


def test_position_stays_inside_its_limit_and_is_flattened(engine: Engine) -> None:
    engine.bounds["max_position"] = "0.003"
    engine.strategy.update({"take_every": 2, "spread_bps": 1})
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("filled") > 20, "many fills")
    position = 0
    for fill in engine.events("fill"):
        position += fill["quantity_e8"] * (1 if fill["side"] == 1 else -1)
        assert abs(position) <= 300_000
    assert engine.refused("position") == 0, "the strategy ran into the limit instead of staying inside"
