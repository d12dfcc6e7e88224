"""The configuration's closed schema and the credentials' silence."""

from __future__ import annotations

import copy
import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from slipway_polymarket import __main__ as command
from slipway_polymarket import config, credentials

GOOD: dict[str, Any] = {
    "config_version": 1,
    "venue": "polymarket",
    "mode": "simulated",
    "socket": "/run/slipway-polymarket/connector.sock",
    "endpoints": {
        "clob": "https://clob.polymarket.lab",
        "market_ws": "wss://ws.polymarket.lab/ws/market",
        "user_ws": "wss://ws.polymarket.lab/ws/user",
        "geoblock": "https://polymarket.lab/api/geoblock",
    },
    "settings": {"chain_id": 137, "signature_type": 0, "heartbeat_s": 5, "clock_bound_ms": 500},
    "instruments": [{"symbol": "7" * 77, "tick": "0.01", "lot": "0.01"}],
}
LIVE = {
    "clob": "https://clob.polymarket.com",
    "market_ws": "wss://ws-subscriptions-clob.polymarket.com/ws/market",
    "user_ws": "wss://ws-subscriptions-clob.polymarket.com/ws/user",
    "geoblock": "https://polymarket.com/api/geoblock",
}
SECRETS = {
    "polymarket_private_key": "0x" + "CA" * 32,
    "polymarket_api_key": "CANARY-key",
    "polymarket_api_secret": "Q0FOQVJZ" * 4,
    "polymarket_api_passphrase": "CANARY-passphrase",
}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    *way, last = key.split(".")
    place: Any = content
    for part in way:
        place = place[int(part) if part.isdigit() else part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


def test_the_contracts_example_is_good(tmp_path: Path) -> None:
    found = config.load(write(tmp_path / "c.json", GOOD))
    assert found.instruments[0].tick_e8 == 1_000_000
    assert found.settings.heartbeat_s == 5


def test_live_endpoints_belong_to_live(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    assert config.load(write(path, GOOD | {"mode": "live", "endpoints": LIVE})).mode == "live"
    for key, url in LIVE.items():
        with pytest.raises(config.ConfigError, match=rf"endpoints\.{key}.*mode 'simulated'"):
            config.load(write(path, changed(f"endpoints.{key}", url)))
        mixed = GOOD | {"mode": "live", "endpoints": LIVE | {key: GOOD["endpoints"][key]}}
        with pytest.raises(config.ConfigError, match=rf"endpoints\.{key}.*mode 'live'"):
            config.load(write(path, mixed))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("config_version", 2, ["config_version", "2", "1"]),
        ("mode", "test", ["mode", "test", "simulated", "live"]),
        ("extra", 1, ["extra", "unknown key", "allowed are config_version, venue"]),
        ("endpoints.rest", "x", ["endpoints.rest", "unknown key", "clob, market_ws"]),
        ("endpoints.clob", None, ["endpoints.clob", "missing"]),
        ("endpoints.clob", "http://clob.polymarket.lab", ["endpoints.clob", "http://clob", "https://"]),
        ("endpoints.user_ws", "https://a.lab", ["endpoints.user_ws", "https://a.lab", "wss://"]),
        ("endpoints.clob", "https://user:pass@a.lab", ["endpoints.clob", "allowed is scheme, host"]),
        ("settings.heartbeat_s", 60, ["settings.heartbeat_s", "60", "5"]),
        ("settings.signature_type", 2, ["settings", "signature_type 2", "funder"]),
        ("instruments", [], ["instruments", "at least 1"]),
        ("instruments.0.symbol", "BTCUSDT", ["instruments.0.symbol", "BTCUSDT"]),
        ("instruments.0.tick", "0", ["instruments.0", "tick 0"]),
        ("instruments.0.lot", "0.001", ["instruments.0", "lot 0.001", "0.01"]),
        ("instruments", [GOOD["instruments"][0]] * 2, ["named twice"]),
        ("socket", "relative.sock", ["socket", "relative.sock"]),
    ],
)
def test_faults_name_file_key_found_and_allowed(
    tmp_path: Path, key: str, value: Any, says: list[str]
) -> None:
    path = write(tmp_path / "polymarket.json", changed(key, value))
    with pytest.raises(config.ConfigError) as error:
        config.load(path)
    text = str(error.value)
    for word in [str(path), *says]:
        assert word in text


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "null", '"x"', "[1]"])
def test_what_is_no_configuration_is_one_clear_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(config.ConfigError, match=r"c\.json"):
        config.load(write(tmp_path / "c.json", content))


def put_secrets(directory: Path, **changes: str | None) -> Path:
    directory.mkdir(exist_ok=True)
    for name, value in (SECRETS | changes).items():
        (directory / name).unlink(missing_ok=True)
        if value is not None:
            (directory / name).write_text(value)
    return directory


def test_credentials_are_read_and_never_shown(tmp_path: Path) -> None:
    found = credentials.load(put_secrets(tmp_path / "c", polymarket_api_key="CANARY-key\n"))
    assert found.api_key == "CANARY-key"
    for shown in (repr(found), str(found), f"{found}", f"{[found]}"):
        assert shown.strip("[]") == "Credentials(hidden)"


@pytest.mark.parametrize("name", credentials.NAMES)
@pytest.mark.parametrize("value", [None, "", "two words\nand lines", "CANARY-é", "\x00CANARY"])
def test_a_bad_credential_is_named_without_its_content(tmp_path: Path, name: str, value: str | None) -> None:
    directory = put_secrets(tmp_path / "c", **{name: value})
    with pytest.raises(credentials.CredentialError) as error:
        credentials.load(directory)
    shown = "".join(traceback.format_exception(error.value))
    assert str(directory / name) in shown
    assert "CANARY" not in str(error.value)
    assert "words" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("polymarket_private_key", "0x1234"), ("polymarket_api_secret", "not/base64url!")],
)
def test_a_credential_of_the_wrong_form_is_named_without_its_content(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(credentials.CredentialError, match=name) as error:
        credentials.load(put_secrets(tmp_path / "c", **{name: value}))
    assert value not in str(error.value)


def test_check_config_says_good_or_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = write(tmp_path / "good.json", GOOD), write(tmp_path / "bad.json", changed("mode", "test"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(put_secrets(tmp_path / "c")))
    assert command.main(["--config", str(good), "--check-config"]) == 0
    assert "good" in capsys.readouterr().out
    assert command.main(["--config", str(bad), "--check-config"]) == 78
    assert "bad.json: mode" in capsys.readouterr().err
    put_secrets(tmp_path / "c", polymarket_api_secret=None)
    assert command.main(["--config", str(good), "--check-config"]) == 78
    assert "polymarket_api_secret" in capsys.readouterr().err
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert command.main(["--config", str(good), "--check-config"]) == 0
    assert "not checked" in capsys.readouterr().out
