"""The connection to the venue as a whole: what must hold before orders may go.

READY needs all of: allowed to trade from here, known key, clock within bound, whole books, live user
channel, open orders reconciled since that channel opened, heartbeats accepted, no pause asked for.
The first that is missing is the reason that the engine and the operator read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from . import clock, geo
from .desk import CODE_BAD_ORDER, CODE_NOT_READY, Desk, VenueApi
from .errors import MalformedMessageError, RefusedError, VenueError
from .fixed import SCALE, to_e8, to_text
from .heartbeat import Heartbeat
from .market import MarketChannel
from .orders import Order, Orders, Sink
from .user import UserChannel
from .venue import CENT_E8
from .wire import Side, State, Submit, Tif

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from . import messages
    from .config import Config
    from .credentials import Credentials
    from .stream import Channel
    from .venue import Market

log = logging.getLogger("slipway.polymarket")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
CLOCK_EVERY_S = 60.0
PAUSE_S = 2.0
"""How long we hold back where the venue asks for a pause without saying how long."""


class Engine(Sink, Protocol):
    """The engine's side: what it is told beside order reports."""

    def state(self, state: State, reason: str) -> None:
        """Tell the state of the connection."""

    def quote(
        self, instrument: int, bid: tuple[int, int], ask: tuple[int, int], received_mono_ns: int
    ) -> None:
        """Tell a market's best bid and ask."""

    def orphan(self, venue_id: str, instrument: int) -> None:
        """Tell of an open order at the venue that this process did not send."""


class FullVenue(VenueApi, Protocol):
    """The part of venue.Venue that a session needs."""

    async def check_version(self) -> int:
        """Check the order version."""

    async def market(self, symbol: str) -> Market:
        """Read a market's rules."""

    async def time(self) -> tuple[int, int]:
        """Read the venue's clock."""

    async def book(self, symbol: str) -> messages.Book:
        """Read a book."""

    async def heartbeat(self, heartbeat_id: str) -> str:
        """Send a heartbeat."""


