"""Books and market descriptions as the public endpoints and the market channel show them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from infra.lab.venues.common.book import Side
from infra.lab.venues.common.fixed import plain_e8
from infra.lab.venues.polymarket.config import PolymarketInstrument
from infra.lab.venues.polymarket.exchange import Exchange, Listing

END_CURSOR = "LTE="


def levels(listing: Listing, side: Side) -> list[dict[str, str]]:
    """Return one side's levels with the best one last, as the venue orders them."""
    depth = listing.book.depth(side)
    return [{"price": plain_e8(price), "size": plain_e8(quantity)} for price, quantity in reversed(depth)]


def summary(listing: Listing, now_ms: int) -> dict[str, Any]:
    """Return the order book summary with its hash (SHA-1 of the compact JSON with an empty hash)."""
    document = {
        "market": listing.instrument.condition_id,
        "asset_id": listing.token_id,
        "timestamp": str(now_ms),
        "hash": "",
        "bids": levels(listing, Side.BUY),
        "asks": levels(listing, Side.SELL),
        "min_order_size": f"{listing.instrument.min_size.normalize():f}",
        "tick_size": listing.tick,
        "neg_risk": listing.instrument.neg_risk,
        "last_trade_price": plain_e8(listing.book.last_price_e8) if listing.book.last_price_e8 else "",
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return document | {"hash": hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}


def best(listing: Listing, side: Side) -> str:
    """Return the best price of a side; where it is empty, 0 for bids and 1 for asks."""
    level = listing.book.best(side)
    if level is None:
        return "0" if side is Side.BUY else "1"
    return plain_e8(level[0])


def market(exchange: Exchange, instrument: PolymarketInstrument) -> dict[str, Any]:
    """Return a market as ``GET /markets`` shows it."""
    yes, no = exchange.listings[instrument.yes], exchange.listings[instrument.no]
    return {
        "condition_id": instrument.condition_id,
        "question_id": instrument.condition_id,
        "question": instrument.question,
        "market_slug": "lab-market",
        "active": True,
        "closed": False,
        "archived": False,
        "accepting_orders": True,
        "enable_order_book": True,
        "minimum_order_size": float(instrument.min_size),
        "minimum_tick_size": float(yes.tick),
        "neg_risk": instrument.neg_risk,
        "maker_base_fee": 0,
        "taker_base_fee": 0,
        "tokens": [
            {
                "token_id": listing.token_id,
                "outcome": listing.outcome,
                "price": float(best(listing, Side.BUY)),
                "winner": False,
            }
            for listing in (yes, no)
        ],
    }


def short_market(exchange: Exchange, instrument: PolymarketInstrument) -> dict[str, Any]:
    """Return a market as ``GET /clob-markets/<id>`` shows it, with its one-letter names."""
    tick = exchange.listings[instrument.yes].tick
    return {
        "c": instrument.condition_id,
        "t": [{"t": instrument.yes, "o": "Yes"}, {"t": instrument.no, "o": "No"}],
        "mts": float(tick),
        "mos": float(instrument.min_size),
        "nr": instrument.neg_risk,
        "mbf": 0,
        "tbf": 0,
        "fd": {"r": 0.0, "e": 0, "to": True},
        "ao": True,
    }


def page(rows: list[Any]) -> dict[str, Any]:
    """Return rows as the one and last page."""
    return {"data": rows, "next_cursor": END_CURSOR, "limit": 500, "count": len(rows)}
