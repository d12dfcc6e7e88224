"""The exchange itself: wallets, books, the life of every order and the dead-man rule."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count
from typing import Any
from uuid import UUID

from infra.lab.venues.common.book import MARKET_ACCOUNT, Book, Fill, Lasting, Side
from infra.lab.venues.common.clock import VenueClock
from infra.lab.venues.common.events import EventRecord
from infra.lab.venues.common.fixed import SCALE, decimal_e8, multiply_e8, plain_e8
from infra.lab.venues.common.market import Market
from infra.lab.venues.polymarket import eip712
from infra.lab.venues.polymarket.auth import Key
from infra.lab.venues.polymarket.config import PolymarketAccount, PolymarketConfig, PolymarketInstrument
from infra.lab.venues.polymarket.errors import ClobError, bad_payload, bad_token
from infra.lab.venues.polymarket.orders import BASE_UNITS_E8, ClobOrder, ClobTrade, PostedOrder

SIZE_STEP = 10_000
"""Sizes have two decimals: a multiple of this many base units."""

AMOUNT_DECIMALS = {"0.1": 3, "0.01": 4, "0.005": 5, "0.0025": 6, "0.001": 5, "0.0001": 6}
"""How many decimals an amount may have, by the market's tick size."""

COLLATERAL = "COLLATERAL"

REMEMBERED = 20_000
"""Orders that are over, and trades, that still answer to a query."""


@dataclass
class Account:
    """A wallet: what it owns (1e-8, pUSD under COLLATERAL) and its open orders by id."""

    name: str
    address: str
    funder: str
    owned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    open: dict[str, ClobOrder] = field(default_factory=dict)

    def reserved(self, asset: str) -> int:
        """Return what open orders bind of an asset."""
        total = 0
        for order in self.open.values():
            if asset == COLLATERAL and order.side is Side.BUY:
                total += multiply_e8(order.price_e8, order.left_e8)
            elif order.side is Side.SELL and order.token_id == asset:
                total += order.left_e8
        return total


@dataclass
class Listing:
    """One token: its market's rules, its book, and what moves it."""

    instrument: PolymarketInstrument
    token_id: str
    outcome: str
    book: Book[ClobOrder]
    market: Market[ClobOrder]
    tick: str
    last_side: Side = Side.BUY

    @property
    def tick_e8(self) -> int:
        """The tick, in units of 1e-8."""
        return decimal_e8(Decimal(self.tick))


