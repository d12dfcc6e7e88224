"""The exchange itself: accounts, balances, books and the life of every order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

from infra.lab.venues.binance import errors
from infra.lab.venues.binance.config import BinanceAccount, BinanceConfig, BinanceInstrument
from infra.lab.venues.binance.limits import RateLimits
from infra.lab.venues.binance.orders import SpotOrder, Trade
from infra.lab.venues.binance.rules import Rules
from infra.lab.venues.common.book import MARKET_ACCOUNT, Book, Fill, Lasting, Side, WouldCrossError
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.fixed import SCALE, decimal_e8, format_e8, multiply_e8
from infra.lab.venues.common.market import Market

REMEMBERED_ORDERS = 20_000
"""Orders that are over and still answer to a query, over all accounts."""


@dataclass
class Balance:
    """What an account has of one asset, in units of 1e-8."""

    free: int = 0
    locked: int = 0


@dataclass
class Account:
    """An account: balances, open orders by number, and its orders by client id (the newest of each)."""

    name: str
    balances: dict[str, Balance] = field(default_factory=lambda: defaultdict(Balance))
    open: dict[int, SpotOrder] = field(default_factory=dict)
    by_client_id: dict[str, SpotOrder] = field(default_factory=dict)
    updated_ms: int = 0

    def position(self, assets: Sequence[str], now_ms: int) -> dict[str, Any]:
        """Return the ``outboundAccountPosition`` event for some assets."""
        return {
            "e": "outboundAccountPosition",
            "E": now_ms,
            "u": now_ms,
            "B": [
                {
                    "a": asset,
                    "f": format_e8(self.balances[asset].free),
                    "l": format_e8(self.balances[asset].locked),
                }
                for asset in assets
            ],
        }


@dataclass
class Listing:
    """One symbol: rules, book, and the market that moves it."""

    rules: Rules
    book: Book[SpotOrder]
    market: Market[SpotOrder]

    @property
    def instrument(self) -> BinanceInstrument:
        """The symbol's configuration."""
        return self.rules.instrument

    def reference(self) -> int:
        """Return the last price, or the mid before any trade."""
        return self.book.last_price_e8 or self.market.mid_e8


