"""A far network: SSH to the lab's hosts with a round-trip time, in user space (this needs no netem).

``python -m tests.bench.delay --rtt-ms 100 DIRECTORY NAME=ADDRESS…`` listens on ``DIRECTORY/NAME`` (unix
sockets, so it can run in the router's network namespace and be reached from outside) and carries each
connection to port 22 of ADDRESS. Making the connection costs one round trip, as TCP's handshake does;
afterwards every byte is late by half of one, in each direction.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

BLOCK = 1 << 16


async def late(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay_s: float) -> None:
    """Carry bytes from source to sink, each ``delay_s`` after it came; the end of stream is late too."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)

    async def deliver() -> None:
        while True:
            due, block = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not block:
                break
            sink.write(block)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    delivering = asyncio.create_task(deliver())
    try:
        while True:
            block = await source.read(BLOCK)
            await under_way.put((loop.time() + delay_s, block))
            if not block:
                break
        await delivering
    finally:
        delivering.cancel()


async def carry(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], address: str, port: int, rtt_s: float
) -> None:
    """Carry one connection to ``address``."""
    near_source, near_sink = near
    far_sink = None
    try:
        await asyncio.sleep(rtt_s)
        far_source, far_sink = await asyncio.open_connection(address, port)
        await asyncio.gather(late(near_source, far_sink, rtt_s / 2), late(far_source, near_sink, rtt_s / 2))
    except OSError:
        return  # either side is gone; closing both tells the other
    finally:
        near_sink.close()
        if far_sink is not None:
            far_sink.close()


async def serve(directory: Path, hosts: dict[str, str], rtt_s: float, port: int = 22) -> None:
    """Listen for every host until cancelled; prints READY when all sockets are there."""
    servers = []
    for name, address in hosts.items():

        async def accept(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, address: str = address
        ) -> None:
            await carry((source, sink), address, port, rtt_s)

        servers.append(await asyncio.start_unix_server(accept, directory / name))
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt-ms", type=float, required=True)
    parser.add_argument("directory", type=Path)
    parser.add_argument("hosts", nargs="+", metavar="NAME=ADDRESS")
    given = parser.parse_args()
    hosts = dict(item.split("=", 1) for item in given.hosts)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.directory, hosts, given.rtt_ms / 1e3))


if __name__ == "__main__":
    main()
