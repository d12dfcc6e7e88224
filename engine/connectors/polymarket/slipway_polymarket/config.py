"""/etc/slipway/connectors/polymarket.json: closed schema, read whole before anything is opened."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from . import exact_json
from .fixed import to_e8

if TYPE_CHECKING:
    from pathlib import Path

LIVE_DOMAIN = "polymarket.com"


class ConfigError(Exception):
    """A bad configuration; the text names file, key, what was found and what is allowed."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoints(_Closed):
    """The venue's URLs. All of one mode: see Config._endpoints_fit_mode."""

    clob: str
    market_ws: str
    user_ws: str
    geoblock: str


class Settings(_Closed):
    """How to speak to the venue. ``funder``: the wallet that holds the money, where it is not the signer."""

    chain_id: Literal[137, 80002] = 137
    signature_type: Literal[0, 1, 2, 3] = 0
    funder: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")] | None = None
    heartbeat_s: Annotated[int, Field(ge=1, le=5)] = 5
    clock_bound_ms: Annotated[int, Field(ge=1, le=1000)] = 500

    @model_validator(mode="after")
    def _proxy_wallets_name_their_funder(self) -> Settings:
        if self.signature_type != 0 and self.funder is None:
            raise ValueError(f"signature_type {self.signature_type} needs `funder` (the wallet's address)")
        return self


class Instrument(_Closed):
    """One outcome token; ``tick`` and ``lot`` in the units of the venue, as decimal text."""

    symbol: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,78}$")]
    tick: Decimal
    lot: Decimal

    @model_validator(mode="after")
    def _steps_are_possible(self) -> Instrument:
        if not 0 < self.tick < 1:
            raise ValueError(f"tick {self.tick} is outside (0, 1)")
        if self.lot <= 0 or to_e8(self.lot) % to_e8("0.01"):
            raise ValueError(f"lot {self.lot} is not a positive multiple of the venue's 0.01")
        return self

    @property
    def tick_e8(self) -> int:
        """Price step in 1e-8."""
        return to_e8(self.tick)

    @property
    def lot_e8(self) -> int:
        """Quantity step in 1e-8."""
        return to_e8(self.lot)


class Config(_Closed):
    """The whole file."""

    config_version: Literal[1]
    venue: Literal["polymarket"]
    mode: Literal["simulated", "live"]
    """The venue has no public test system, so no mode ``test``."""

    socket: Annotated[str, StringConstraints(pattern=r"^/.{1,106}$")]
    """Where the engine connects; a Unix address holds 107 bytes."""

    endpoints: Endpoints
    settings: Settings = Settings()
    instruments: Annotated[tuple[Instrument, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _endpoints_fit_mode(self) -> Config:
        """Real endpoints belong to mode ``live`` and to no other; only a loopback may do without TLS."""
        for key, url in self.endpoints:
            parts = urlsplit(url)
            host = parts.hostname or ""
            secure, plain = ("wss", "ws") if key.endswith("_ws") else ("https", "http")
            loopback = host in ("localhost", "127.0.0.1", "::1")
            if parts.scheme != secure and not (loopback and parts.scheme == plain):
                raise ValueError(f"endpoints.{key}: found {url!r}, allowed is a {secure}:// URL")
            if not host or parts.username or parts.password or parts.query or parts.fragment:
                raise ValueError(f"endpoints.{key}: found {url!r}, allowed is scheme, host, port and path")
            is_live = host == LIVE_DOMAIN or host.endswith("." + LIVE_DOMAIN)
            if is_live != (self.mode == "live"):
                allowed = f"hosts of {LIVE_DOMAIN}" if self.mode == "live" else f"no host of {LIVE_DOMAIN}"
                raise ValueError(f"endpoints.{key}: found {url!r}, mode {self.mode!r} allows {allowed}")
        return self

    @model_validator(mode="after")
    def _instruments_are_named_once(self) -> Config:
        symbols = [instrument.symbol for instrument in self.instruments]
        for symbol in symbols:
            if symbols.count(symbol) > 1:
                raise ValueError(f"instruments: {symbol} is named twice")
        return self


def load(path: Path) -> Config:
    """Read and check the file; ConfigError has one line a fault."""
    try:
        content = exact_json.parse(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"])
            if fault["type"] == "extra_forbidden":
                lines.append(f"{path}: {key}: unknown key; {_allowed(fault['loc'])}")
            elif fault["type"] == "missing":
                lines.append(f"{path}: {key}: missing; {_allowed(fault['loc'])}")
            elif fault["type"] == "value_error":
                where = f"{path}: {key}" if key else f"{path}"
                lines.append(f"{where}: {fault['ctx']['error']}")
            else:
                lines.append(f"{path}: {key}: found {str(fault['input'])[:80]!r}; {fault['msg']}")
        raise ConfigError("\n".join(lines)) from error


def _allowed(location: tuple[int | str, ...]) -> str:
    models: dict[str, type[BaseModel]] = {
        "endpoints": Endpoints,
        "settings": Settings,
        "instruments": Instrument,
    }
    model = models.get(str(location[0]), Config) if len(location) > 1 else Config
    return "allowed are " + ", ".join(model.model_fields)
