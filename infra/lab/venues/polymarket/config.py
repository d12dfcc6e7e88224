"""Configuration of the Polymarket simulator."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from infra.lab.venues.common.config import ServerConfig
from infra.lab.venues.common.market import MarketShape
from infra.plan.model import Closed

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
TokenId = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,77}$")]
TickSize = Literal["0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"]


class Credentials(Closed):
    """An API key as the venue hands it out; ``secret`` is URL-safe base64."""

    api_key: Annotated[str, StringConstraints(min_length=1)]
    secret: str
    passphrase: Annotated[str, StringConstraints(min_length=1)]

    @field_validator("secret")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        try:
            base64.urlsafe_b64decode(value)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"not URL-safe base64: {error}") from error
        return value


class PolymarketAccount(Closed):
    """One wallet: its keys beside those it makes itself, and what it owns (pUSD and shares by token)."""

    name: Annotated[str, StringConstraints(min_length=1)]
    address: Address
    funder: Address | None = None
    """The proxy or Safe that holds the funds (signature types 1 and 2); none: the wallet itself (type 0)."""

    keys: tuple[Credentials, ...] = ()
    collateral: Decimal = Decimal(100_000)
    shares: dict[TokenId, Decimal] = Field(default_factory=dict)
    default_shares: Decimal = Decimal(100_000)
    """What it owns of every token that ``shares`` does not name."""


class PolymarketInstrument(Closed):
    """One binary market: two tokens with a book each. The books are not matched against each other."""

    condition_id: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")] = "0x" + "5f" * 32
    question: str = "Will the lab hold?"
    yes: TokenId = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
    no: TokenId = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
    tick: TickSize = "0.01"
    min_size: Decimal = Decimal(5)
    neg_risk: bool = False
    market: MarketShape = MarketShape(
        mid=Decimal("0.50"), spread_ticks=2, levels=10, level_lots=(2_000, 50_000), deviation_ticks=0.25
    )


class Place(Closed):
    """Where requests of a network come from. ``close_only``: no new orders; ``blocked``: nothing private."""

    network: IPv4Network
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    region: str = ""
    status: Literal["open", "close_only", "blocked"] = "open"


class Heartbeats(Closed):
    """The dead-man rule: no valid heartbeat for ``expire_s``, seen at a check, cancels all orders."""

    expire_s: Annotated[float, Field(gt=0)] = 10
    check_s: Annotated[float, Field(gt=0)] = 5


class Settlement(Closed):
    """How a trade goes on after it matched; ``hash_in_reply``: the order's reply has the transaction hash."""

    mined_ms: Annotated[int, Field(ge=0)] = 300
    confirmed_ms: Annotated[int, Field(ge=0)] = 600
    hash_in_reply: bool = True


class PolymarketLimits(Closed):
    """Token buckets per wallet: orders a second and burst; cancels have twice that."""

    orders_per_second: Annotated[float, Field(gt=0)] = 40
    burst: Annotated[int, Field(gt=0)] = 60
    max_batch: int = 15
    max_cancels: int = 1000


class PolymarketSockets(Closed):
    """Times of the channels, in seconds."""

    life: Annotated[float, Field(gt=0)] = 86_400
    subscribe_within: Annotated[float, Field(gt=0)] = 10
    silence: Annotated[float, Field(gt=0)] = 120
    """A client that sends nothing (PING should come each 10 s) for so long is closed."""


class PolymarketConfig(ServerConfig):
    """The simulator's configuration file."""

    chain_id: Literal[137, 80002] = 137
    accounts: tuple[PolymarketAccount, ...] = ()
    instruments: Annotated[tuple[PolymarketInstrument, ...], Field(min_length=1)] = (PolymarketInstrument(),)
    places: tuple[Place, ...] = ()
    """The first network that fits counts; from anywhere else it is Ireland, open."""

    heartbeats: Heartbeats = Heartbeats()
    settlement: Settlement = Settlement()
    limits: PolymarketLimits = PolymarketLimits()
    sockets: PolymarketSockets = PolymarketSockets()
    timestamp_tolerance_s: Annotated[int, Field(gt=0)] = 5
    """How far the POLY_TIMESTAMP of a request may be off; the venue does not document its bound."""

    gtd_min_s: int = 180
    """How far ahead a GTD order must expire at least."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [account.name for account in self.accounts]
        if len(set(names)) != len(names):
            raise ValueError(f"accounts: two have the same name among {names}")
        return self
