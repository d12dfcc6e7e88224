"""Orders and trades as Polymarket shows them, and the reading of a posted order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Self

from infra.lab.venues.common.book import Order, Side
from infra.lab.venues.common.fixed import plain_e8
from infra.lab.venues.polymarket.errors import ClobError, bad_payload

OrderType = Literal["GTC", "GTD", "FOK", "FAK"]
BASE_UNITS_E8 = 100
"""One base unit (1e-6) of pUSD or of a share, in units of 1e-8."""

_V2_FIELDS = {
    "salt", "maker", "signer", "tokenId", "makerAmount", "takerAmount", "side", "expiration", "signatureType",
    "timestamp", "metadata", "builder", "signature",
}  # fmt: skip
_V1_ONLY = {"taker", "nonce", "feeRateBps"}


@dataclass(frozen=True)
class PostedOrder:
    """A posted order, read and typed, nothing of it checked yet. Amounts are in base units (1e-6)."""

    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: int
    taker_amount: int
    side: Side
    expiration: int
    signature_type: int
    timestamp: int
    metadata: str
    builder: str
    signature: str
    owner: str
    order_type: OrderType
    post_only: bool

    @classmethod
    def read(cls, document: Any) -> Self:
        """Read the body of ``POST /order``; 400 if malformed, order_version_mismatch for a V1 order."""
        if not isinstance(document, dict) or not isinstance(document.get("order"), dict):
            raise bad_payload()
        order = document["order"]
        if _V1_ONLY & set(order) or "timestamp" not in order:
            raise ClobError(400, "order_version_mismatch")
        order_type = document.get("orderType")
        if set(order) != _V2_FIELDS or order_type not in {"GTC", "GTD", "FOK", "FAK"}:
            raise bad_payload()
        try:
            return cls(
                salt=_whole(order["salt"]),
                maker=_text(order["maker"], r"0x[0-9a-fA-F]{40}"),
                signer=_text(order["signer"], r"0x[0-9a-fA-F]{40}"),
                token_id=str(_whole(order["tokenId"])),
                maker_amount=_whole(order["makerAmount"]),
                taker_amount=_whole(order["takerAmount"]),
                side=Side(order["side"]),
                expiration=_whole(order["expiration"]),
                signature_type=_whole(order["signatureType"]),
                timestamp=_whole(order["timestamp"]),
                metadata=_text(order["metadata"], r"0x[0-9a-fA-F]{64}"),
                builder=_text(order["builder"], r"0x[0-9a-fA-F]{64}"),
                signature=_text(order["signature"], r"0x[0-9a-fA-F]+"),
                owner=str(document.get("owner", "")),
                order_type=order_type,
                post_only=bool(document.get("postOnly", False)),
            )
        except (ValueError, TypeError):
            raise bad_payload() from None

    def struct(self) -> dict[str, Any]:
        """Return the members that are signed."""
        return {
            "salt": self.salt,
            "maker": self.maker,
            "signer": self.signer,
            "tokenId": int(self.token_id),
            "makerAmount": self.maker_amount,
            "takerAmount": self.taker_amount,
            "side": 0 if self.side is Side.BUY else 1,
            "signatureType": self.signature_type,
            "timestamp": self.timestamp,
            "metadata": bytes.fromhex(self.metadata[2:]),
            "builder": bytes.fromhex(self.builder[2:]),
        }

    @property
    def size(self) -> int:
        """Shares, in base units."""
        return self.taker_amount if self.side is Side.BUY else self.maker_amount

    @property
    def money(self) -> int:
        """Collateral, in base units."""
        return self.maker_amount if self.side is Side.BUY else self.taker_amount

    @property
    def price(self) -> Decimal:
        """Collateral a share; ValueError for a size of zero."""
        if not self.size:
            raise ValueError("size is zero")
        return Decimal(self.money) / Decimal(self.size)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,78}", str(value)):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def _text(value: Any, form: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(form, value):
        raise ValueError(f"{value!r} does not have the form {form}")
    return value


@dataclass(slots=True, eq=False)
class ClobOrder(Order):
    """An order of one token. ``id`` is the EIP-712 hash; times in seconds."""

    id: str = ""
    owner: str = ""
    maker_address: str = ""
    token_id: str = ""
    condition_id: str = ""
    outcome: str = ""
    order_type: OrderType = "GTC"
    expiration: int = 0
    created_s: int = 0
    status: Literal["LIVE", "MATCHED", "CANCELED", "INVALID"] = "LIVE"
    trades: list[str] = field(default_factory=list)
    booked_e8: int = 0
    """What of ``filled_e8`` has been settled: several takers may fill it before any is."""

    def document(self) -> dict[str, Any]:
        """Return the order as ``GET /data/orders`` shows it."""
        return {
            "id": self.id,
            "status": self.status,
            "owner": self.owner,
            "maker_address": self.maker_address,
            "market": self.condition_id,
            "asset_id": self.token_id,
            "side": self.side.value,
            "original_size": plain_e8(self.quantity_e8),
            "size_matched": plain_e8(self.filled_e8),
            "price": plain_e8(self.price_e8),
            "associate_trades": list(self.trades),
            "outcome": self.outcome,
            "created_at": self.created_s,
            "expiration": str(self.expiration),
            "order_type": self.order_type,
        }

    def event(self, kind: Literal["PLACEMENT", "UPDATE", "CANCELLATION"], now_ms: int) -> dict[str, Any]:
        """Return the order event of the user channel."""
        return {
            "event_type": "order",
            "type": kind,
            "id": self.id,
            "market": self.condition_id,
            "asset_id": self.token_id,
            "owner": self.owner,
            "order_owner": self.owner,
            "side": self.side.value,
            "price": plain_e8(self.price_e8),
            "original_size": plain_e8(self.quantity_e8),
            "size_matched": plain_e8(self.filled_e8),
            "associate_trades": list(self.trades) or None,
            "outcome": self.outcome,
            "order_type": self.order_type,
            "created_at": str(self.created_s),
            "expiration": str(self.expiration),
            "maker_address": self.maker_address,
            "status": self.status,
            "timestamp": str(now_ms),
        }


@dataclass(eq=False)
class ClobTrade:
    """One taker order's match with one or more makers, and its way to the chain."""

    id: str
    taker: ClobOrder
    fills: list[tuple[ClobOrder, int, int]]
    """Maker order, price and quantity (1e-8) of each fill."""

    matched_s: int
    updated_s: int
    matched_mono_ms: int
    transaction_hash: str
    status: Literal["MATCHED", "MINED", "CONFIRMED"] = "MATCHED"
    hash_known: bool = False

    @property
    def size_e8(self) -> int:
        """Shares that changed hands."""
        return sum(quantity for _, _, quantity in self.fills)

    @property
    def price_e8(self) -> int:
        """Average price."""
        return sum(price * quantity for _, price, quantity in self.fills) // self.size_e8

    def accounts(self) -> set[str]:
        """Return the accounts that took part."""
        return {self.taker.account} | {maker.account for maker, _, _ in self.fills}

    def document(self, account: str) -> dict[str, Any]:
        """Return the trade as the account sees it in ``GET /data/trades``."""
        is_taker = self.taker.account == account
        own = (
            self.taker if is_taker else next(maker for maker, _, _ in self.fills if maker.account == account)
        )
        return {
            "id": self.id,
            "taker_order_id": self.taker.id,
            "market": self.taker.condition_id,
            "asset_id": self.taker.token_id,
            "side": self.taker.side.value,
            "size": plain_e8(self.size_e8),
            "fee_rate_bps": "0",
            "price": plain_e8(self.price_e8),
            "status": self.status,
            "match_time": str(self.matched_s),
            "last_update": str(self.updated_s),
            "outcome": self.taker.outcome,
            "bucket_index": 0,
            "owner": own.owner,
            "maker_address": own.maker_address,
            "maker_orders": [
                {
                    "order_id": maker.id,
                    "owner": maker.owner,
                    "maker_address": maker.maker_address,
                    "matched_amount": plain_e8(quantity),
                    "price": plain_e8(price),
                    "fee_rate_bps": "0",
                    "asset_id": maker.token_id,
                    "outcome": maker.outcome,
                    "side": maker.side.value,
                }
                for maker, price, quantity in self.fills
            ],
            "transaction_hash": self.transaction_hash if self.hash_known else "",
            "trader_side": "TAKER" if is_taker else "MAKER",
        }

    def event(self, account: str, now_ms: int) -> dict[str, Any]:
        """Return the trade event of the user channel."""
        document = self.document(account)
        return document | {
            "event_type": "trade",
            "type": "TRADE",
            "trade_owner": document["owner"],
            "timestamp": str(now_ms),
        }
