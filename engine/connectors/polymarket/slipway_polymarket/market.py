"""The market channel: best bid and ask of every instrument, and its gaps."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from .book import TopOfBook
from .messages import Book, LevelChange, TickChange, market_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MarketChannel:
    """Keeps one book an instrument and says each change of its top.

    ``on_quote(instrument, bid, ask, received_mono_ns)`` comes only from a whole book.
    ``on_change()`` comes when the set of valid books changes; ``refetch(instrument)`` asks for a
    whole book over REST, because the channel replays nothing.
    """

    name = "market"

    def __init__(
        self,
        symbols: Sequence[str],
        on_quote: Callable[[int, tuple[int, int], tuple[int, int], int], None],
        on_change: Callable[[], None],
        refetch: Callable[[int], None],
        on_tick: Callable[[int, str], None],
    ) -> None:
        self._symbols = tuple(symbols)
        self._index = {symbol: number for number, symbol in enumerate(symbols)}
        self._books = [TopOfBook() for _ in symbols]
        self._said: list[tuple[tuple[int, int], tuple[int, int]] | None] = [None] * len(symbols)
        self._on_quote, self._on_change, self._refetch, self._on_tick = on_quote, on_change, refetch, on_tick
        self.trouble: str | None = "market stream not yet open"

    def subscription(self) -> str:
        """Subscribe to every instrument, with its book as it stands."""
        return json.dumps({"type": "market", "assets_ids": self._symbols, "initial_dump": True})

    def opened(self) -> None:
        """Count as live; ask for the books that the first dump did not bring."""
        self.trouble = None
        for number, book in enumerate(self._books):
            if not book.valid:
                self._refetch(number)
        self._on_change()

    def lost(self, reason: str) -> None:
        """Believe no book any more."""
        self.trouble = f"market stream lost: {reason}"
        for book in self._books:
            book.invalidate()
        self._said = [None] * len(self._books)
        self._on_change()

    def received(self, text: str) -> None:
        """Apply one frame, then say the new top of each book that it touched."""
        now = time.monotonic_ns()
        touched: dict[int, LevelChange | None] = {}
        for event in market_events(text):
            number = self._index.get(event.asset)
            if number is None:
                continue
            if isinstance(event, TickChange):
                self._on_tick(number, event.tick)
            elif isinstance(event, Book):
                self._take(number, event)
                touched[number] = None
            elif self._books[number].valid:
                self._books[number].change(event)
                touched[number] = event
        for number, last in touched.items():
            if last is None or self._books[number].agrees(last):
                self._say(number, now)
            else:
                self._missed(number)

    def needs(self, number: int) -> bool:
        """Whether a whole book is wanted and could be used."""
        return self.trouble is None and not self._books[number].valid

    def fetched(self, number: int, book: Book) -> None:
        """Take a whole book that came over REST, unless the channel was faster."""
        if self.needs(number):
            self._take(number, book)
            self._say(number, time.monotonic_ns())

    def replay(self) -> None:
        """Say every known top again: to an engine that has just connected."""
        now = time.monotonic_ns()
        for number, book in enumerate(self._books):
            self._said[number] = None
            if book.valid:
                self._say(number, now)

    @property
    def missing(self) -> str | None:
        """Why there is no full market data now, or None."""
        if self.trouble:
            return self.trouble
        absent = [self._symbols[number] for number, book in enumerate(self._books) if not book.valid]
        return f"no book yet of {absent[0]}" if absent else None

    def _take(self, number: int, book: Book) -> None:
        was = self._books[number].valid
        self._books[number].replace(book)
        if not was:
            self._on_change()

    def _missed(self, number: int) -> None:
        """Drop a book whose best prices are not the venue's after a whole frame was applied."""
        self._books[number].invalidate()
        self._on_change()
        self._refetch(number)

    def _say(self, number: int, now: int) -> None:
        book = self._books[number]
        if not book.valid:
            return
        top = (book.bid, book.ask)
        if top != self._said[number]:
            self._said[number] = top
            self._on_quote(number, *top, now)
