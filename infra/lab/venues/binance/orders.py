"""Orders as Binance shows them, in replies and in user data events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from infra.lab.venues.common.book import Order
from infra.lab.venues.common.fixed import format_e8, multiply_e8

Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
ResponseType = Literal["ACK", "RESULT", "FULL"]


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of an order, from its own side; the fee is in ``fee_asset``."""

    number: int
    price_e8: int
    quantity_e8: int
    fee_e8: int
    fee_asset: str
    maker: bool
    time_ms: int


@dataclass(slots=True, eq=False)
class SpotOrder(Order):
    """An order of one symbol; times in milliseconds."""

    symbol: str = ""
    client_id: str = ""
    kind: str = "LIMIT"
    time_in_force: str = "GTC"
    quote_quantity_e8: int = 0
    status: Status = "NEW"
    placed_ms: int = 0
    updated_ms: int = 0
    trades: list[Trade] = field(default_factory=list)

    def placed(self, response: ResponseType) -> dict[str, Any]:
        """Return the reply to its placement."""
        reply: dict[str, Any] = {
            "symbol": self.symbol,
            "orderId": self.number,
            "orderListId": -1,
            "clientOrderId": self.client_id,
            "transactTime": self.updated_ms,
        }
        if response == "ACK":
            return reply
        reply |= self._amounts() | {"workingTime": self.placed_ms, "selfTradePreventionMode": "NONE"}
        if response == "FULL":
            reply["fills"] = [
                {
                    "price": format_e8(trade.price_e8),
                    "qty": format_e8(trade.quantity_e8),
                    "commission": format_e8(trade.fee_e8),
                    "commissionAsset": trade.fee_asset,
                    "tradeId": trade.number,
                }
                for trade in self.trades
            ]
        return reply

    def canceled(self, new_client_id: str) -> dict[str, Any]:
        """Return the reply to its cancellation, which gives it a new client id."""
        return {
            "symbol": self.symbol,
            "origClientOrderId": self.client_id,
            "orderId": self.number,
            "orderListId": -1,
            "clientOrderId": new_client_id,
            "transactTime": self.updated_ms,
            **self._amounts(),
            "selfTradePreventionMode": "NONE",
        }

    def queried(self) -> dict[str, Any]:
        """Return the reply to a question about it."""
        return {
            "symbol": self.symbol,
            "orderId": self.number,
            "orderListId": -1,
            "clientOrderId": self.client_id,
            **self._amounts(),
            "stopPrice": format_e8(0),
            "icebergQty": format_e8(0),
            "time": self.placed_ms,
            "updateTime": self.updated_ms,
            "isWorking": True,
            "workingTime": self.placed_ms,
            "origQuoteOrderQty": format_e8(self.quote_quantity_e8),
            "selfTradePreventionMode": "NONE",
        }

    def _amounts(self) -> dict[str, Any]:
        return {
            "price": format_e8(self.price_e8),
            "origQty": format_e8(self.quantity_e8),
            "executedQty": format_e8(self.filled_e8),
            "origQuoteOrderQty": format_e8(self.quote_quantity_e8),
            "cummulativeQuoteQty": format_e8(self.spent_e8),
            "status": self.status,
            "timeInForce": self.time_in_force,
            "type": self.kind,
            "side": self.side.value,
        }

    def report(
        self,
        execution: Literal["NEW", "TRADE", "CANCELED", "EXPIRED"],
        number: int,
        *,
        status: Status | None = None,
        trade: Trade | None = None,
        original_client_id: str = "",
        expiry_reason: str | None = None,
        on_book: bool = False,
        filled_e8: int | None = None,
        spent_e8: int | None = None,
    ) -> dict[str, Any]:
        """Return the ``executionReport`` of one change; ``filled_e8`` and ``spent_e8`` as they were then."""
        event: dict[str, Any] = {
            "e": "executionReport",
            "E": self.updated_ms,
            "s": self.symbol,
            "c": self.client_id,
            "S": self.side.value,
            "o": self.kind,
            "f": self.time_in_force,
            "q": format_e8(self.quantity_e8),
            "p": format_e8(self.price_e8),
            "P": format_e8(0),
            "F": format_e8(0),
            "g": -1,
            "C": original_client_id,
            "x": execution,
            "X": status or self.status,
            "r": "NONE",
            "i": self.number,
            "l": format_e8(trade.quantity_e8 if trade else 0),
            "z": format_e8(self.filled_e8 if filled_e8 is None else filled_e8),
            "L": format_e8(trade.price_e8 if trade else 0),
            "n": format_e8(trade.fee_e8) if trade else "0",
            "N": trade.fee_asset if trade else None,
            "T": trade.time_ms if trade else self.updated_ms,
            "t": trade.number if trade else -1,
            "I": number,
            "w": on_book,
            "m": trade.maker if trade else False,
            "M": False,
            "O": self.placed_ms,
            "Z": format_e8(self.spent_e8 if spent_e8 is None else spent_e8),
            "Y": format_e8(multiply_e8(trade.price_e8, trade.quantity_e8) if trade else 0),
            "Q": format_e8(self.quote_quantity_e8),
            "W": self.placed_ms,
            "V": "NONE",
        }
        if expiry_reason is not None:
            event["eR"] = expiry_reason
        return event
