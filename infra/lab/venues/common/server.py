"""Listeners, the READY line and the clean end of a simulator."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from aiohttp import web

from infra.lab.venues.common.config import ConfigError, ServerConfig, load


class Simulator(Protocol):
    """What ``serve`` needs of a venue."""

    name: str

    def public(self) -> web.Application:
        """Return the venue as clients see it."""

    def admin(self) -> web.Application:
        """Return the lab's view of it, served on a unix socket."""

    async def run(self) -> None:
        """Everything that moves by itself; cancelled at the end."""

    def stop(self) -> None:
        """Close the clients' sockets."""


async def serve(simulator: Simulator, config: ServerConfig) -> None:
    """Listen, print ``READY {json}`` on standard output, and serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)

    public = web.AppRunner(simulator.public(), access_log=None, shutdown_timeout=2)
    admin = web.AppRunner(simulator.admin(), access_log=None, shutdown_timeout=2)
    await public.setup()
    await admin.setup()
    background: asyncio.Task[None] | None = None
    try:
        listening = [await _listen(public, config, index) for index in range(len(config.listen))]
        config.admin_socket.unlink(missing_ok=True)
        await web.UnixSite(admin, str(config.admin_socket)).start()
        config.admin_socket.chmod(0o600)
        background = asyncio.create_task(simulator.run())
        ready = {
            "venue": simulator.name,
            "pid": os.getpid(),
            "listen": listening,
            "admin_socket": str(config.admin_socket),
        }
        sys.stdout.write(f"READY {json.dumps(ready)}\n")
        sys.stdout.flush()
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({stopped, background}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if background.done():
            background.result()
    finally:
        if background is not None:
            background.cancel()
        simulator.stop()
        await public.cleanup()
        await admin.cleanup()
        config.admin_socket.unlink(missing_ok=True)


async def _listen(runner: web.AppRunner, config: ServerConfig, index: int) -> dict[str, object]:
    entry = config.listen[index]
    context = None
    if entry.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(config.certificate), str(config.key))
    before = len(runner.addresses)
    await web.TCPSite(runner, str(entry.address), entry.port, ssl_context=context).start()
    address = runner.addresses[before]
    return {"address": address[0], "port": address[1], "tls": entry.tls}


C = TypeVar("C", bound=ServerConfig)


def main(name: str, model: type[C], build: Callable[[C], Simulator]) -> int:
    """Command line of a simulator: ``--config FILE``. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m infra.lab.venues.{name}", description=f"{name} simulator"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="JSON file (see config.py beside this module)"
    )
    arguments = parser.parse_args()
    try:
        config = load(arguments.config, model)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    async def begin() -> None:
        await serve(build(config), config)

    try:
        asyncio.run(begin())
    except OSError as error:
        listeners = ", ".join(f"{entry.address}:{entry.port}" for entry in config.listen)
        sys.stderr.write(f"{name} simulator cannot listen on {listeners}: {error}\n")
        return 1
    return 0
