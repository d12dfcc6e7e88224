"""SSH host keys of cloud hosts, read from their consoles, so that the first login trusts no network."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from infra.operate.inventory import InventoryError
from infra.plan.inventory import InventoryHost

if TYPE_CHECKING:
    from collections.abc import Callable

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"


def keys_in(console: str) -> list[str]:
    """Return the public keys that cloud-init printed on a console (the last block, if it booted twice).

    Source of the form: cloud-init's ``cc_keys_to_console``.
    """
    start = console.rfind(_BEGIN)
    end = console.find(_END, start)
    if start < 0 or end < 0:
        return []
    lines = console[start + len(_BEGIN) : end].splitlines()
    return [" ".join(line.split()[:2]) for line in lines if line.strip()]


def from_console(
    name: str,
    host: InventoryHost,
    *,
    timeout_s: float = 300.0,
    client_for: Callable[[str], object] | None = None,
) -> list[str]:
    """Return the host's keys as EC2's console output shows them; waits up to ``timeout_s`` for its boot.

    Raises InventoryError for a host that is not an EC2 instance: its keys are the owner's to give.
    """
    if host.live.instance_id is None:
        raise InventoryError(
            f"host {name}: it is not an EC2 instance, so its SSH host keys must be given by its owner"
        )
    client = (client_for or _ec2)(host.plan.region)
    deadline = time.monotonic() + timeout_s
    while True:
        reply = client.get_console_output(InstanceId=host.live.instance_id)  # type: ignore[attr-defined]
        keys = keys_in(_text(reply.get("Output", "")))
        if keys or time.monotonic() >= deadline:
            return keys
        time.sleep(1.0)


def _ec2(region: str) -> object:
    import boto3  # noqa: PLC0415  slow to import, and needed here alone

    return boto3.client("ec2", region_name=region)


def _text(output: str) -> str:
    # boto3 decodes the base64 of the wire itself; a stand-in may hand it through.
    if _BEGIN in output or not output:
        return output
    try:
        return base64.b64decode(output, validate=True).decode("utf-8", "replace")
    except ValueError:
        return output
