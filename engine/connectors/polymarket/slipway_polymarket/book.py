"""The best bid and ask of one market, kept from the channel's books and level changes."""

from __future__ import annotations

from .fixed import SCALE
from .messages import Book, LevelChange
from .wire import Side

EMPTY = (0, 0)


class TopOfBook:
    """One market's book. Not valid until the first whole book, nor after a gap."""

    def __init__(self) -> None:
        self.valid = False
        self._levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._best: dict[Side, int] = {Side.BUY: 0, Side.SELL: 0}

    def replace(self, book: Book) -> None:
        """Take a whole book."""
        self._levels = {
            side: {price: size for price, size in levels if size}
            for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks))
        }
        self._best = {side: self._search(side) for side in Side}
        self.valid = True

    def change(self, change: LevelChange) -> None:
        """Take one level's new size."""
        levels, price = self._levels[change.side], change.price_e8
        best = self._best[change.side]
        if change.size_e8:
            levels[price] = change.size_e8
            ahead = price > best if change.side == Side.BUY else price < best
            if ahead or not best:
                self._best[change.side] = price
        elif levels.pop(price, None) is not None and price == best:
            self._best[change.side] = self._search(change.side)

    def agrees(self, change: LevelChange) -> bool:
        """Whether our best prices are those that the venue gave with its last change."""
        return self._agrees(Side.BUY, change.best_bid_e8, 0) and self._agrees(
            Side.SELL, change.best_ask_e8, SCALE
        )

    def invalidate(self) -> None:
        """Say that messages may have been missed: the book counts for nothing until the next whole one."""
        self.valid = False

    @property
    def bid(self) -> tuple[int, int]:
        """Best bid as (price, size) in 1e-8; (0, 0) for none."""
        return self._top(Side.BUY)

    @property
    def ask(self) -> tuple[int, int]:
        """Best ask as (price, size) in 1e-8; (0, 0) for none."""
        return self._top(Side.SELL)

    def _top(self, side: Side) -> tuple[int, int]:
        best = self._best[side]
        return (best, self._levels[side][best]) if best else EMPTY

    def _search(self, side: Side) -> int:
        levels = self._levels[side]
        if not levels:
            return 0
        return max(levels) if side == Side.BUY else min(levels)

    def _agrees(self, side: Side, said: int | None, none: int) -> bool:
        return said is None or said == (self._best[side] or none) or (said == 0 and not self._best[side])
