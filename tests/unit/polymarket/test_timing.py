"""Heartbeats and the clock comparison, with clocks of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_polymarket import clock
from slipway_polymarket.errors import VenueError
from slipway_polymarket.heartbeat import Heartbeat, WrongHeartbeatIdError


class Time:
    """A clock that only sleeping moves; it ends the run at ``end``."""

    def __init__(self, end: float) -> None:
        self.now, self.end = 1000.0, 1000.0 + end

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.end:
            raise asyncio.CancelledError


class Venue:
    """Takes heartbeats: knows the id that must come, and at what times they came."""

    def __init__(self, time: Time) -> None:
        self.time, self.expected, self.beats, self.count = time, "", [], 0
        self.down: Callable[[float], bool] = lambda _: False
        self.takes_s = 0.0

    async def post(self, heartbeat_id: str) -> str:
        self.time.now += self.takes_s
        elapsed = self.time.now - 1000.0
        if self.down(elapsed):
            raise VenueError(0, "no route")
        if heartbeat_id != self.expected:
            raise WrongHeartbeatIdError(self.expected)
        self.count += 1
        self.expected = f"id-{self.count}"
        self.beats.append(elapsed)
        return self.expected


def run(
    seconds: float, prepare: Callable[[Venue], None] = lambda _: None
) -> tuple[Venue, Heartbeat, list[str | None]]:
    time = Time(seconds)
    venue = Venue(time)
    prepare(venue)
    troubles: list[str | None] = []
    heartbeat = Heartbeat(
        venue.post, lambda: troubles.append(heartbeat.trouble), 5.0, time.monotonic, time.sleep
    )
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(heartbeat.run())
    return venue, heartbeat, troubles


def test_beats_come_each_five_seconds_whatever_each_takes() -> None:
    def slow(venue: Venue) -> None:
        venue.takes_s = 0.75

    venue, _, troubles = run(26, slow)
    assert venue.beats == [0.75, 5.75, 10.75, 15.75, 20.75, 25.75]
    assert troubles == [None]


def test_a_wrong_id_is_put_right_at_once() -> None:
    def restarted(venue: Venue) -> None:
        venue.expected = "left-over"

    venue, _, troubles = run(11, restarted)
    assert venue.beats == [0, 5, 10]
    assert troubles == [None]


def test_a_short_outage_is_retried_each_second_and_told_to_nobody() -> None:
    def outage(venue: Venue) -> None:
        venue.down = lambda at: 4 < at < 8.5

    venue, heartbeat, troubles = run(14, outage)
    assert venue.beats == [0, 9]
    assert (heartbeat.lapses, troubles) == (0, [None])


def test_ten_seconds_without_one_are_a_lapse_and_the_way_back_is_told() -> None:
    def outage(venue: Venue) -> None:
        venue.down = lambda at: 4 < at < 18.5

    venue, heartbeat, troubles = run(25, outage)
    assert venue.beats == [0, 19, 24]
    assert heartbeat.lapses == 1
    assert troubles[0] is None
    assert "venue has cancelled all" in str(troubles[1])
    assert troubles[2] is None


def test_a_frozen_process_notices_that_it_was_frozen() -> None:
    def frozen(venue: Venue) -> None:
        def freeze(at: float) -> bool:
            if 4 < at < 6:
                venue.time.now += 30
            return False

        venue.down = freeze

    _, heartbeat, troubles = run(50, frozen)
    assert (
        heartbeat.lapses == 1
    )  # the beat that froze was sent before, so by the venue's count the next is late
    assert troubles[0] is None


def test_a_stop_between_beats_is_a_lapse() -> None:
    time = Time(40)
    venue = Venue(time)
    plain = time.sleep

    async def sleep(seconds: float) -> None:
        await plain(seconds + (20 if len(venue.beats) == 2 else 0))

    heartbeat = Heartbeat(venue.post, lambda: None, 5.0, time.monotonic, sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(heartbeat.run())
    assert heartbeat.lapses == 1


def test_a_first_beat_that_fails_is_told() -> None:
    def down(venue: Venue) -> None:
        venue.down = lambda at: at < 2.5

    venue, _, troubles = run(4, down)
    assert venue.beats == [3]
    assert "heartbeat failed" in str(troubles[0])
    assert troubles[-1] is None


@given(
    st.floats(-3, 3, allow_nan=False),
    st.floats(0, 0.9),
    st.floats(0.001, 0.08),
)
def test_the_clock_is_judged_rightly_from_whole_seconds(
    offset_s: float, fraction: float, round_trip_s: float
) -> None:
    """Ours is ``offset_s`` ahead of the venue's; judged right wherever that is 150 ms from the bound."""
    state = {"now": 1_790_000_000.0 + fraction}

    async def ask() -> tuple[int, int]:
        state["now"] += round_trip_s / 2
        seconds = int(state["now"] - offset_s)
        state["now"] += round_trip_s / 2
        return seconds * 10**9, 10**9

    async def sleep(seconds: float) -> None:
        state["now"] += seconds

    found = asyncio.run(clock.measure(ask, 500, lambda: int(state["now"] * 1e9), sleep))
    assert found.low_ns - 1000 <= offset_s * 1e9 <= found.high_ns + 1000
    if abs(abs(offset_s) - 0.5) > 0.15:
        assert found.within(500) == (abs(offset_s) <= 0.5)


def test_a_clock_set_meanwhile_does_not_mix_with_older_answers() -> None:
    async def scenario() -> clock.Offset:
        now = [1_790_000_000 * 10**9]
        answers = iter([1_790_000_000, 1_790_000_100, 1_790_000_100, 1_790_000_100, 1_790_000_100])

        async def ask() -> tuple[int, int]:
            return next(answers) * 10**9, 10**9

        return await clock.measure(ask, 500, lambda: now[0], _no_sleep)

    assert not asyncio.run(scenario()).within(500)


async def _no_sleep(_: float) -> None:
    return None
