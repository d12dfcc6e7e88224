"""A symbol's rules: what ``exchangeInfo`` says, and the refusal of every order that breaks it."""

from __future__ import annotations

from typing import Any

from infra.lab.venues.binance.config import BinanceInstrument
from infra.lab.venues.binance.errors import filtered
from infra.lab.venues.common.fixed import decimal_e8, format_e8, multiply_e8

ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET")


class Rules:
    """The filters of one symbol; everything in units of 1e-8."""

    def __init__(self, instrument: BinanceInstrument) -> None:
        self.instrument = instrument
        self.tick = decimal_e8(instrument.tick)
        self.lot = decimal_e8(instrument.lot)
        self.min_price = decimal_e8(instrument.min_price)
        self.max_price = decimal_e8(instrument.max_price)
        self.min_quantity = decimal_e8(instrument.min_quantity)
        self.max_quantity = decimal_e8(instrument.max_quantity)
        self.max_market_quantity = decimal_e8(instrument.max_market_quantity)
        self.min_notional = decimal_e8(instrument.min_notional)
        self.max_notional = decimal_e8(instrument.max_notional)

    def check_limit(self, price: int, quantity: int, *, reference: int, open_orders: int) -> None:
        """Refuse (-1013) a limit order that breaks a filter; ``reference`` is the last price."""
        if not self.min_price <= price <= self.max_price or price % self.tick:
            raise filtered("PRICE_FILTER")
        low, high = self._price_range(reference)
        if not low <= price <= high:
            raise filtered("PERCENT_PRICE_BY_SIDE")
        self._check_lot(quantity)
        self._check_notional(multiply_e8(price, quantity))
        self._check_count(open_orders)

    def check_market(self, quantity: int, *, reference: int, open_orders: int) -> None:
        """Refuse (-1013) a market order that breaks a filter."""
        self._check_lot(quantity)
        if quantity > self.max_market_quantity:
            raise filtered("MARKET_LOT_SIZE")
        self._check_notional(multiply_e8(reference, quantity))
        self._check_count(open_orders)

    def _price_range(self, reference: int) -> tuple[int, int]:
        down, up = decimal_e8(self.instrument.price_down), decimal_e8(self.instrument.price_up)
        return multiply_e8(reference, down), multiply_e8(reference, up)

    def _check_lot(self, quantity: int) -> None:
        if not self.min_quantity <= quantity <= self.max_quantity or quantity % self.lot:
            raise filtered("LOT_SIZE")

    def _check_notional(self, notional: int) -> None:
        if not self.min_notional <= notional <= self.max_notional:
            raise filtered("NOTIONAL")

    def _check_count(self, open_orders: int) -> None:
        if open_orders >= self.instrument.max_orders:
            raise filtered("MAX_NUM_ORDERS")

    def document(self) -> dict[str, Any]:
        """Return the symbol's entry in exchangeInfo."""
        instrument = self.instrument
        up, down = (format_e8(decimal_e8(value), 4) for value in (instrument.price_up, instrument.price_down))
        return {
            "symbol": instrument.symbol,
            "status": "TRADING",
            "baseAsset": instrument.base,
            "baseAssetPrecision": 8,
            "quoteAsset": instrument.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": list(ORDER_TYPES),
            "icebergAllowed": False,
            "ocoAllowed": False,
            "otoAllowed": False,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": False,
            "cancelReplaceAllowed": False,
            "amendAllowed": False,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": format_e8(self.min_price),
                    "maxPrice": format_e8(self.max_price),
                    "tickSize": format_e8(self.tick),
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": format_e8(self.min_quantity),
                    "maxQty": format_e8(self.max_quantity),
                    "stepSize": format_e8(self.lot),
                },
                {
                    "filterType": "MARKET_LOT_SIZE",
                    "minQty": format_e8(0),
                    "maxQty": format_e8(self.max_market_quantity),
                    "stepSize": format_e8(0),
                },
                {
                    "filterType": "PERCENT_PRICE_BY_SIDE",
                    "bidMultiplierUp": up,
                    "bidMultiplierDown": down,
                    "askMultiplierUp": up,
                    "askMultiplierDown": down,
                    "avgPriceMins": 5,
                },
                {
                    "filterType": "NOTIONAL",
                    "minNotional": format_e8(self.min_notional),
                    "applyMinToMarket": True,
                    "maxNotional": format_e8(self.max_notional),
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                },
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": instrument.max_orders},
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "NONE",
            "allowedSelfTradePreventionModes": ["NONE"],
        }
