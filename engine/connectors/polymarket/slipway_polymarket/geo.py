"""Whether the venue lets us trade from where this host is. Asked at start; the answer is the venue's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from . import messages
from .errors import RefusedError, VenueError

if TYPE_CHECKING:
    import ssl

TIMEOUT = aiohttp.ClientTimeout(total=10)


async def ask(url: str, tls: ssl.SSLContext) -> messages.Geo:
    """Ask the geoblock endpoint; VenueError where it does not answer."""
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http, http.get(url, ssl=tls) as reply:
            content = await reply.read()
            if reply.status != 200:
                text, wait = messages.error_text(content)
                raise VenueError(reply.status, f"{url}: {text}", wait)
            return messages.geo(messages.loads(content))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise VenueError(0, f"{url}: {type(error).__name__}: {error}") from error


def check(geo: messages.Geo) -> None:
    """Raise RefusedError where the venue does not let this address trade."""
    if geo.blocked:
        raise RefusedError(
            f"geoblocked: {geo.ip or 'this address'} in {geo.country or '?'} {geo.region}".rstrip()
        )
