"""The control socket and the metrics page: what they answer, and what cannot break them."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from engine_harness import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from engine_harness import Engine


def test_status_has_the_contracts_form(engine: Engine) -> None:
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("filled") > 0, "a fill")
    status = engine.status()
    assert set(status) == {"state", "reason", "release", "limits", "uptime_s", "venues"}
    assert status["release"] == hashlib.sha256(engine.program.read_bytes()).hexdigest()
    assert status["limits"] == hashlib.sha256(engine.limits_file.read_bytes()).hexdigest()
    assert status["uptime_s"] > 0
    venue = status["venues"]["mock"]
    assert set(venue) == {
        "connection",
        "reason",
        "open_orders",
        "sent",
        "acked",
        "filled",
        "canceled",
        "rejected",
        "position_e8",
        "realised_e8",
        "unrealised_e8",
        "fees_e8",
        "order_rtt_ns",
        "tick_to_order_ns",
    }
    assert set(venue["order_rtt_ns"]) == {"count", "p50", "p99", "p999", "max"}


def test_limits_command_tells_limits_and_use(engine: Engine) -> None:
    engine.start()
    answer = engine.ask({"cmd": "limits"})
    assert answer["venues"]["mock"]["max_position_e8"] == 5_000_000
    assert answer["venues"]["mock"]["use"]["open_orders"] == 0
    assert answer["sha256"] == engine.status()["limits"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"\n", "not valid JSON"),
        (b"{}\n", 'missing key "cmd"'),
        (b"[]\n", "allowed: an object"),
        (b'{"cmd":"arm"}\n', "allowed: status, kill, resume, limits"),
        (b'{"cmd":"status","x":1}\n', 'unknown key "x"'),
        (b'{"cmd":"kill"}\n', 'missing key "reason"'),
        (b'{"cmd":"kill","reason":1}\n', "allowed: a string"),
        (b'{"cmd":"status"} {"cmd":"kill","reason":"x"}\n', "not valid JSON"),
        (b"\xff\n", "not valid JSON"),
        (b"x" * 9000, "longer than 8192"),
    ],
)
def test_bad_commands_are_answered_with_an_error(engine: Engine, line: bytes, told: str) -> None:
    engine.start()
    answer = engine.ask(line)
    assert answer["ok"] is False
    assert told in answer["error"]
    assert engine.state() == "DISARMED"


def test_many_requests_on_one_connection_in_pieces(engine: Engine) -> None:
    engine.start()
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE_S)
        control.connect(engine.config["paths"]["control_socket"])
        control.sendall(b'{"cmd":"status"}\n{"cmd":"lim')
        control.sendall(b'its"}\n{"cmd":"status"}\n')
        with control.makefile("rb") as answers:
            assert "state" in json.loads(answers.readline())
            assert "total" in json.loads(answers.readline())
            assert "state" in json.loads(answers.readline())


@pytest.mark.parametrize("line", [b'{"cmd":"kill","reason":"x"}\n', b'{"cmd":"status"}\n'])
def test_client_that_ends_its_side_still_gets_its_answer(engine: Engine, line: bytes) -> None:
    engine.start()
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE_S)
        control.connect(engine.config["paths"]["control_socket"])
        control.sendall(line)
        control.shutdown(socket.SHUT_WR)
        with control.makefile("rb") as answer:
            assert "state" in json.loads(answer.readline())
            assert answer.read() == b"", "the connection is closed behind the answer"


def test_idle_clients_do_not_lock_others_out(engine: Engine) -> None:
    engine.start()
    idle = []
    try:
        for _ in range(40):
            one = socket.socket(socket.AF_UNIX)
            one.connect(engine.config["paths"]["control_socket"])
            idle.append(one)
        assert engine.ask({"cmd": "kill", "reason": "crowded"})["ok"] is True
    finally:
        for one in idle:
            one.close()


def test_control_socket_is_closed_to_others(engine: Engine) -> None:
    engine.start()
    mode = (engine.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o660


def test_second_engine_on_the_same_port_is_refused(engine: Engine, tmp_path: Path) -> None:
    engine.start()
    other = type(engine)(engine.program, tmp_path / "other")
    other.directory.mkdir()
    other.config["metrics"]["port"] = engine.config["metrics"]["port"]
    with pytest.raises(pytest.fail.Exception, match="metrics address"):
        other.start()


SERIES = re.compile(r'^[a-z_]+(\{[a-z0-9_]+="[^"]*"(,[a-z0-9_]+="[^"]*")*\})? -?[0-9.e+-]+$')


def test_metrics_parse_and_tell_what_matters(engine: Engine) -> None:
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("filled") > 2, "fills")
    text = engine.metrics()
    told: set[str] = set()
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, f"{name} is declared twice"
            typed.add(name)
        elif not line.startswith("#"):
            assert SERIES.match(line), line
            name = line.split("{")[0].split(" ")[0]
            assert name in typed or re.sub("_(sum|count)$", "", name) in typed, f"{name} has no type"
            key = line.rsplit(" ", 1)[0]
            assert key not in told, f"{key} is told twice"
            told.add(key)
    status = engine.status()
    assert f'slipway_build_info{{release_sha256="{status["release"]}"' in text
    assert f'slipway_limits_info{{sha256="{status["limits"]}"}} 1' in text
    assert 'slipway_state{state="ACTIVE"} 1' in text
    assert 'slipway_state{state="HALTED"} 0' in text
    assert 'slipway_connection{venue="mock",state="READY"} 1' in text
    for name in (
        "slipway_permit_age_seconds",
        'slipway_orders_sent_total{venue="mock"}',
        'slipway_fills_total{venue="mock"}',
        'slipway_open_orders{venue="mock"}',
        'slipway_position{venue="mock",instrument="BTCUSDT"}',
        'slipway_realised{venue="mock",instrument="BTCUSDT"}',
        'slipway_unrealised{venue="mock",instrument="BTCUSDT"}',
        'slipway_fees_paid_total{venue="mock",instrument="BTCUSDT"}',
        'slipway_order_rtt_seconds{venue="mock",quantile="0.99"}',
        'slipway_tick_to_order_seconds_count{venue="mock"}',
        'slipway_orders_refused_total{venue="mock",limit="price_collar"}',
    ):
        assert name in told or any(key.startswith(name) for key in told), name


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200"),
        (b"A" * 9000, b"400"),
    ],
)
def test_http_port_answers_every_request(engine: Engine, request_text: bytes, status: bytes) -> None:
    engine.start()
    with socket.create_connection(("127.0.0.1", engine.config["metrics"]["port"]), PATIENCE_S) as page:
        page.sendall(request_text)
        head = page.recv(64)
    assert head.startswith(b"HTTP/1.1 " + status)


def test_profit_is_what_the_fills_say(engine: Engine) -> None:
    engine.venue["settings"]["fee_bps"] = 10
    engine.strategy.update({"take_every": 2})
    engine.start()
    engine.trade()
    wait_for(lambda: engine.of("filled") >= 6, "fills")
    engine.permit.unlink()
    wait_for(lambda: engine.state() == "DISARMED" and engine.is_flat(), "flat")
    position = cash = 0
    for fill in engine.events("fill"):
        sign = 1 if fill["side"] == 1 else -1
        price = 5_000_050_000_000 if sign == 1 else 4_999_950_000_000
        assert fill["tif"] == 2, "only crossing orders are filled in a still market"
        position += sign * fill["quantity_e8"]
        cash -= sign * fill["quantity_e8"] * price
    venue = engine.status()["venues"]["mock"]
    assert venue["position_e8"] == position
    worth = cash + position * 5_000_000_000_000
    assert venue["realised_e8"] + venue["unrealised_e8"] == pytest.approx(worth / 1e8, abs=2)
    assert venue["fees_e8"] > 0
