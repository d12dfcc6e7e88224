"""What we know of a venue, in closed and frozen models.

A value that somebody could doubt carries where it is from (``source``, an id of ``sources.yaml``) and how
far to trust it (``confidence``). What is not known is written down as unknown, so that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Generic, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from infra.catalogue.errors import contradiction
from infra.plan.model import Closed, InstrumentPlan, Mode, Name, VenueLimits

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""A sentence or a label for people; never empty."""

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""A name that programs read: lower case words joined by underscores."""

Confidence = Literal["verified", "reproduced", "third-party", "memory", "ours", "unknown"]
"""``verified``: read in the venue's own text. ``reproduced``: run here against a client or a vector.
``third-party``: somebody else's report. ``memory``: nobody's text at hand, check before relying on it.
``ours``: our own choice, no fact of the venue. ``unknown``: looked for and not found."""

DEFAULT_PORTS = {"https": 443, "wss": 443}
"""Ports that a URL of this scheme means when it names none; other schemes must name theirs."""

SCHEMES = ("https", "wss", "tcp", "tls", "udp")

_STRONG = ("verified", "reproduced", "ours")

T = TypeVar("T")


class Sourced(Closed):
    """Base of everything that says where it is from and how far to trust it."""

    confidence: Confidence
    source: Key | None = None
    """Id in ``sources.yaml``; needed unless the value is from memory, ours, or unknown."""

    @property
    def weak(self) -> bool:
        """Whether a person should check this before money depends on it."""
        return self.confidence not in _STRONG

    @model_validator(mode="after")
    def _claims_have_a_source(self) -> Self:
        if self.confidence in ("verified", "reproduced", "third-party") and self.source is None:
            raise contradiction(
                f"confidence {self.confidence!r} without a source", "an id of sources.yaml with it"
            )
        return self


class Fact(Sourced, Generic[T]):
    """One value with its mark; ``value`` is null exactly when ``confidence`` is ``unknown``."""

    value: T | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _unknown_has_no_value(self) -> Self:
        if (self.value is None) != (self.confidence == "unknown"):
            raise contradiction(
                f"value {self.value!r} with confidence {self.confidence!r}",
                "no value exactly when confidence is 'unknown'",
            )
        return self


class Source(Closed):
    """A text that facts are from: what it is and which version was read."""

    what: Text
    version: Text | None = None


Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166 code of a country."""


class Zone(Closed):
    """One availability zone where hosts can be rented, by id (zone names differ from account to account)."""

    kind: Literal["zone"]
    site: Name
    """The word in host names, as in ``binance-tokyo-01``."""

    city: Text
    country: Country
    """The country that a venue sees when a host of this place calls."""

    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    zone_id: Annotated[str, StringConstraints(pattern=r"^[a-z]+\d-(az|[a-z]+\d-az)\d$")]
    network_number: Annotated[int, Field(ge=1, le=254)]
    """Second octet of the place's network, 10.N.0.0/16; never changed, since hosts would be renumbered."""


class Hall(Sourced):
    """A colocation hall: machines there are the owner's, and are reached by address."""

    kind: Literal["hall"]
    site: Name
    city: Text
    country: Country
    operator: Text
    nearest_zone: Name
    """The place of a cloud host that cannot be here."""


Place = Annotated[Zone | Hall, Field(discriminator="kind")]


class Endpoint(Sourced):
    """One address of a venue. Only those marked ``connector`` reach a host's configuration and firewall."""

    url: Text
    use: Literal["connector", "operator", "reference"]
    """``connector``: spoken to by the engine's connector. ``operator``: asked by preflight or a person.
    ``reference``: written down, used by nothing here."""

    shared: bool = False
    """True where the venue serves several modes at this one address (the account decides the mode)."""

    note: Text | None = None

    @field_validator("url")
    @classmethod
    def _is_a_usable_url(cls, url: str) -> str:
        return checked_url(url)

    @property
    def host(self) -> str:
        """The host name (or address) of the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port that is dialled."""
        return url_port(self.url)


