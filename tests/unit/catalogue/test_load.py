"""The catalogue that ships: all venues load, say where they know things from, and make a whole matrix."""

from __future__ import annotations

import json

import pytest

from infra.catalogue.load import load_catalogue, weak_facts
from infra.catalogue.matrix import SCREEN, connection_matrix
from infra.catalogue.models import AbsentMode, AssignedMode, Catalogue, Fact, Hall, PublicMode, Zone

VENUES = {
    "binance": 1,
    "polymarket": 1,
    "alpaca": 2,
    "ibkr": 2,
    "nasdaq": 3,
    "nyse": 3,
    "arca": 3,
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def test_all_seven_venues_load_with_their_phases(catalogue: Catalogue) -> None:
    assert {name: venue.phase for name, venue in catalogue.venues.items()} == VENUES


def test_every_source_is_cited_and_london_is_the_only_spare_place(catalogue: Catalogue) -> None:
    text = catalogue.model_dump_json(exclude={"sources"})
    unused = [source for source in catalogue.sources if f'"source":"{source}"' not in text]
    assert unused == []
    zones = {venue.hosting.place for venue in catalogue.venues.values()}
    halls = {p.nearest_zone for p in catalogue.places.values() if isinstance(p, Hall)}
    assert set(catalogue.places) - zones - halls == {"london"}


@pytest.mark.parametrize("name", ["nasdaq", "nyse", "arca"])
def test_exchanges_without_an_internet_path_are_assigned_and_stand_in_halls(
    catalogue: Catalogue, name: str
) -> None:
    venue = catalogue.venues[name]
    assert isinstance(venue.modes.live, AssignedMode)
    assert isinstance(venue.modes.test, AssignedMode)
    assert isinstance(catalogue.places[venue.hosting.place], Hall)
    assert not venue.hosting.cloud


def test_phase_1_venues_have_a_simulator_and_stand_in_their_regions(catalogue: Catalogue) -> None:
    found = {}
    for name in ("binance", "polymarket"):
        venue = catalogue.venues[name]
        place = catalogue.places[venue.hosting.place]
        assert isinstance(venue.modes.simulated, PublicMode)
        assert isinstance(place, Zone)
        found[name] = (place.region, place.zone_id)
    assert found == {
        "binance": ("ap-northeast-1", "apne1-az4"),
        "polymarket": ("eu-west-1", "euw1-az1"),
    }


def test_polymarket_has_no_test_venue_and_says_why(catalogue: Catalogue) -> None:
    world = catalogue.venues["polymarket"].modes.test
    assert isinstance(world, AbsentMode)
    assert "no public test venue" in world.reason


def test_arca_is_nyse_but_for_its_own_names(catalogue: Catalogue) -> None:
    nyse, arca = (catalogue.venues[name].model_dump() for name in ("nyse", "arca"))
    differing = {key for key in nyse if nyse[key] != arca[key]}
    assert differing == {"name", "title", "number", "connector", "credentials"}
    assert arca["connector"]["settings"]["market"] == "ARCX"


def test_credential_names_belong_to_one_venue(catalogue: Catalogue) -> None:
    for venue in catalogue.venues.values():
        for credential in venue.credentials:
            assert credential.name.startswith(f"{venue.name}_")


def test_weak_facts_are_listed_with_their_place(catalogue: Catalogue) -> None:
    weak = dict(weak_facts(catalogue.venues["binance"]))
    assert weak["site"].confidence == "third-party"
    assert weak["latency.rtt_ms"].confidence == "unknown"
    assert not any(path.startswith("cancel.dead_man") for path in weak)


def test_the_matrix_is_flat_whole_and_fit_for_json(catalogue: Catalogue) -> None:
    rows = connection_matrix(catalogue)
    assert [row["venue"] for row in rows] == [
        "binance",
        "polymarket",
        "alpaca",
        "ibkr",
        "arca",
        "nasdaq",
        "nyse",
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert set(SCREEN) <= set(rows[0])
    assert json.loads(json.dumps(rows)) == rows
    binance, polymarket, nasdaq = rows[0], rows[1], rows[5]
    assert (binance["test"], binance["live"], binance["dead_man"]) == ("443", "443, 9443", "none")
    assert (binance["place"], binance["region"], binance["zone"]) == ("tokyo", "ap-northeast-1", "apne1-az4")
    assert (nasdaq["place"], nasdaq["region"], nasdaq["zone"]) == ("carteret", "hall", "Equinix NY11")
    assert (polymarket["test"], polymarket["dead_man"]) == ("none", "15 s at worst")
    assert (nasdaq["live"], nasdaq["cancel_all"], nasdaq["connector"]) == ("assigned", "order", "not built")
    assert binance["credentials"] == 2


def test_models_are_frozen(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="frozen"):
        catalogue.venues["binance"].number = 3  # type: ignore[misc]


def test_an_unknown_fact_has_no_value_and_a_known_one_has() -> None:
    assert Fact[int](confidence="unknown").value is None
    with pytest.raises(ValueError, match="exactly when"):
        Fact[int](confidence="unknown", value=3)
    with pytest.raises(ValueError, match="exactly when"):
        Fact[int](confidence="ours")
