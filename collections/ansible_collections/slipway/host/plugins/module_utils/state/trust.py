"""Certificate authorities that the host's programs trust beside the distribution's own."""

from __future__ import annotations

import os

from .files import beside, remove_file, write_beside
from .plan import Change, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "/usr/local/share/ca-certificates"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PREFIX = "slipway-"


def plan_trust(plan: Plan, anchors: list[dict[str, Any]]) -> None:
    """Plan the trust anchors ``{name, pem}``; anchors of ours that are no longer named are withdrawn.

    What counts is the bundle that programs read, so a store that was not rebuilt is seen and rebuilt.
    """
    host = plan.host
    wanted = {f"{FOLDER}/{PREFIX}{anchor['name']}.crt": anchor["pem"].strip() + "\n" for anchor in anchors}
    try:
        present = [f"{FOLDER}/{name}" for name in os.listdir(host.path(FOLDER)) if name.startswith(PREFIX)]
    except FileNotFoundError:
        present = []
    stale = sorted(set(present) - set(wanted))
    try:
        bundle = host.read(BUNDLE).decode("utf-8", "replace")
    except FileNotFoundError:
        bundle = ""
    wrong = [path for path, pem in wanted.items() if _content(plan, path) != pem or pem not in bundle]
    if not wrong and not stale:
        return

    def act() -> None:
        os.makedirs(host.path(FOLDER), 0o755, exist_ok=True)
        for path in wrong:
            os.replace(
                host.path(write_beside(host, path, wanted[path].encode(), (0, 0), 0o644)), host.path(path)
            )
        for path in stale:
            remove_file(host, path)
            remove_file(host, beside(path))
        host.checkpoint()
        host.must("update-ca-certificates", *(["--fresh"] if stale else []))
        host.checkpoint()

    before = "".join(f"{path}\n" for path in sorted(set(present) - set(wrong)))
    after = "".join(f"{path}\n" for path in sorted(wanted))
    names = ", ".join(path.rpartition("/")[2] for path in wrong + stale)
    plan.changes.append(Change("trust", names, "rebuild the store", act, before=before, after=after))


def _content(plan: Plan, path: str) -> str | None:
    try:
        return plan.host.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
