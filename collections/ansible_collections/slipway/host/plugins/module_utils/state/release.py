"""Which release is current: seen on the host, switched in one step, never backwards by accident."""

from __future__ import annotations

import json

from .files import link_target, point
from .host import Host, StateError
from .plan import Change, Plan, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def manifest_of(host: Host, folder: str) -> dict[str, Any] | None:
    """Return the release.json of an unpacked release; None when the release is not there."""
    try:
        document = json.loads(host.read(f"{folder}/release.json"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StateError(
            f"{folder}/release.json is not JSON ({error}): remove {folder} and converge again"
        ) from None
    if not isinstance(document, dict):
        raise StateError(f"{folder}/release.json is not an object: remove {folder} and converge again")
    return document


def version_order(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]:
    """Return a key that orders semantic versions; a pre-release comes before its release."""
    main, _, extra = version.partition("-")
    numbers = tuple(int(part) if part.isdigit() else -1 for part in main.split("."))
    words = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in extra.split(".") if part)
    return numbers, not words, words


def plan_release(plan: Plan, item: dict[str, Any]) -> None:
    """Plan ``{root, id, version, allow_downgrade}``: ``current`` leads to it, ``previous`` to the last."""
    host, root = plan.host, item["root"]
    current, previous = f"{root}/current", f"{root}/previous"
    wanted = f"{root}/releases/{item['id']}"
    plan.links[current] = wanted
    have = link_target(host, current)
    manifest = manifest_of(host, wanted)
    plan.observations["release"] = {
        "current": have,
        "previous": link_target(host, previous),
        "wanted": wanted,
    }
    if manifest is not None:
        _files_are_whole(host, wanted, manifest)
    if have == wanted:
        return
    running = manifest_of(host, have) if have else None
    if (
        running
        and not item["allow_downgrade"]
        and version_order(item["version"]) < version_order(running["version"])
    ):
        plan.refusals.append(
            f"release {item['version']} is older than {running['version']}, which is current: an old build "
            f"may bring back faults that were mended. If that is meant, set release_allow_downgrade=true"
        )

    def act() -> None:
        if have is not None:
            point(host, previous, have)
            host.checkpoint()
        point(host, current, wanted)
        host.checkpoint()

    def undo() -> None:
        if have is not None:
            point(host, current, have)

    before = "" if have is None else f"{have}\n"
    plan.changes.append(
        Change(
            "release",
            current,
            "switch",
            act,
            before=before,
            after=f"{wanted}\n",
            undo=undo,
            with_release=True,
        )
    )


def _files_are_whole(host: Host, folder: str, manifest: dict[str, Any]) -> None:
    """Refuse a release whose programs are not what its manifest says (a disk fault, a hand that meddled)."""
    names = [manifest["engine"]["executable"]]
    names += [item.get("path") or item["executable"] for item in manifest["connectors"]]
    for name in names:
        try:
            found = sha256(host.read(f"{folder}/{name}"))
        except FileNotFoundError:
            found = "nothing"
        said = str(manifest["files"].get(name))
        if found != said:
            raise StateError(
                f"{folder}/{name} has sha256 {found[:12]}, its manifest says {said[:12]}: the release "
                f"on this host is damaged; remove {folder} and converge again"
            )