def checked_url(url: str) -> str:
    """Return `url` when it can be dialled as it stands, or raise ValueError with what is allowed."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"a URL with one of the schemes {', '.join(SCHEMES)} and a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a URL without user, password, query or fragment")
    if url_port(url) == 0:
        raise ValueError(f"a {parts.scheme} URL that names its port (1..65535)")
    return url


def url_port(url: str) -> int:
    """Return the port that `url` means, 0 where it names none and its scheme has no usual one."""
    parts = urlsplit(url)
    return parts.port if parts.port is not None else DEFAULT_PORTS.get(parts.scheme, 0)


class PublicMode(Closed):
    """A mode whose addresses the venue publishes (or, simulated, the lab serves)."""

    state: Literal["public"]
    endpoints: Annotated[dict[Key, Endpoint], Field(min_length=1)]
    instruments: tuple[InstrumentPlan, ...] = ()
    """Traded unless the stack names others; empty where a person must choose."""

    limits: VenueLimits
    """Used unless the stack sets tighter ones."""


class AssignedMode(Sourced):
    """A mode whose addresses the venue gives each firm; the stack must name them under ``endpoints``."""

    state: Literal["assigned"]
    endpoints: Annotated[dict[Key, Text], Field(min_length=1)]
    """What to ask for, by the key under which the stack gives it."""

    assigned_by: Text
    instruments: tuple[InstrumentPlan, ...] = ()
    limits: VenueLimits


class AbsentMode(Sourced):
    """A mode that cannot be deployed, with the reason that a person is told."""

    state: Literal["absent"]
    reason: Text


VenueMode = Annotated[PublicMode | AssignedMode | AbsentMode, Field(discriminator="state")]


class Modes(Closed):
    """The venue's three worlds. No address may serve two of them unless it is marked ``shared``."""

    simulated: VenueMode
    test: VenueMode
    live: VenueMode

    def of(self, mode: Mode) -> PublicMode | AssignedMode | AbsentMode:
        """Return the world of `mode`."""
        return {"simulated": self.simulated, "test": self.test, "live": self.live}[mode]

    def each(self) -> tuple[tuple[Mode, PublicMode | AssignedMode | AbsentMode], ...]:
        """Return the worlds with their modes, from the harmless one to real money."""
        return (("simulated", self.simulated), ("test", self.test), ("live", self.live))

    @model_validator(mode="after")
    def _worlds_do_not_touch(self) -> Self:
        seen: dict[tuple[str, int], Mode] = {}
        for mode, world in self.each():
            if not isinstance(world, PublicMode):
                continue
            for key, endpoint in world.endpoints.items():
                other = seen.setdefault((endpoint.host, endpoint.port), mode)
                if other != mode and not endpoint.shared:
                    raise contradiction(
                        f"{mode}.endpoints.{key} is {endpoint.host}:{endpoint.port}, as {other} has",
                        "an address of one mode only (or shared: true), or orders reach the wrong world",
                    )
        return self


class Protocol(Sourced):
    """One protocol of the venue and what it is used for."""

    name: Text
    version: Text | None = None
    use: Literal["orders", "market_data", "orders_and_market_data", "account"]
    transport: Literal["tcp", "tls", "https", "wss", "udp_multicast"]


class Site(Sourced):
    """Where the venue's own machines are."""

    where: Text
    operator: Literal["aws", "gcp", "colocation", "venue", "unknown"]


class Hosting(Closed):
    """Where our host belongs, and why there."""

    place: Name
    """Key in ``places.yaml``."""

    why: Text
    cloud: bool
    """Whether orders can be sent from a cloud host at all; if not, a cross-connect or extranet is needed."""


class Credential(Closed):
    """A secret by name: the file under ``$CREDENTIALS_DIRECTORY``, and the variable people know it by."""

    name: Key
    env: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
    what: Text
    when: dict[Key, str | int | bool] = Field(default_factory=dict)
    """Needed only where the connector's settings have these values; empty: always."""

    def needed(self, settings: Mapping[str, str | int | bool]) -> bool:
        """Say whether a connector with `settings` reads this credential."""
        return all(settings.get(key) == value for key, value in self.when.items())


class Connector(Closed):
    """How the venue is spoken to, with the connector's settings and their defaults."""

    kind: Literal["library", "process"]
    built: bool
    """False while the repository holds no connector for the venue: then nothing is planned for it."""

    settings: dict[Key, str | int | bool]


class Clock(Closed):
    """How wrong a clock may be: the bound under which we trade, and the venue's own rule."""

    bound_ms: Fact[int]
    rule: Fact[str]


