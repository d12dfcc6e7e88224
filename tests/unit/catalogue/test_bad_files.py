"""A bad file is refused with its name, each bad key, what was found and what is allowed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.catalogue.errors import CatalogueError
from infra.catalogue.load import CATALOGUE_DIR, load_catalogue

Edit = Callable[[str, str, str], None]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the real catalogue, to be spoilt."""
    copy = tmp_path / "catalogue"
    shutil.copytree(CATALOGUE_DIR, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return copy


@pytest.fixture
def edit(files: Path) -> Edit:
    def replace(file: str, old: str, new: str) -> None:
        path = files / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))

    return replace


def refusal(files: Path) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(files)
    return caught.value


BINANCE = "venues/binance.yaml"

ONE_FAULT = [
    pytest.param(
        BINANCE, "phase: 1", "phase: 4", "phase", "4", "less than or equal to 3", id="number out of range"
    ),
    pytest.param(
        BINANCE,
        "kind: library",
        "kind: plugin",
        "connector.kind",
        "'plugin'",
        "'library' or 'process'",
        id="word",
    ),
    pytest.param(
        BINANCE,
        "  built: true\n",
        "  built: true\n  colour: blue\n",
        "connector.colour",
        "'blue'",
        "no such key; the keys here are built, kind, settings",
        id="key that is not there",
    ),
    pytest.param(
        BINANCE,
        "https://api.binance.com",
        "ftp://api.binance.com",
        "modes.live.endpoints.rest.url",
        "'ftp://api.binance.com'",
        "https, wss, tcp, tls, udp",
        id="scheme",
    ),
    pytest.param(
        BINANCE,
        "https://api.binance.com",
        "https://key:secret@api.binance.com",
        "modes.live.endpoints.rest.url",
        "secret",
        "without user, password",
        id="password in a URL",
    ),
    pytest.param(
        BINANCE,
        "https://api.binance.com",
        "https://testnet.binance.vision",
        "modes",
        "live.endpoints.rest is testnet.binance.vision:443, as test has",
        "one mode only",
        id="test address in live",
    ),
    pytest.param(
        BINANCE,
        "confidence: verified, source: binance_docs}",
        "confidence: certain, source: binance_docs}",
        "protocols[0].confidence",
        "'certain'",
        "'verified', 'reproduced'",
        id="mark",
    ),
    pytest.param(
        BINANCE,
        "confidence: verified, source: binance_docs}",
        "confidence: verified}",
        "protocols[0]",
        "confidence 'verified' without a source",
        "an id of sources.yaml",
        id="claim without a source",
    ),
    pytest.param(
        BINANCE,
        "source: binance_docs}",
        "source: hearsay}",
        "protocols[0].source",
        "'hearsay'",
        "an id of sources.yaml",
        id="source that is not there",
    ),
    pytest.param(
        BINANCE,
        "place: tokyo",
        "place: kyoto",
        "hosting.place",
        "'kyoto'",
        "a place of places.yaml: carteret",
        id="place that is not there",
    ),
    pytest.param(
        BINANCE,
        "place: tokyo",
        "place: virginia",
        "hosting.place",
        "virginia in US",
        "outside US",
        id="refused",
    ),
    pytest.param(
        BINANCE,
        'lot: "0.00001"',
        "lot: small",
        "instruments[0].lot",
        "'small'",
        "valid decimal",
        id="decimal",
    ),
    pytest.param(
        BINANCE,
        'max_daily_loss: "20"',
        'max_daily_loss: "2000"',
        "(the file)",
        "modes.live.limits.max_daily_loss 2000",
        "at most 50",
        id="live limit looser than test",
    ),
    pytest.param(
        BINANCE,
        "max_messages_per_s: 5",
        "max_messages_per_s: 6",
        "(the file)",
        "modes.test.limits.max_messages_per_s 6",
        "at most the venue's own 5 a second",
        id="faster than the venue allows",
    ),
    pytest.param(
        BINANCE,
        "when: {key_type: hmac}",
        "when: {key_kind: hmac}",
        "(the file)",
        "'binance_api_secret' needed when 'key_kind'",
        "key_type",
        id="credential of an unknown setting",
    ),
    pytest.param(
        BINANCE,
        "question: {endpoint: rest",
        "question: {endpoint: geoblock",
        "(the file)",
        "'geoblock'",
        "an endpoint of mode simulated: rest, streams, ws_api",
        id="question to no endpoint",
    ),
    pytest.param(
        BINANCE, "paper_quote:", "paper_quotes:", "strategies.paper_quotes", "", "paper_quote", id="strategy"
    ),
    pytest.param(
        BINANCE,
        "spread_bps: 20",
        "spread_bps: 0",
        "strategies.paper_quote",
        "'spread_bps': 0 is outside 1..5000",
        "in its range",
        id="parameter out of range",
    ),
    pytest.param(
        BINANCE,
        "name: binance\n",
        "name: finance\n",
        "name",
        "'finance'",
        "the file's own name",
        id="file name",
    ),
    pytest.param(
        BINANCE,
        "rtt_ms: {confidence: unknown",
        "rtt_ms: {confidence: ours",
        "rtt_ms",
        "",
        "exactly when",
        id="null",
    ),
    pytest.param(
        "venues/polymarket.yaml",
        "state: absent",
        "state: missing",
        "modes.test",
        "missing",
        "'public', 'assigned', 'absent'",
        id="kind of mode",
    ),
    pytest.param(
        "venues/arca.yaml", "like: nyse", "like: nice", "like", "'nice'", "another venue", id="like"
    ),
    pytest.param(
        "places.yaml", "country: JP", "country: Japan", "tokyo", "'Japan'", "^[A-Z]{2}$", id="country"
    ),
    pytest.param(
        "sources.yaml", "what: Nasdaq OUCH", "that: Nasdaq OUCH", "ouch42.what", "nothing", "", id="missing"
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "key", "found", "allowed"), ONE_FAULT)
def test_the_refusal_names_file_key_found_and_allowed(
    files: Path, edit: Edit, file: str, old: str, new: str, key: str, found: str, allowed: str
) -> None:
    edit(file, old, new)
    error = refusal(files)
    assert error.file == str(files / file)
    text = str(error)
    assert text.startswith(f"{files / file}: ")
    assert any(
        key in (fault.key or "(the file)") and found in fault.found and allowed in fault.allowed
        for fault in error.faults
    ), text


