"""The catalogue from its files."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, RootModel, ValidationError

from infra.catalogue.documents import merged, read_document
from infra.catalogue.errors import CatalogueError, Fault, dotted, faults_of, line_of
from infra.catalogue.models import Catalogue, Key, Place, Source, Sourced, Strategy, Venue
from infra.plan.model import Name

CATALOGUE_DIR = Path(__file__).parent
"""Where the files are that ship with the package."""


class _Places(RootModel[dict[Name, Place]]):
    """places.yaml."""


class _Sources(RootModel[dict[Key, Source]]):
    """sources.yaml."""


class _Strategies(RootModel[dict[Key, Strategy]]):
    """strategies.yaml."""


M = TypeVar("M", bound=BaseModel)


def load_catalogue(directory: Path = CATALOGUE_DIR) -> Catalogue:
    """Read all venues, places, sources and strategies of `directory`.

    Raises CatalogueError for the first file that is bad, with all of its faults.
    """
    places = _read(directory / "places.yaml", _Places)[0].root
    sources = _read(directory / "sources.yaml", _Sources)[0].root
    strategies = _read(directory / "strategies.yaml", _Strategies)[0].root
    venues: dict[str, Venue] = {}
    files = sorted((directory / "venues").glob("*.yaml"))
    if not files:
        raise CatalogueError(directory / "venues", [Fault("", "no *.yaml file", "one file a venue")])
    for path in files:
        venue, root = _read_venue(path)
        faults = _foreign_faults(venue, path, places, sources, strategies)
        if faults:
            raise CatalogueError(
                path, [Fault(dotted(at), found, allowed, line_of(root, at)) for at, found, allowed in faults]
            )
        venues[venue.name] = venue
    try:
        return Catalogue(venues=venues, places=places, sources=sources, strategies=strategies)
    except ValidationError as error:
        raise CatalogueError(directory, faults_of(error, Catalogue, {}, None)) from None


def _read(path: Path, model: type[M]) -> tuple[M, yaml.Node]:
    document, root = read_document(path, CatalogueError)
    try:
        return model.model_validate(document), root
    except ValidationError as error:
        raise CatalogueError(path, faults_of(error, model, document, root)) from None


def _read_venue(path: Path) -> tuple[Venue, yaml.Node]:
    """Read a venue; one that is ``like`` another takes from its file what its own leaves out."""
    document, root = read_document(path, CatalogueError)
    model = document.pop("like", None)
    if model is not None:
        base = path.with_name(f"{model}.yaml")
        if base == path or not base.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml") if file != path))
            raise CatalogueError(
                path, [Fault("like", repr(model), f"another venue: {known}", line_of(root, ("like",)))]
            )
        below, below_root = read_document(base, CatalogueError)
        if "like" in below:
            raise CatalogueError(
                base, [Fault("like", repr(below["like"]), "no second step", line_of(below_root, ("like",)))]
            )
        document = merged(below, document)
    try:
        return Venue.model_validate(document), root
    except ValidationError as error:
        raise CatalogueError(path, faults_of(error, Venue, document, root)) from None


_Location = tuple[str | int, ...]


def _foreign_faults(
    venue: Venue,
    path: Path,
    places: dict[str, Place],
    sources: dict[str, Source],
    strategies: dict[str, Strategy],
) -> list[tuple[_Location, str, str]]:
    """Find what `venue` says of the other files and they do not hold."""
    faults: list[tuple[_Location, str, str]] = []
    if venue.name != path.stem:
        faults.append((("name",), repr(venue.name), f"the file's own name, {path.stem!r}"))
    place = places.get(venue.hosting.place)
    if place is None:
        known = ", ".join(sorted(places))
        faults.append((("hosting", "place"), repr(venue.hosting.place), f"a place of places.yaml: {known}"))
    elif place.country in venue.geography.refused_countries:
        refused = ", ".join(venue.geography.refused_countries)
        faults.append(
            (("hosting", "place"), f"{venue.hosting.place} in {place.country}", f"a place outside {refused}")
        )
    faults.extend(
        ((*location, "source"), repr(marked.source), "an id of sources.yaml")
        for location, marked in _sourced(venue, ())
        if marked.source is not None and marked.source not in sources
    )
    for name, parameters in venue.strategies.items():
        if name not in strategies:
            known = ", ".join(sorted(strategies))
            faults.append((("strategies", name), repr(name), f"a strategy of strategies.yaml: {known}"))
            continue
        try:
            strategies[name].check(parameters)
        except ValueError as error:
            faults.append(
                (("strategies", name), str(error), "each parameter of strategies.yaml in its range")
            )
    return faults


def _sourced(value: object, location: _Location) -> list[tuple[_Location, Sourced]]:
    """List everything in `value` that carries a mark, with where it stands."""
    found: list[tuple[_Location, Sourced]] = []
    if isinstance(value, Sourced):
        found.append((location, value))
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            found.extend(_sourced(getattr(value, name), (*location, name)))
    elif isinstance(value, dict):
        for key, inner in value.items():
            found.extend(_sourced(inner, (*location, key)))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            found.extend(_sourced(inner, (*location, index)))
    return found


def weak_facts(venue: Venue) -> list[tuple[str, Sourced]]:
    """List the marked facts of `venue` that a person should check before money depends on them."""
    return [(dotted(location), fact) for location, fact in _sourced(venue, ()) if fact.weak]
