"""Configuration of the Binance simulator."""

from __future__ import annotations

from decimal import Decimal
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import Field, StringConstraints, model_validator

from infra.lab.venues.common.config import ServerConfig
from infra.lab.venues.common.market import MarketShape
from infra.plan.model import Closed

Permission = Literal["TRADE", "USER_DATA", "USER_STREAM"]
Positive = Annotated[Decimal, Field(gt=0)]


class ApiKey(Closed):
    """One API key: HMAC (``secret``) or Ed25519 (``public_key``, PEM). RSA keys are not simulated."""

    api_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{64}$")]
    secret: str | None = None
    public_key: str | None = None
    permissions: tuple[Permission, ...] = ("TRADE", "USER_DATA", "USER_STREAM")
    addresses: tuple[IPv4Network, ...] = ()
    """Source addresses that may use it; none means any."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret is None) == (self.public_key is None):
            raise ValueError("give exactly one of 'secret' (HMAC) and 'public_key' (Ed25519, PEM)")
        if self.public_key is not None and not isinstance(
            load_pem_public_key(self.public_key.encode()), Ed25519PublicKey
        ):
            raise ValueError(
                "'public_key' is not Ed25519 (RSA keys are not simulated: use Ed25519 or an HMAC secret)"
            )
        return self


class BinanceAccount(Closed):
    """One account with its keys and its free balances by asset."""

    name: Annotated[str, StringConstraints(min_length=1)]
    keys: tuple[ApiKey, ...] = ()
    balances: dict[str, Decimal] = Field(
        default_factory=lambda: {"BTC": Decimal(10), "USDT": Decimal(1_000_000)}
    )


class BinanceInstrument(Closed):
    """One symbol with its rules, as ``exchangeInfo`` shows them, and its synthetic market."""

    symbol: str = "BTCUSDT"
    base: str = "BTC"
    quote: str = "USDT"
    tick: Positive = Decimal("0.01")
    lot: Positive = Decimal("0.00001")
    min_price: Positive = Decimal("0.01")
    max_price: Positive = Decimal(1_000_000)
    min_quantity: Positive = Decimal("0.00001")
    max_quantity: Positive = Decimal(9_000)
    max_market_quantity: Positive = Decimal(100)
    min_notional: Positive = Decimal(5)
    max_notional: Positive = Decimal(9_000_000)
    price_up: Positive = Decimal(5)
    """A buy's price may be at most this many times the last price (PERCENT_PRICE_BY_SIDE), a sell's too."""

    price_down: Positive = Decimal("0.2")
    max_orders: int = 200
    market: MarketShape = MarketShape(mid=Decimal(100_000), deviation_ticks=400, spread_ticks=200)

    @model_validator(mode="after")
    def _amounts_are_exact(self) -> Self:
        if (self.tick * self.lot) % Decimal("0.00000001"):
            raise ValueError(
                "'tick' times 'lot' must be a multiple of 1e-8, or money would be lost in rounding"
            )
        return self


class BinanceLimits(Closed):
    """Rate limits. Weight is per source address; orders are per account and count unfilled ones only."""

    weight_per_minute: Annotated[int, Field(gt=0)] = 6_000
    orders_per_10s: Annotated[int, Field(gt=0)] = 100
    orders_per_day: Annotated[int, Field(gt=0)] = 200_000
    ban_after: Annotated[int, Field(gt=0)] = 10
    """Requests sent after a 429 within one minute that turn it into a ban (418)."""

    ban_seconds: Annotated[int, Field(gt=0)] = 120
    connections_per_5min: Annotated[int, Field(gt=0)] = 300


class BinanceSockets(Closed):
    """Times of the WebSockets, in seconds; the venue's own values are the defaults."""

    ping_every: Annotated[float, Field(gt=0)] = 20
    pong_within: Annotated[float, Field(gt=0)] = 60
    life: Annotated[float, Field(gt=0)] = 86_400
    stream_messages_per_second: Annotated[int, Field(gt=0)] = 5


class BinanceConfig(ServerConfig):
    """The simulator's configuration file."""

    accounts: tuple[BinanceAccount, ...] = ()
    instruments: Annotated[tuple[BinanceInstrument, ...], Field(min_length=1)] = (BinanceInstrument(),)
    limits: BinanceLimits = BinanceLimits()
    sockets: BinanceSockets = BinanceSockets()
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    blocked_addresses: tuple[IPv4Network, ...] = ()
    """Source addresses that get 451, as those of restricted countries do."""

    hosts: dict[str, tuple[Literal["rest", "ws_api", "streams"], ...]] = Field(default_factory=dict)
    """What each host name serves (by the Host header); a name that is not here serves everything."""
