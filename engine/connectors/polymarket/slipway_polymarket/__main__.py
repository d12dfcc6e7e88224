"""``python -m slipway_polymarket --config FILE [--check-config]``: the connector's process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from . import __version__, config, credentials, geo
from .notify import notify, watchdog_interval_s
from .server import EnginePort, Server, listen
from .session import Session
from .stream import keep_open
from .venue import Venue, system_trust
from .wire import State

DEFAULT_CONFIG = Path("/etc/slipway/connectors/polymarket.json")
LAST_CANCEL_S = 8.0
"""How long a stop may take to cancel everything; the venue's dead-man switch does it otherwise."""

log = logging.getLogger("slipway.polymarket")


async def serve(settings: config.Config, secrets: credentials.Credentials) -> None:
    """Run until SIGTERM or SIGINT, then cancel everything and leave."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tls = system_trust()
    venue = Venue(settings.endpoints.clob, settings.settings, secrets, tls)
    port = EnginePort()
    session = Session(
        settings,
        secrets,
        venue,
        port,
        ask_geo=lambda: geo.ask(settings.endpoints.geoblock, tls),
        keep_open=lambda url, channel: keep_open(url, channel, tls),
        on_state=_say_status,
    )
    log.info("wallet %s, mode %s, %d instruments", venue.address, settings.mode, len(settings.instruments))
    path = Path(settings.socket)
    with contextlib.closing(listen(path)) as listener:
        server = Server(port, session, len(settings.instruments))
        tasks = [
            loop.create_task(work)
            for work in (session.run(), server.serve(listener), _watchdog(), _until(stop))
        ]
        notify("READY=1")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            notify("STOPPING=1")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_CANCEL_S):
                    await session.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            venue.close()
            path.unlink(missing_ok=True)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _watchdog() -> None:
    """Tell systemd that this loop turns: the one that sends orders, cancels and heartbeats."""
    interval = watchdog_interval_s()
    while interval is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
    await asyncio.Event().wait()


def _say_status(state: State, reason: str) -> None:
    notify(f"STATUS={state.name}{': ' + reason if reason else ''}".replace("\n", " "))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 for good, 78 (EX_CONFIG) for a bad configuration or credential."""
    parser = argparse.ArgumentParser(prog="slipway_polymarket", description=__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument(
        "--check-config", action="store_true", help="check FILE and the credentials, touch no network"
    )
    parser.add_argument("--version", action="version", version=f"slipway_polymarket {__version__}")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    for library in ("httpx", "httpcore", "aiohttp", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        settings = config.load(options.config)
        if options.check_config and directory is None:
            sys.stdout.write(f"{options.config}: good (no CREDENTIALS_DIRECTORY, credentials not checked)\n")
            return 0
        secrets = credentials.load(Path(directory) if directory else None)
    except (config.ConfigError, credentials.CredentialError) as error:
        sys.stderr.write(f"{error}\n")
        return 78
    if options.check_config:
        sys.stdout.write(f"{options.config}: good\n")
        return 0
    asyncio.run(serve(settings, secrets))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
