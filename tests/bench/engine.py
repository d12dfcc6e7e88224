"""The engine by itself: its own bench target, without a kernel socket or a network in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.bench.figures import Board
from tests.bench.place import Place
from tests.bench.timing import timed

SECONDS = 3
POLICIES = ("busy", "paced")


def section(place: Place, board: Board, runs: int, tell: Callable[[str], None]) -> None:
    """Build the engine as a release has it, and run its bench under each loop policy."""
    build = place.root / "out" / "engine" / "bench"
    begun = time.monotonic()
    for argv in (
        [
            *("cmake", "-S", "engine", "-B", str(build), "-G", "Ninja"),
            *("-DCMAKE_BUILD_TYPE=Release", "-DSLIPWAY_TESTS=ON"),
        ],
        ["cmake", "--build", str(build), "--target", "slipway-bench"],
    ):
        timed(argv, cwd=place.root, environment=place.environment())
    tell(f"engine's bench built: {time.monotonic() - begun:.1f} s")
    for policy in POLICIES:
        for _ in range(runs):
            program = str(build / "bin" / "slipway-bench")
            done = timed([program, str(SECONDS), policy], cwd=place.root, environment=place.environment())
            figures: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
            label = f"engine with mock venue, {policy}"
            for kind, words in (("tick_to_order_ns", "tick to order"), ("order_rtt_ns", "order round trip")):
                for quantile in ("p50", "p99", "p999"):
                    board.add("engine", f"{label}: {words} {quantile}", figures[kind][quantile], "ns")
            board.add("engine", f"{label}: resident memory", figures["rss_kib"] / 1024, "MiB")
            tell(f"{label}: tick to order p50 {figures['tick_to_order_ns']['p50']} ns")
