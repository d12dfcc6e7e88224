"""sd_notify(3) in a few lines: one datagram to $NOTIFY_SOCKET, nothing where there is none."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Send ``READY=1``, ``WATCHDOG=1`` or ``STATUS=…`` to the service manager."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(message.encode())


def watchdog_interval_s() -> float | None:
    """Return half of the unit's WatchdogSec, where the service manager watches us."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 2e6