class RateLimit(Sourced):
    """So many events in so many seconds, and what the venue does beyond."""

    what: Text
    limit: Annotated[int, Field(gt=0)]
    per_s: Annotated[Decimal, Field(gt=0)]
    scope: Literal["session", "address", "account", "signer", "firm", "connection"]
    beyond: Text
    caps_orders: bool = False
    """True: our own limit of messages a second may not exceed this one."""


class Heartbeat(Sourced):
    """Who keeps a session alive, how often (s), and after how long (s) silence ends it."""

    session: Text
    sender: Literal["client", "server", "both"]
    every_s: Annotated[Decimal, Field(gt=0)] | None
    timeout_s: Annotated[Decimal, Field(gt=0)] | None
    note: Text | None = None


class CancelAll(Sourced):
    """The venue's widest cancel: its message and what it reaches."""

    scope: Literal["none", "order", "symbol", "session", "account", "firm"]
    command: Text
    note: Text | None = None


class Facility(Sourced):
    """A safety facility of the venue that acts without us."""

    available: bool | None
    """Null: not known."""

    command: Text | None = None
    after_s: Annotated[Decimal, Field(gt=0)] | None = None
    """Silence (s) after which it acts."""

    worst_s: Annotated[Decimal, Field(gt=0)] | None = None
    """Longest time (s) from the last sign of life to the cancel."""

    note: Text | None = None

    @model_validator(mode="after")
    def _unknown_is_null(self) -> Self:
        if (self.available is None) != (self.confidence == "unknown"):
            raise contradiction(
                f"available {self.available!r} with confidence {self.confidence!r}",
                "null exactly when confidence is 'unknown'",
            )
        return self


class Cancel(Closed):
    """What ends open orders."""

    cancel_all: CancelAll
    dead_man: Facility
    on_disconnect: Facility


class Allowlist(Sourced):
    """Whether the venue ties access to our address."""

    support: Literal["required", "optional", "none", "circuit", "local", "unknown"]
    """``circuit``: the assigned line is the list. ``local``: the session never leaves the host."""

    note: Text


class GeographyQuestion(Sourced):
    """How a host asks the venue whether it is welcome where it stands."""

    endpoint: Key
    """Key of an endpoint of every public mode."""

    path: str = ""
    blocked_when: Text


class Geography(Sourced):
    """Where the venue refuses service. Lists change: ask, where it can be asked."""

    rule: Text
    question: GeographyQuestion | None = None
    refused_countries: tuple[Country, ...] = ()
    """Countries known to be refused for new orders; not the whole list."""


class Latency(Closed):
    """How far the host is from the venue."""

    kind: Literal["direct", "regional", "remote"]
    """``direct``: microseconds over a cross-connect. ``regional``: the same or the neighbouring cloud region.
    ``remote``: through a broker or over a longer path."""

    rtt_ms: Fact[str]


class Capital(Closed):
    """What money the venue asks for."""

    currency: Text
    minimum: Fact[Decimal]


class Regulation(Sourced):
    """A rule, whom it binds and what it asks."""

    rule: Text
    binds: Text
    asks: Text


class Parameter(Closed):
    """One parameter of a strategy, with the range in which the engine accepts it."""

    what: Text
    kind: Literal["integer", "decimal"]
    """How it is written: a JSON integer, or a decimal number in a string."""

    minimum: Decimal
    maximum: Decimal

    def check(self, value: int | str) -> None:
        """Raise ValueError when `value` is not of the parameter's kind or outside its range."""
        if isinstance(value, str) != (self.kind == "decimal"):
            wanted = "a decimal number in quotes" if self.kind == "decimal" else "an integer"
            raise ValueError(f"{value!r} is not {wanted}")
        try:
            number = Decimal(value)
        except ArithmeticError:
            raise ValueError(f"{value!r} is not a decimal number") from None
        if not number.is_finite() or not self.minimum <= number <= self.maximum:
            raise ValueError(f"{value} is outside {self.minimum}..{self.maximum}")


class Strategy(Closed):
    """A strategy that the reference engine holds."""

    what: Text
    parameters: Annotated[dict[Key, Parameter], Field(min_length=1)]

    def check(self, values: dict[str, str | int]) -> None:
        """Raise ValueError unless `values` gives every parameter, each in its range, and no other."""
        for name in values:
            if name not in self.parameters:
                raise ValueError(f"no parameter {name!r}; there are {', '.join(sorted(self.parameters))}")
        for name, parameter in self.parameters.items():
            if name not in values:
                raise ValueError(f"parameter {name!r} is missing: {parameter.what}")
            try:
                parameter.check(values[name])
            except ValueError as error:
                raise ValueError(f"parameter {name!r}: {error}") from None