class Session:
    """One account at the venue, for one engine at a time. All of it lives in one event loop.

    ``ask_geo`` asks the geoblock endpoint, ``keep_open(url, channel)`` holds a WebSocket open,
    ``on_state`` hears every change of state (for systemd's status line).
    """

    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        venue: FullVenue,
        engine: Engine,
        *,
        ask_geo: Callable[[], Awaitable[messages.Geo]],
        keep_open: Callable[[str, Channel], Coroutine[None, None, None]],
        on_state: Callable[[State, str], None] = lambda _state, _reason: None,
    ) -> None:
        self._config, self._venue, self._engine = config, venue, engine
        self._ask_geo, self._keep_open, self._on_state = ask_geo, keep_open, on_state
        self._markets: list[Market] = []
        self._orders = Orders(engine)
        self._desk = Desk(
            self._orders,
            venue,
            engine,
            spawn=self._spawn,
            on_fault=self._fault,
            is_blind=lambda: self._user.trouble is not None,
        )
        symbols = [instrument.symbol for instrument in config.instruments]
        self._market = MarketChannel(symbols, self._quote, self._update, self._refetch, self._tick_changed)
        self._user = UserChannel(credentials, self._desk.event, self._trade, self._user_changed)
        self._heartbeat = Heartbeat(
            self._post_heartbeat, self._heartbeat_changed, config.settings.heartbeat_s, self._now
        )
        self._preflight_trouble: str | None = "not yet connected"
        self._clock_trouble: str | None = "clock not yet compared with the venue's"
        self._tick_trouble: str | None = None
        self._refusal: str | None = None
        self._paused_until, self._pause_reason = 0.0, ""
        self._reconciled = -1
        self._lapses = 0
        self._may_have_orders = False
        self._engine_here, self._engine_away = asyncio.Event(), asyncio.Event()
        self._retry = asyncio.Event()
        self._stop_serving = asyncio.Event()
        self._dirty = asyncio.Event()
        self._said: tuple[State, str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Connect and stay connected until cancelled; ends with the error of any part that failed."""
        main = self._spawn(self._main())
        try:
            await self._crash
        finally:
            main.cancel()

    def engine_arrived(self) -> None:
        """Serve a new engine: tell it where we are, reconcile for it, try again if we were refused."""
        self._reconciled = -1
        self._said = None
        self._engine_here.set()
        self._engine_away.clear()
        self._retry.set()
        self._dirty.set()
        self._update()
        self._market.replay()

    def engine_left(self) -> None:
        """Cancel all: nobody watches any more. Heartbeats stop too, so the venue does the same on its own."""
        self._engine_here.clear()
        self._engine_away.set()
        if self._may_have_orders:
            self._desk.flatten()
        self._update()

    def submit(self, request: Submit) -> None:
        """Check an order of the engine's and send it."""
        state, reason = self._state()
        if state is not State.READY:
            self._engine.reject(request.client_id, CODE_NOT_READY, f"not ready: {reason}")
            return
        fault = self._fault_of(request)
        if fault:
            self._engine.reject(request.client_id, CODE_BAD_ORDER, fault)
            return
        order = Order(
            request.client_id,
            request.instrument,
            Side(request.side),
            Tif(request.tif),
            request.price_e8,
            request.quantity_e8,
        )
        self._desk.submit(order, self._markets[request.instrument])

    def cancel(self, client_id: int) -> None:
        """Cancel one order."""
        self._desk.cancel(client_id)

    def cancel_all(self) -> None:
        """Cancel everything at the venue, ours or not."""
        self._desk.flatten()
        self._update()

    async def leave(self) -> None:
        """Cancel everything, if anything may be open, and wait until the venue says that nothing is."""
        if self._may_have_orders:
            self._desk.flatten()
        while self._desk.flattening:
            await asyncio.sleep(0.02)

    async def _main(self) -> None:
        while True:
            await self._preflight()
            self._stop_serving.clear()
            endpoints = self._config.endpoints
            parts = [
                asyncio.create_task(part)
                for part in (
                    self._keep_open(endpoints.market_ws, self._market),
                    self._keep_open(endpoints.user_ws, self._user),
                    self._keep_reconciled(),
                    self._keep_beating(),
                    self._keep_time(),
                )
            ]
            stop = asyncio.create_task(self._stop_serving.wait())
            try:
                done, _ = await asyncio.wait([*parts, stop], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*parts, stop):
                    task.cancel()
                await asyncio.gather(*parts, stop, return_exceptions=True)
            self._market.lost("refused")
            self._user.lost("refused")

    async def _preflight(self) -> None:
        """Ask everything that must be known first, until the venue answers all of it and lets us in."""
        wait = FIRST_WAIT_S
        while True:
            self._retry.clear()
            if self._refusal:  # only an engine that comes anew, or a restart, asks again
                await self._retry.wait()
                self._retry.clear()
                self._refusal = None
                self._preflight_trouble = "asking again after a refusal"
                self._update()
            try:
                geo.check(await self._ask_geo())
                await self._venue.check_version()
                self._markets = [
                    await self._rules_of(number) for number in range(len(self._config.instruments))
                ]
                await self._venue.open_orders()  # the cheapest request that proves the API key
            except RefusedError as error:
                self._refuse(str(error))
            except VenueError as error:
                if error.is_refusal:
                    self._refuse(str(error))
                else:
                    self._preflight_trouble = str(error)
                    self._update()
                    await asyncio.sleep(max(wait, error.retry_after_s or 0.0))
            except MalformedMessageError as error:
                self._preflight_trouble = f"the venue's answer is malformed: {error}"
                self._update()
                await asyncio.sleep(wait)
            else:
                self._preflight_trouble = None
                self._update()
                return
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _rules_of(self, number: int) -> Market:
        instrument = self._config.instruments[number]
        market = await self._venue.market(instrument.symbol)
        if instrument.tick_e8 % market.tick_e8:
            raise RefusedError(_tick_text(instrument.symbol, instrument.tick_e8, market.tick_e8))
        return market

    async def _check_clock(self) -> None:
        bound = self._config.settings.clock_bound_ms
        offset = await clock.measure(self._venue.time, bound)
        self._clock_trouble = None
        if not offset.within(bound):
            self._clock_trouble = (
                f"clock differs from the venue's by {offset.middle_ns / 1e6:+.0f} ms, allowed is {bound} ms"
            )

    async def _keep_time(self) -> None:
        while True:
            try:
                await self._check_clock()
            except (VenueError, MalformedMessageError) as error:
                log.warning("clock check failed: %s", error)
            self._update()
            await asyncio.sleep(2.0 if self._clock_trouble else CLOCK_EVERY_S)

    async def _keep_beating(self) -> None:
        while True:
            await self._engine_here.wait()
            beat = asyncio.create_task(self._heartbeat.run())
            away = asyncio.create_task(self._engine_away.wait())
            try:
                done, _ = await asyncio.wait([beat, away], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                beat.cancel()
                away.cancel()
                await asyncio.gather(beat, away, return_exceptions=True)

    async def _keep_reconciled(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._user.trouble:
                continue  # its opening sets the flag again
            opening = self._user.openings
            try:
                strangers = await self._desk.reconcile()
            except (VenueError, MalformedMessageError) as error:
                log.warning("reconcile failed: %s", error)
                if isinstance(error, VenueError):
                    self._fault(error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT_S)
                self._dirty.set()
                continue
            wait = FIRST_WAIT_S
            symbols = [instrument.symbol for instrument in self._config.instruments]
            for order in strangers:
                number = symbols.index(order.asset) if order.asset in symbols else 0xFFFF
                self._engine.orphan(order.venue_id, number)
            self._reconciled = opening
            self._update()

    def _fault_of(self, request: Submit) -> str | None:
        """Check an order against the market's rules; gives what is wrong."""
        if request.instrument >= len(self._markets):
            return f"instrument {request.instrument}, allowed are 0 to {len(self._markets) - 1}"
        if request.side not in (Side.BUY, Side.SELL) or request.tif not in (Tif.GTC, Tif.IOC):
            return f"side {request.side}, tif {request.tif}; allowed are 1 and 2"
        market, lot = self._markets[request.instrument], self._config.instruments[request.instrument].lot_e8
        tick, price = market.tick_e8, request.price_e8
        if not tick <= price <= SCALE - tick or price % tick:
            allowed = f"multiples of {to_text(tick)} from {to_text(tick)} to {to_text(SCALE - tick)}"
            return f"price {to_text(price)}, allowed are {allowed}"
        if request.quantity_e8 <= 0 or request.quantity_e8 % lot:
            return f"quantity {to_text(request.quantity_e8)}, allowed are multiples of {to_text(lot)}"
        if request.price_e8 * request.quantity_e8 < SCALE * CENT_E8:
            return f"value of {to_text(price)} x {to_text(request.quantity_e8)}, allowed is 0.01 and more"
        return None

    def _state(self) -> tuple[State, str]:
        if self._refusal:
            return State.REFUSED, self._refusal
        reasons = (
            self._preflight_trouble,
            self._clock_trouble,
            self._tick_trouble,
            self._pause_reason if self._now() < self._paused_until else None,
            self._market.missing,
            self._user.trouble,
            None if self._reconciled == self._user.openings else "reconciling open orders",
            "cancelling everything" if self._desk.flattening else None,
            self._heartbeat.trouble if self._engine_here.is_set() else "no engine connected",
        )
        for reason in reasons:
            if reason:
                return State.CONNECTING, reason
        return State.READY, ""

    def _update(self) -> None:
        now = self._state()
        if now != self._said:
            self._said = now
            self._may_have_orders |= now[0] is State.READY
            log.info("%s%s", now[0].name, f": {now[1]}" if now[1] else "")
            self._engine.state(*now)
            self._on_state(*now)

    def _refuse(self, reason: str) -> None:
        self._refusal = reason
        self._stop_serving.set()
        self._update()

    def _fault(self, error: VenueError) -> None:
        if error.is_refusal:
            self._refuse(str(error))
        elif error.is_pause:
            wait = error.retry_after_s if error.retry_after_s is not None else PAUSE_S
            self._paused_until = max(self._paused_until, self._now() + wait)
            self._pause_reason = f"the venue asks to wait: {error}"
            self._update()
            asyncio.get_running_loop().call_later(wait + 0.01, self._update)

    def _quote(
        self, instrument: int, bid: tuple[int, int], ask: tuple[int, int], received_mono_ns: int
    ) -> None:
        self._engine.quote(instrument, bid, ask, received_mono_ns)

    def _refetch(self, number: int) -> None:
        self._spawn(self._fetch_book(number))

    async def _fetch_book(self, number: int) -> None:
        wait = FIRST_WAIT_S
        while self._market.needs(number):
            try:
                self._market.fetched(number, await self._venue.book(self._config.instruments[number].symbol))
            except (VenueError, MalformedMessageError) as error:
                log.warning("book of instrument %d: %s", number, error)
                if isinstance(error, VenueError):
                    self._fault(error)
            else:
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_S)

    def _tick_changed(self, number: int, tick: str) -> None:
        instrument = self._config.instruments[number]
        self._markets[number] = type(self._markets[number])(
            instrument.symbol, to_e8(tick), self._markets[number].neg_risk
        )
        wrong = [
            _tick_text(market.symbol, wanted.tick_e8, market.tick_e8)
            for market, wanted in zip(self._markets, self._config.instruments, strict=True)
            if wanted.tick_e8 % market.tick_e8
        ]
        self._tick_trouble = wrong[0] if wrong else None
        self._update()

    def _trade(self, trade: messages.Trade) -> None:
        self._orders.trade(trade)

    def _user_changed(self) -> None:
        self._dirty.set()
        self._update()

    async def _post_heartbeat(self, heartbeat_id: str) -> str:
        try:
            return await self._venue.heartbeat(heartbeat_id)
        except VenueError as error:
            self._fault(error)
            raise

    def _heartbeat_changed(self) -> None:
        if self._heartbeat.lapses != self._lapses:
            self._lapses = self._heartbeat.lapses
            self._reconciled = -1  # the venue has cancelled behind our back
            self._dirty.set()
        self._update()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task; one that ends with an error we did not foresee ends the whole process."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._crash.done():
            self._crash.set_exception(error)
        self._update()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _tick_text(symbol: str, configured_e8: int, found_e8: int) -> str:
    return (
        f"instruments: tick {to_text(configured_e8)} of {symbol[:12]}…, "
        f"allowed are multiples of the venue's {to_text(found_e8)}"
    )