class Exchange:
    """All listings and wallets. ``publish`` gets each user event, ``traded`` each trade of a book."""

    def __init__(
        self,
        config: PolymarketConfig,
        clock: VenueClock,
        record: EventRecord,
        *,
        publish: Callable[[str, str, dict[str, Any]], None],
        traded: Callable[[Listing, Fill[ClobOrder]], None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._record = record
        self._publish = publish
        self._traded = traded
        self._numbers = count(1)
        self.accounts: dict[str, Account] = {}
        self.listings: dict[str, Listing] = {}
        self.orders: dict[str, ClobOrder] = {}
        self.trades: dict[str, ClobTrade] = {}
        self.unsettled: list[ClobTrade] = []
        self._finished: deque[str] = deque()
        for instrument in config.instruments:
            for token_id, outcome in ((instrument.yes, "Yes"), (instrument.no, "No")):
                self._list(instrument, token_id, outcome)
        for account in config.accounts:
            self.add_account(account)

    def _list(self, instrument: PolymarketInstrument, token_id: str, outcome: str) -> None:
        book, tick = Book[ClobOrder](), decimal_e8(Decimal(instrument.tick))
        shape = instrument.market
        if outcome == "No":
            shape = shape.model_copy(update={"mid": 1 - shape.mid})

        def make_order(side: Side, price: int, quantity: int) -> ClobOrder:
            number = next(self._numbers)
            return ClobOrder(
                number,
                MARKET_ACCOUNT,
                side,
                price,
                quantity,
                id="0x" + hashlib.sha256(f"market/{number}".encode()).hexdigest(),
                owner=str(UUID(int=0)),
                maker_address="0x" + "0" * 40,
                token_id=token_id,
                condition_id=instrument.condition_id,
                outcome=outcome,
            )

        market = Market(
            book,
            shape,
            tick_e8=tick,
            lot_e8=SIZE_STEP * BASE_UNITS_E8,
            bounds_e8=(tick, SCALE - tick),
            seed=f"{self._config.seed}/{token_id}",
            make_order=make_order,
        )
        market.replace_ladder()
        self.listings[token_id] = Listing(instrument, token_id, outcome, book, market, instrument.tick)

    def add_account(self, account: PolymarketAccount) -> None:
        """Add a wallet; one that is known keeps what it owns and its orders."""
        address = account.address.lower()
        if address in self.accounts:
            return
        new = Account(account.name, address, (account.funder or account.address).lower())
        new.owned[COLLATERAL] = decimal_e8(account.collateral)
        for token_id in self.listings:
            new.owned[token_id] = decimal_e8(account.shares.get(token_id, account.default_shares))
        self.accounts[address] = new

    def account(self, address: str) -> Account:
        """Return a wallet's account; an unknown wallet gets an empty one, as anybody may come."""
        if address not in self.accounts:
            self.accounts[address] = Account(address, address, address)
        return self.accounts[address]

    def listing(self, token_id: str | None) -> Listing:
        """Return a token's listing; 400 for what is no token id, 404 for an unknown one."""
        if not token_id or not token_id.isdigit():
            raise bad_token()
        listing = self.listings.get(token_id)
        if listing is None:
            raise ClobError(404, "No orderbook exists for the requested token id")
        return listing

    def step(self, listing: Listing) -> None:
        """Move one market, tell who was filled, and let GTD orders expire."""
        self._settle(listing, listing.market.step())
        now = self._clock.seconds()
        for account in self.accounts.values():
            for order in list(account.open.values()):
                if order.token_id == listing.token_id and 0 < order.expiration <= now:
                    self.cancel([order], "expired")

    def settle_ladder(self, listing: Listing) -> None:
        """Put the ladder around a mid that was just set and tell who was filled."""
        self._settle(listing, listing.market.replace_ladder())

    def place(self, key: Key, posted: PostedOrder) -> dict[str, Any]:
        """Check and match one posted order; return the reply, or raise ClobError."""
        account = self.account(key.address)
        listing = self.listing(posted.token_id)
        if posted.owner != key.credentials.api_key:
            raise ClobError(400, "the order owner has to be the owner of the API KEY")
        order_id = self._check_signature(key, account, listing, posted)
        price, lasting = self._check_amounts(order_id, listing, posted), _lasting(posted)
        if order_id in self.orders:
            raise ClobError(400, f"order {order_id} is invalid. Duplicated.")
        self._check_expiration(posted)
        self._check_funds(account, posted, price)
        size = posted.size * BASE_UNITS_E8
        self._check_liquidity(listing, posted, price, size)
        order = ClobOrder(
            next(self._numbers),
            account.address,
            posted.side,
            price,
            size,
            id=order_id,
            owner=posted.owner,
            maker_address=posted.maker,
            token_id=posted.token_id,
            condition_id=listing.instrument.condition_id,
            outcome=listing.outcome,
            order_type=posted.order_type,
            expiration=posted.expiration,
            created_s=self._clock.seconds(),
        )
        return self._accept(account, listing, order, lasting)

    def _check_signature(self, key: Key, account: Account, listing: Listing, posted: PostedOrder) -> str:
        if posted.signature_type not in {0, 1, 2}:
            raise ClobError(400, "Invalid order payload: signature type 3 (POLY_1271) is not simulated")
        if posted.signer.lower() != key.address:
            raise ClobError(400, "the order signer address has to be the address of the API KEY")
        expected = account.address if posted.signature_type == 0 else account.funder
        if posted.maker.lower() != expected:
            raise ClobError(400, "maker address not allowed, please use the deposit wallet flow")
        try:
            digest = eip712.order_digest(
                self._config.chain_id, posted.struct(), neg_risk=listing.instrument.neg_risk
            )
            good = eip712.signer(digest, posted.signature) == key.address
        except eip712.SignatureError:
            good = False
        if not good:
            raise ClobError(400, "invalid signature")
        return "0x" + digest.hex()

    def _check_amounts(self, order_id: str, listing: Listing, posted: PostedOrder) -> int:
        """Return the price (1e-8) after the rules on decimals, tick and least size."""
        if not posted.size or not posted.money:
            raise bad_payload()
        unit = 10 ** (6 - AMOUNT_DECIMALS[listing.tick])
        tick = Decimal(listing.tick)
        price = posted.price
        at_market = posted.order_type in {"FOK", "FAK"}
        decimals = AMOUNT_DECIMALS[listing.tick]
        if at_market and posted.side is Side.BUY:
            if posted.money % SIZE_STEP or posted.size % unit:
                text = "the market buy orders maker amount supports a max accuracy of 2 decimals"
                raise ClobError(400, f"invalid amounts, {text}, taker amount a max of {decimals} decimals")
        elif posted.size % SIZE_STEP or posted.money % unit:
            text = f"sizes support a max accuracy of 2 decimals, amounts of {decimals}"
            raise ClobError(400, f"invalid amounts, {text}")
        nearest = (price / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick
        slack = tick / 100 if at_market else Decimal(0)
        if abs(price - nearest) > slack or not tick <= nearest <= 1 - tick:
            text = f"Price ({price:f}) breaks minimum tick size rule: {listing.tick}"
            raise ClobError(400, f"order {order_id} is invalid. {text}")
        least = listing.instrument.min_size
        if not at_market and posted.size < least * 1_000_000:
            size = plain_e8(posted.size * BASE_UNITS_E8)
            text = f"order {order_id} is invalid. Size ({size}) lower than the minimum: {least}"
            raise ClobError(400, text)
        return decimal_e8(nearest)

    def _check_expiration(self, posted: PostedOrder) -> None:
        least = self._clock.seconds() + self._config.gtd_min_s
        if (posted.order_type == "GTD") != bool(posted.expiration) or 0 < posted.expiration < least:
            raise ClobError(400, "invalid expiration")

    @staticmethod
    def _check_funds(account: Account, posted: PostedOrder, price: int) -> None:
        size = posted.size * BASE_UNITS_E8
        asset, need = (
            (COLLATERAL, multiply_e8(price, size)) if posted.side is Side.BUY else (posted.token_id, size)
        )
        if account.owned[asset] - account.reserved(asset) < need:
            raise ClobError(400, "not enough balance / allowance")

    @staticmethod
    def _check_liquidity(listing: Listing, posted: PostedOrder, price: int, size: int) -> None:
        book = listing.book
        if posted.post_only:
            if posted.order_type in {"FOK", "FAK"}:
                raise bad_payload()
            if book.would_cross(posted.side, price):
                raise ClobError(400, "invalid post-only order: order crosses book")
        if posted.order_type == "FOK" and book.available(posted.side, price) < size:
            raise ClobError(400, "order couldn't be fully filled. FOK orders are fully filled or killed.")
        if posted.order_type == "FAK" and not book.would_cross(posted.side, price):
            text = "FAK orders are partially filled or killed if no match is found."
            raise ClobError(400, f"no orders found to match with FAK order. {text}")

    def _accept(
        self, account: Account, listing: Listing, order: ClobOrder, lasting: Lasting
    ) -> dict[str, Any]:
        self.orders[order.id] = account.open[order.id] = order
        self._record.record(
            "new",
            account.name,
            order.id,
            venue_id=order.id,
            symbol=order.token_id,
            side=order.side.value,
            price=plain_e8(order.price_e8),
            quantity=plain_e8(order.quantity_e8),
        )
        self._record.opened(account.name)
        self._publish(account.address, order.condition_id, order.event("PLACEMENT", self._clock.ms()))
        fills = listing.book.place(order, lasting)
        trade = self._settle(listing, fills)
        if order.left_e8 and order not in listing.book:
            self._end(account, order)
            order.status = "MATCHED" if order.filled_e8 else "CANCELED"
            if order.filled_e8:
                self._record.record(
                    "expire", account.name, order.id, venue_id=order.id, left=plain_e8(order.left_e8)
                )
        reply: dict[str, Any] = {
            "errorMsg": "",
            "orderID": order.id,
            "takingAmount": "",
            "makingAmount": "",
            "status": "live",
        }
        reply |= {"success": True, "transactionsHashes": [], "tradeIDs": []}
        if trade is not None:
            shares, money = plain_e8(order.filled_e8), plain_e8(order.spent_e8)
            bought = order.side is Side.BUY
            reply |= {
                "status": "matched",
                "takingAmount": shares if bought else money,
                "makingAmount": money if bought else shares,
                "transactionsHashes": [trade.transaction_hash] if trade.hash_known else [],
                "tradeIDs": [trade.id],
            }
        return reply

    def _settle(self, listing: Listing, fills: Sequence[Fill[ClobOrder]]) -> ClobTrade | None:
        """Book the fills of one or more takers; return the last taker's trade."""
        trade: ClobTrade | None = None
        groups: dict[int, list[Fill[ClobOrder]]] = defaultdict(list)
        for fill in fills:
            listing.last_side = fill.taker.side
            self._traded(listing, fill)
            groups[fill.taker.number].append(fill)
        for group in groups.values():
            parties = {order.account for fill in group for order in (fill.maker, fill.taker)}
            if parties != {MARKET_ACCOUNT}:
                trade = self._book_trade(group)
        return trade

    def _book_trade(self, group: list[Fill[ClobOrder]]) -> ClobTrade:
        now, taker = self._clock.seconds(), group[0].taker
        name = f"{self._config.seed}/{taker.id}/{group[0].trade}"
        trade = ClobTrade(
            id=str(UUID(bytes=hashlib.md5(name.encode(), usedforsecurity=False).digest())),
            taker=taker,
            fills=[(fill.maker, fill.price_e8, fill.quantity_e8) for fill in group],
            matched_s=now,
            updated_s=now,
            matched_mono_ms=time.monotonic_ns() // 1_000_000,
            transaction_hash="0x" + hashlib.sha256(name.encode()).hexdigest(),
            hash_known=self._config.settlement.hash_in_reply,
        )
        self.trades[trade.id] = trade
        self.unsettled.append(trade)
        if len(self.trades) > REMEMBERED:
            del self.trades[next(iter(self.trades))]
        for fill in group:
            for order in (fill.maker, fill.taker):
                if order.account != MARKET_ACCOUNT:
                    order.booked_e8 += fill.quantity_e8
                    self._fill(order, fill, trade, final=order.booked_e8 == order.quantity_e8)
        for order in {id(order): order for fill in group for order in (fill.maker, fill.taker)}.values():
            if order.account != MARKET_ACCOUNT:
                event = order.event("UPDATE", self._clock.ms())
                self._publish(order.account, order.condition_id, event)
        self.publish_trade(trade)
        return trade

    def _fill(self, order: ClobOrder, fill: Fill[ClobOrder], trade: ClobTrade, *, final: bool) -> None:
        account = self.accounts[order.account]
        value = multiply_e8(fill.price_e8, fill.quantity_e8)
        sign = 1 if order.side is Side.BUY else -1
        account.owned[order.token_id] += sign * fill.quantity_e8
        account.owned[COLLATERAL] -= sign * value
        if trade.id not in order.trades:
            order.trades.append(trade.id)
        self._record.record(
            "fill",
            account.name,
            order.id,
            venue_id=order.id,
            trade_id=trade.id,
            symbol=order.token_id,
            side=order.side.value,
            price=plain_e8(fill.price_e8),
            quantity=plain_e8(fill.quantity_e8),
            maker=order is fill.maker,
            final=final,
        )
        if final:
            order.status = "MATCHED"
            self._end(account, order)

    def publish_trade(self, trade: ClobTrade) -> None:
        """Tell everyone who took part of the trade's present state."""
        for address in trade.accounts() - {MARKET_ACCOUNT}:
            self._publish(address, trade.taker.condition_id, trade.event(address, self._clock.ms()))

    def _end(self, account: Account, order: ClobOrder) -> None:
        del account.open[order.id]
        self._record.closed(account.name)
        self._finished.append(order.id)
        if len(self._finished) > REMEMBERED:
            del self.orders[self._finished.popleft()]

    def cancel(self, orders: Iterable[ClobOrder], reason: str) -> list[str]:
        """Cancel resting orders; return their ids."""
        canceled = []
        for order in orders:
            account = self.accounts[order.account]
            self.listings[order.token_id].book.cancel(order)
            order.status = "CANCELED"
            self._record.record(
                "cancel",
                account.name,
                order.id,
                venue_id=order.id,
                left=plain_e8(order.left_e8),
                reason=reason,
            )
            self._end(account, order)
            self._publish(order.account, order.condition_id, order.event("CANCELLATION", self._clock.ms()))
            canceled.append(order.id)
        return canceled


def _lasting(posted: PostedOrder) -> Lasting:
    return {"GTC": Lasting.GTC, "GTD": Lasting.GTC, "FOK": Lasting.FOK, "FAK": Lasting.IOC}[posted.order_type]