class Venue(Closed):
    """One venue, whole."""

    name: Name
    title: Text
    number: Annotated[int, Field(ge=0, le=9)]
    """Fixed for ever: it gives the connector's uid (6100 + number) and the host's address block."""

    phase: Annotated[int, Field(ge=1, le=3)]
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1)]
    modes: Modes
    site: Site
    hosting: Hosting
    connector: Connector
    credentials: Annotated[tuple[Credential, ...], Field(min_length=1)]
    clock: Clock
    rate_limits: tuple[RateLimit, ...]
    heartbeats: tuple[Heartbeat, ...]
    cancel: Cancel
    allow_list: Allowlist
    geography: Geography
    latency: Latency
    capital: Capital
    regulation: tuple[Regulation, ...]
    strategies: Annotated[dict[Key, dict[Key, int | str]], Field(min_length=1)]
    """Parameters by strategy (of ``strategies.yaml``); the first is run unless the stack names another."""

    @model_validator(mode="after")
    def _connector_has_what_it_needs(self) -> Self:
        if self.connector.kind == "process" and self.number == 0:
            raise contradiction("number 0 with a process connector", "1..9: number 0 gives no uid of its own")
        settings = self.connector.settings
        for credential in self.credentials:
            for key in credential.when:
                if key not in settings:
                    raise contradiction(
                        f"credential {credential.name!r} needed when {key!r}",
                        f"a key of connector.settings: {', '.join(sorted(settings))}",
                    )
        return self

    @model_validator(mode="after")
    def _region_can_be_asked_for(self) -> Self:
        question = self.geography.question
        for mode, world in self.modes.each():
            if question and isinstance(world, PublicMode) and question.endpoint not in world.endpoints:
                raise contradiction(
                    f"geography.question.endpoint {question.endpoint!r}",
                    f"an endpoint of mode {mode}: {', '.join(sorted(world.endpoints))}",
                )
        return self

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        caps = [limit.limit / limit.per_s for limit in self.rate_limits if limit.caps_orders]
        looser: VenueLimits | None = None
        for mode, world in self.modes.each():
            if isinstance(world, AbsentMode):
                continue
            if mode != "simulated" and caps and world.limits.max_messages_per_s > min(caps):
                raise contradiction(
                    f"modes.{mode}.limits.max_messages_per_s {world.limits.max_messages_per_s}",
                    f"at most the venue's own {min(caps):.4g} a second",
                )
            for key in VenueLimits.model_fields:
                if looser is not None and getattr(world.limits, key) > getattr(looser, key):
                    raise contradiction(
                        f"modes.{mode}.limits.{key} {getattr(world.limits, key)}",
                        f"at most {getattr(looser, key)}: simulated >= test >= live",
                    )
            looser = world.limits
        return self


class Catalogue(Closed):
    """All venues by name, with the places and sources that they speak of."""

    venues: dict[Name, Venue]
    places: dict[Name, Place]
    sources: dict[Key, Source]
    strategies: dict[Key, Strategy]

    @model_validator(mode="after")
    def _numbers_are_given_once(self) -> Self:
        owners: dict[int, str] = {}
        for venue in self.venues.values():
            other = owners.setdefault(venue.number, venue.name)
            if other != venue.name:
                raise contradiction(
                    f"number {venue.number} in both {other} and {venue.name}", "each number once"
                )
        networks: dict[int, str] = {}
        for key, place in self.places.items():
            if isinstance(place, Zone):
                other = networks.setdefault(place.network_number, key)
                if other != key:
                    raise contradiction(
                        f"network_number {place.network_number} in both {other} and {key}",
                        "each number once, or networks overlap",
                    )
        return self

    @model_validator(mode="after")
    def _halls_are_near_zones(self) -> Self:
        zones = [key for key, place in self.places.items() if isinstance(place, Zone)]
        for key, place in self.places.items():
            if isinstance(place, Hall) and place.nearest_zone not in zones:
                raise contradiction(
                    f"nearest_zone {place.nearest_zone!r} of {key}", f"a zone: {', '.join(zones)}"
                )
        return self
