"""The benchmark's answer has its form, and it trades (its figures under sanitizers mean nothing)."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_bench_prints_one_line_of_json(engine_build: Path) -> None:
    done = subprocess.run(
        [engine_build / "bin/slipway-bench", "0.5", "paced"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for name in ("tick_to_order_ns", "order_rtt_ns"):
        times = figures[name]
        assert times["count"] > 0
        assert 0 < times["p50"] <= times["p99"] <= times["p999"] <= times["max"]
    assert figures["rss_kib"] > 0


def test_bench_refuses_what_it_does_not_understand(engine_build: Path) -> None:
    for arguments in (["x"], ["0"], ["1", "fast"], ["1", "busy", "more"]):
        done = subprocess.run(
            [engine_build / "bin/slipway-bench", *arguments], capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 1
