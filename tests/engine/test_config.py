"""Bad configuration and limits give one error that names file, key, found and allowed; good ones none."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine_harness import Engine


def put(path: str, value: object) -> Callable[[Any], None]:
    """Set the value at a dotted path."""

    def change(document: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            document = document[int(step)] if step.isdigit() else document[step]
        document[last] = value

    return change


def drop(path: str) -> Callable[[Any], None]:
    """Remove the key at a dotted path."""

    def change(document: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            document = document[int(step)] if step.isdigit() else document[step]
        del document[last]

    return change


BAD_CONFIG = [
    (put("flag", 1), '$: unknown key "flag"; allowed: config_version'),
    (drop("host"), '$: missing key "host"'),
    (put("config_version", 2), "$.config_version: found 2 (integer); allowed: 1"),
    (put("config_version", "1"), '$.config_version: found "1" (string)'),
    (put("mode", "production"), '$.mode: found "production" (string); allowed: simulated, test, live'),
    (put("host", ""), "$.host: found"),
    (put("host", "a\nb"), "$.host: found"),
    (put("loop.policy", "spin"), "$.loop.policy: found"),
    (put("loop.pace_us", 0), "$.loop.pace_us: found 0 (integer); allowed: an integer from 1"),
    (put("loop.pace_us", 1.5), "$.loop.pace_us: found 1.5 (fraction)"),
    (put("loop.cpu", "0"), '$.loop.cpu: found "0" (string); allowed: null or a CPU'),
    (put("loop.cpu", -1), "$.loop.cpu: found -1"),
    (drop("loop.cpu"), '$.loop: missing key "cpu"'),
    (put("paths.permit", "run/permit"), "$.paths.permit: found"),
    (put("paths.control_socket", "/" + "x" * 120), "$.paths.control_socket: found"),
    (put("metrics.port", 70000), "$.metrics.port: found 70000"),
    (put("metrics.address", "localhost"), "$.metrics.address: found"),
    (put("venues", []), "$.venues: found array; allowed: an array of 1 to 8"),
    (put("venues.0.name", "Mock"), "$.venues[0].name: found"),
    (put("venues.0.connector.kind", "thread"), "$.venues[0].connector.kind: found"),
    (drop("venues.0.connector.kind"), '$.venues[0].connector: missing key "kind"'),
    (put("venues.0.connector.path", "/tmp/evil.so"), "$.venues[0].connector.path: found"),
    (put("venues.0.connector.path", "../evil.so"), "$.venues[0].connector.path: found"),
    (put("venues.0.connector.path", "connectors/none.so"), "venue mock: cannot load connector"),
    (put("venues.0.connector", {"kind": "process"}), '$.venues[0].connector: missing key "socket"'),
    (put("venues.0.settings", None), "$.venues[0].settings: found null; allowed: an object"),
    (put("venues.0.settings", {}), "venue mock: $.settings"),
    (put("venues.0.instruments.0.tick", 0.01), "$.venues[0].instruments[0].tick: found 0.01 (fraction)"),
    (put("venues.0.instruments.0.tick", "0"), "$.venues[0].instruments[0].tick: found"),
    (put("venues.0.instruments.0.lot", "1e-5"), "$.venues[0].instruments[0].lot: found"),
    (put("venues.0.instruments.0.lot", "0.000000001"), "$.venues[0].instruments[0].lot: found"),
    (put("venues.0.strategy.name", "martingale"), "$.venues[0].strategy.name: found"),
    (put("venues.0.strategy.parameters.spread_bps", "20"), "parameters.spread_bps: found"),
    (put("venues.0.strategy.parameters.quantity", "0.0010000001"), "parameters.quantity: found"),
    (put("venues.0.strategy.parameters.quantity", "0.000015"), "a multiple of every instrument's lot"),
    (put("venues.0.strategy.parameters.requote_ms", 0), "parameters.requote_ms: found 0"),
    (put("venues.0.strategy.parameters.take_every", -1), "parameters.take_every: found -1"),
]

BAD_LIMITS = [
    (put("limits_version", 2), "$.limits_version: found 2"),
    (put("mode", "live"), '$.mode: found "live"; allowed: "simulated", the mode of'),
    (put("total.venues", 0), "$.total.venues: found 0"),
    (put("total.max_messages_per_s", 0), "$.total.max_messages_per_s: found 0"),
    (put("total.max_daily_loss", "-1"), "$.total.max_daily_loss: found"),
    (drop("total.max_daily_loss"), '$.total: missing key "max_daily_loss"'),
    (put("venues", {}), "$.venues: no venue"),
    (put("venues", {"other": None}), "$.venues.other: found null"),
    (put("venues.mock.instruments", []), "$.venues.mock.instruments: found"),
    (put("venues.mock.instruments", ["ETHUSDT"]), '$.venues.mock.instruments: lacks "BTCUSDT"'),
    (put("venues.mock.price_collar_bps", 0), "$.venues.mock.price_collar_bps: found 0"),
    (put("venues.mock.max_order_value", 200), "$.venues.mock.max_order_value: found 200 (integer)"),
    (put("venues.mock.max_order_quantity", "inf"), "$.venues.mock.max_order_quantity: found"),
    (put("venues.mock.max_open_orders", 257), "$.venues.mock.max_open_orders: found 257"),
    (put("venues.mock.max_messages_per_s", True), "$.venues.mock.max_messages_per_s: found true (boolean)"),
    (put("venues.mock.max_position", "99999999999"), "$.venues.mock.max_position: found"),
    (put("venues.mock.max_daily_loss", None), "$.venues.mock.max_daily_loss: found null"),
    (put("venues.mock.extra", 1), '$.venues.mock: unknown key "extra"'),
] + [
    (drop(f"venues.mock.{key}"), f'$.venues.mock: missing key "{key}"')
    for key in (
        "instruments",
        "price_collar_bps",
        "max_order_value",
        "max_order_quantity",
        "max_open_orders",
        "max_messages_per_s",
        "max_position",
        "max_daily_loss",
    )
]


def refused(engine: Engine, file: Path, told: str) -> None:
    done = engine.check()
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert str(file) in done.stderr or "venue mock: cannot load" in done.stderr
    assert told in done.stderr


@pytest.mark.parametrize(("change", "told"), BAD_CONFIG, ids=[told for _, told in BAD_CONFIG])
def test_bad_configuration_is_refused(engine: Engine, change: Any, told: str) -> None:
    change(engine.config)
    engine.write()
    refused(engine, engine.config_file, told)


@pytest.mark.parametrize(("change", "told"), BAD_LIMITS, ids=[told for _, told in BAD_LIMITS])
def test_bad_limits_are_refused(engine: Engine, change: Any, told: str) -> None:
    change(engine.limits)
    engine.write()
    refused(engine, engine.limits_file, told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1"),
        (b"[]", "$: found array; allowed: an object"),
        (b"{", "line 1"),
        (b'{"config_version":1,"config_version":1}', "duplicate"),
        (b"\xff\xfe", "not valid JSON"),
        (b" " * (2 << 20), "allowed: at most"),
    ],
)
def test_what_is_no_json_is_refused(engine: Engine, content: bytes, told: str) -> None:
    engine.write()
    engine.config_file.write_bytes(content)
    refused(engine, engine.config_file, told)


def test_more_venues_than_allowed_are_refused(engine: Engine) -> None:
    engine.limits["total"]["venues"] = 1
    engine.config["venues"].append({**engine.venue, "name": "mock2"})
    engine.write()
    refused(engine, engine.limits_file, "$.total.venues: allows 1")


def test_library_of_another_venue_is_refused(engine: Engine) -> None:
    engine.venue["name"] = "mock2"
    engine.limits["venues"]["mock2"] = engine.limits["venues"]["mock"]
    engine.write()
    assert "connector for another venue" in engine.check().stderr


def test_missing_files_are_named(engine: Engine) -> None:
    engine.write()
    engine.limits_file.unlink()
    refused(engine, engine.limits_file, "cannot open: No such file")
    engine.config_file.unlink()
    refused(engine, engine.config_file, "cannot open: No such file")


def test_good_files_pass_and_are_named_by_hash(engine: Engine) -> None:
    engine.write()
    done = engine.check()
    assert done.returncode == 0, done.stderr
    assert "ok (mode simulated, 1 venue" in done.stdout


def test_bad_files_stop_the_start_too(engine: Engine) -> None:
    engine.config["loop"]["cpu"] = "x"
    engine.write()
    done = subprocess.run(
        [engine.program, "--config", engine.config_file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "$.loop.cpu" in done.stderr


def test_version_states_every_version(engine: Engine) -> None:
    done = subprocess.run(
        [engine.program, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    words = done.stdout.split()
    assert words[0] == "slipway-engine"
    assert {"revision", "contract", "config", "broker-abi"} <= set(words)


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--help"], ["--config", "a", "b"]])
def test_wrong_usage(engine: Engine, arguments: list[str]) -> None:
    done = subprocess.run(
        [engine.program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_example_of_the_contract_is_accepted(engine: Engine) -> None:
    """What roles and plan write: the keys of the team's contract, with the venue replaced by the mock."""
    text = json.dumps(engine.config)
    assert set(json.loads(text)) == {
        "config_version",
        "mode",
        "host",
        "loop",
        "paths",
        "metrics",
        "venues",
    }