class Exchange:
    """All listings and accounts. ``publish`` gets every user data event, ``traded`` every trade."""

    def __init__(
        self,
        config: BinanceConfig,
        clock: VenueClock,
        record: EventRecord,
        *,
        limits: RateLimits,
        publish: Callable[[str, dict[str, Any]], None],
        traded: Callable[[str, Fill[SpotOrder]], None],
    ) -> None:
        self._clock = clock
        self._record = record
        self._limits = limits
        self._publish = publish
        self._traded = traded
        self._numbers = count(1)
        self._executions = count(1)
        self._fees = {True: config.maker_fee, False: config.taker_fee}
        self._orders: dict[int, SpotOrder] = {}
        self._finished: deque[int] = deque()
        self.accounts: dict[str, Account] = {}
        self.listings: dict[str, Listing] = {}
        for instrument in config.instruments:
            self._list(instrument, config.seed)
        for account in config.accounts:
            self.add_account(account)

    def _list(self, instrument: BinanceInstrument, seed: int) -> None:
        rules, book = Rules(instrument), Book[SpotOrder]()

        def make_order(side: Side, price: int, quantity: int) -> SpotOrder:
            return SpotOrder(
                next(self._numbers), MARKET_ACCOUNT, side, price, quantity, symbol=instrument.symbol
            )

        market = Market(
            book,
            instrument.market,
            tick_e8=rules.tick,
            lot_e8=rules.lot,
            bounds_e8=(rules.min_price, rules.max_price),
            seed=f"{seed}/{instrument.symbol}",
            make_order=make_order,
        )
        market.replace_ladder()
        self.listings[instrument.symbol] = Listing(rules, book, market)

    def add_account(self, account: BinanceAccount) -> None:
        """Add an account; one that is known keeps its balances and orders."""
        if account.name not in self.accounts:
            new = self.accounts[account.name] = Account(account.name)
            for asset, amount in account.balances.items():
                new.balances[asset].free = decimal_e8(amount)

    def listing(self, symbol: str) -> Listing:
        """Return a symbol's listing; -1121 if there is none."""
        listing = self.listings.get(symbol)
        if listing is None:
            raise errors.ApiError(400, -1121, "Invalid symbol.")
        return listing

    def step(self, listing: Listing) -> None:
        """Move one market and tell who was filled."""
        self._settle(listing, listing.market.step())

    def settle_ladder(self, listing: Listing) -> None:
        """Put the ladder around a mid that was just set and tell who was filled."""
        self._settle(listing, listing.market.replace_ladder())

    def place(
        self,
        account: Account,
        listing: Listing,
        *,
        side: Side,
        kind: str,
        time_in_force: str,
        price_e8: int,
        quantity_e8: int,
        quote_quantity_e8: int,
        client_id: str | None,
        test: bool,
    ) -> SpotOrder:
        """Check and match one order; ApiError if it is refused. ``test`` checks only."""
        instrument, book, at_market = listing.instrument, listing.book, kind == "MARKET"
        open_here = sum(order.symbol == instrument.symbol for order in account.open.values())
        if at_market:
            if quote_quantity_e8:
                quantity_e8 = book.quantity_for(side, quote_quantity_e8)
                quantity_e8 -= quantity_e8 % listing.rules.lot
            listing.rules.check_market(quantity_e8, reference=listing.reference(), open_orders=open_here)
        else:
            listing.rules.check_limit(
                price_e8, quantity_e8, reference=listing.reference(), open_orders=open_here
            )
        if (
            client_id is not None
            and (known := account.by_client_id.get(client_id))
            and known.number in account.open
        ):
            raise errors.order_refused("Duplicate order sent.")
        self._check_funds(account, listing, side, price_e8, quantity_e8, at_market=at_market)
        if kind == "LIMIT_MAKER" and book.would_cross(side, price_e8):
            raise errors.order_refused("Order would immediately match and take.")
        now = self._clock.ms()
        order = SpotOrder(
            next(self._numbers),
            account.name,
            side,
            price_e8,
            quantity_e8,
            symbol=instrument.symbol,
            client_id=client_id or uuid4().hex[:22],
            kind=kind,
            time_in_force=time_in_force,
            quote_quantity_e8=quote_quantity_e8,
            placed_ms=now,
            updated_ms=now,
        )
        if not test:
            self._accept(account, listing, order, at_market=at_market)
        return order

    def _check_funds(
        self,
        account: Account,
        listing: Listing,
        side: Side,
        price_e8: int,
        quantity_e8: int,
        *,
        at_market: bool,
    ) -> None:
        instrument = listing.instrument
        if side is Side.SELL:
            asset, need = instrument.base, quantity_e8
        else:
            best = listing.book.best(Side.SELL)
            price = (best[0] if best else listing.reference()) if at_market else price_e8
            asset, need = instrument.quote, multiply_e8(price, quantity_e8)
        if account.balances[asset].free < need:
            raise errors.order_refused("Account has insufficient balance for requested action.")

    def _accept(self, account: Account, listing: Listing, order: SpotOrder, *, at_market: bool) -> None:
        self._limits.order_placed(account.name)
        self._orders[order.number] = order
        account.open[order.number] = order
        account.by_client_id[order.client_id] = order
        self._lock(account, order, order.quantity_e8, at_market=at_market)
        self._record.record(
            "new",
            account.name,
            order.client_id,
            venue_id=str(order.number),
            symbol=order.symbol,
            side=order.side.value,
            price=format_e8(order.price_e8),
            quantity=format_e8(order.quantity_e8),
        )
        self._record.opened(account.name)
        self._publish(account.name, order.report("NEW", next(self._executions), on_book=not at_market))
        try:
            fills = listing.book.place(
                order,
                Lasting(order.time_in_force),
                post_only=order.kind == "LIMIT_MAKER",
                at_market=at_market,
            )
        except WouldCrossError:
            raise errors.order_refused("Order would immediately match and take.") from None
        self._settle(listing, fills)
        if order.left_e8 and order not in listing.book:
            reason = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}
            self._expire(
                account, order, "INSUFFICIENT_LIQUIDITY" if at_market else reason[order.time_in_force]
            )
        self._publish(account.name, account.position(self._assets(listing), self._clock.ms()))

    @staticmethod
    def _assets(listing: Listing) -> tuple[str, str]:
        return listing.instrument.base, listing.instrument.quote

    def _lock(self, account: Account, order: SpotOrder, quantity_e8: int, *, at_market: bool) -> None:
        if at_market:
            return
        instrument = self.listings[order.symbol].instrument
        asset = instrument.base if order.side is Side.SELL else instrument.quote
        amount = quantity_e8 if order.side is Side.SELL else order.price_e8 * quantity_e8 // SCALE
        account.balances[asset].free -= amount
        account.balances[asset].locked += amount

    def _settle(self, listing: Listing, fills: Sequence[Fill[SpotOrder]]) -> None:
        for fill in fills:
            self._traded(listing.instrument.symbol, fill)
            for order in (fill.maker, fill.taker):
                if order.account != MARKET_ACCOUNT:
                    self._settle_one(listing, order, fill, maker=order is fill.maker)
        for name in {fill.maker.account for fill in fills} - {MARKET_ACCOUNT}:
            self._publish(name, self.accounts[name].position(self._assets(listing), self._clock.ms()))

    def _settle_one(self, listing: Listing, order: SpotOrder, fill: Fill[SpotOrder], *, maker: bool) -> None:
        account, (base, quote) = self.accounts[order.account], self._assets(listing)
        self._lock(account, order, -fill.quantity_e8, at_market=order.kind == "MARKET")
        value = multiply_e8(fill.price_e8, fill.quantity_e8)
        got_asset, got = (base, fill.quantity_e8) if order.side is Side.BUY else (quote, value)
        gave_asset, gave = (quote, value) if order.side is Side.BUY else (base, fill.quantity_e8)
        fee = int(Decimal(got) * self._fees[maker])
        account.balances[gave_asset].free -= gave
        account.balances[got_asset].free += got - fee
        order.updated_ms = account.updated_ms = self._clock.ms()
        trade = Trade(
            fill.trade, fill.price_e8, fill.quantity_e8, fee, got_asset, maker=maker, time_ms=order.updated_ms
        )
        order.trades.append(trade)
        if len(order.trades) == 1:
            self._limits.order_traded(account.name)
        filled = sum(one.quantity_e8 for one in order.trades)
        spent = sum(multiply_e8(one.price_e8, one.quantity_e8) for one in order.trades)
        final = filled == order.quantity_e8
        order.status = "FILLED" if final else "PARTIALLY_FILLED"
        self._record.record(
            "fill",
            account.name,
            order.client_id,
            venue_id=str(order.number),
            symbol=order.symbol,
            side=order.side.value,
            price=format_e8(fill.price_e8),
            quantity=format_e8(fill.quantity_e8),
            maker=maker,
            final=final,
        )
        if final:
            self._finish(account, order)
        self._publish(
            account.name,
            order.report(
                "TRADE",
                next(self._executions),
                trade=trade,
                on_book=maker and not final,
                filled_e8=filled,
                spent_e8=spent,
            ),
        )

    def _finish(self, account: Account, order: SpotOrder) -> None:
        del account.open[order.number]
        self._record.closed(account.name)
        self._finished.append(order.number)
        if len(self._finished) > REMEMBERED_ORDERS:
            old = self._orders.pop(self._finished.popleft())
            by_client_id = self.accounts[old.account].by_client_id
            if by_client_id.get(old.client_id) is old:
                del by_client_id[old.client_id]

    def _expire(self, account: Account, order: SpotOrder, reason: str) -> None:
        self._lock(account, order, -order.left_e8, at_market=order.kind == "MARKET")
        order.status = "EXPIRED"
        order.updated_ms = self._clock.ms()
        self._record.record(
            "expire", account.name, order.client_id, venue_id=str(order.number), reason=reason
        )
        self._finish(account, order)
        self._publish(account.name, order.report("EXPIRED", next(self._executions), expiry_reason=reason))

    def cancel(self, account: Account, order: SpotOrder, new_client_id: str | None = None) -> dict[str, Any]:
        """Cancel a resting order and return the reply."""
        listing, original = self.listings[order.symbol], order.client_id
        listing.book.cancel(order)
        self._lock(account, order, -order.left_e8, at_market=False)
        order.status = "CANCELED"
        order.updated_ms = account.updated_ms = self._clock.ms()
        new_id = new_client_id or uuid4().hex[:22]
        reply = order.canceled(new_id)
        self._record.record(
            "cancel", account.name, original, venue_id=str(order.number), left=format_e8(order.left_e8)
        )
        self._finish(account, order)
        report = order.report("CANCELED", next(self._executions), original_client_id=original)
        self._publish(account.name, report | {"c": new_id})
        self._publish(account.name, account.position(self._assets(listing), self._clock.ms()))
        return reply

    def find(
        self, account: Account, symbol: str, number: int | None, client_id: str | None
    ) -> SpotOrder | None:
        """Return the account's order with this number or client id (both must fit), or None."""
        order = self._orders.get(number) if number is not None else account.by_client_id.get(client_id or "")
        fits = order is not None and order.account == account.name and order.symbol == symbol
        if order is None or not fits or (client_id is not None and order.client_id != client_id):
            return None
        return order

    def open_orders(self, account: Account, symbol: str | None) -> list[SpotOrder]:
        """Return the account's open orders, of one symbol or of all, oldest first."""
        return [order for order in account.open.values() if symbol in {None, order.symbol}]

    def fees(self) -> tuple[Decimal, Decimal]:
        """Maker's and taker's fee, as a share of what they receive."""
        return self._fees[True], self._fees[False]