def test_every_fault_of_a_file_is_told_at_once_with_its_line(files: Path, edit: Edit) -> None:
    edit(BINANCE, "phase: 1", "phase: one")
    edit(BINANCE, "kind: library", "kind: plugin")
    edit(BINANCE, "title: Binance Spot", "titel: Binance Spot")
    error = refusal(files)
    keys = {fault.key: fault.line for fault in error.faults}
    lines = (files / BINANCE).read_text().splitlines()
    assert set(keys) == {"title", "phase", "connector.kind", "titel"}
    for key in ("phase", "connector.kind", "titel"):
        line = keys[key]
        assert line is not None
        assert key.rsplit(".", maxsplit=1)[-1] in lines[line - 1]
    assert "4 errors" in str(error)


def test_the_text_is_ready_for_a_person(files: Path, edit: Edit) -> None:
    edit(BINANCE, "kind: library", "kind: plugin")
    line = (files / BINANCE).read_text().splitlines().index("  kind: plugin") + 1
    assert str(refusal(files)) == (
        f"{files / BINANCE}: 1 error\n"
        f"  connector.kind (line {line})\n"
        "    found:   'plugin'\n"
        "    allowed: one of 'library' or 'process'"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a mapping of keys to values"),
        ("- name: binance\n", "a mapping of keys to values"),
        ("name: [binance\n", "well-formed YAML"),
        ("name: binance\nname: binance\n", "given before in line 1"),
        ("name: binance\non: 3\n", "a key that is text"),
        ("name: binance\n  title: x\n", "line 2"),
    ],
)
def test_a_file_that_is_no_clean_mapping_is_refused(files: Path, text: str, words: str) -> None:
    (files / BINANCE).write_text(text)
    assert words in str(refusal(files))


def test_a_file_that_is_no_text_is_refused(files: Path) -> None:
    (files / BINANCE).write_bytes(b"name: \xff\xfe\n")
    assert "UTF-8" in str(refusal(files))


def test_a_missing_file_is_named(files: Path) -> None:
    (files / "places.yaml").unlink()
    assert "places.yaml" in str(refusal(files))


def test_a_catalogue_without_venues_is_refused(files: Path) -> None:
    shutil.rmtree(files / "venues")
    assert "one file a venue" in str(refusal(files))


def test_two_venues_with_one_number_are_refused(files: Path, edit: Edit) -> None:
    edit("venues/ibkr.yaml", "number: 5", "number: 6")
    assert "number 6 in both alpaca and ibkr" in str(refusal(files))


def test_two_places_with_one_network_are_refused(files: Path, edit: Edit) -> None:
    edit("places.yaml", "network_number: 22", "network_number: 21")
    assert "network_number 21 in both tokyo and dublin" in str(refusal(files))


def test_a_hall_near_no_zone_is_refused(files: Path, edit: Edit) -> None:
    edit("places.yaml", "nearest_zone: virginia", "nearest_zone: ohio")
    assert "nearest_zone 'ohio' of carteret" in str(refusal(files))


def test_a_venue_like_a_likeness_is_refused(files: Path, edit: Edit) -> None:
    edit("venues/nyse.yaml", "name: nyse\n", "like: nasdaq\nname: nyse\n")
    assert "no second step" in str(refusal(files))


def test_a_process_connector_needs_a_uid(files: Path, edit: Edit) -> None:
    edit(BINANCE, "kind: library", "kind: process")
    assert "number 0 with a process connector" in str(refusal(files))
