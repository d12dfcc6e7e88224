"""One converge: take the lock, observe everything, refuse or act in order, say what was done."""

from __future__ import annotations

import fcntl
import json
import os
import time

from .accounts import plan_groups, plan_hostname, plan_users
from .credentials import plan_credentials
from .files import plan_absent, plan_directories, plan_files, plan_links, plan_only
from .host import Host, StateError
from .plan import Change, Plan
from .release import plan_release
from .trust import plan_trust
from .units import armed, confirm, plan_units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOCK = "/run/lock/slipway-converge"
MARK = "SLIPWAY-STATE "


def take_lock(host: Host, wait_s: float, *, shared: bool = False) -> int:
    """Lock this host against another converge (exclusive) or against change while it is read (shared).

    Returns the open descriptor; StateError when the lock is not free after ``wait_s`` seconds.
    """
    descriptor = os.open(host.path(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise StateError(
                    f"{LOCK} is held by another converge or verification for more than {wait_s:g} s: "
                    f"wait for it to end, then run again"
                ) from None
            time.sleep(0.05)
        else:
            return descriptor


def missing_packages(host: Host, names: list[str]) -> list[str]:
    """Return which Debian packages are not installed and configured."""
    if not names:
        return []
    done = host.run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names)
    installed = {line.split(" ")[0] for line in done.out.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def run(document: dict[str, Any], host: Host) -> dict[str, Any]:
    """Bring the host to ``document`` (only predict when ``check``) and return the result for Ansible."""
    lock = take_lock(host, float(document["lock_wait_s"]))
    try:
        return _locked(document, host)
    finally:
        os.close(lock)


def _gather(fragments: list[dict[str, Any]], kind: str) -> list[Any]:
    return [item for fragment in fragments for item in fragment.get(kind, [])]


def _locked(document: dict[str, Any], host: Host) -> dict[str, Any]:
    check = bool(document["check"])
    fragments: list[dict[str, Any]] = document["fragments"]
    result: dict[str, Any] = {"changed": False, "changes": [], "diff": [], "missing_packages": [], "held": {}}
    result["missing_packages"] = missing_packages(host, _gather(fragments, "packages"))
    held = {
        fragment["name"]: absent
        for fragment in fragments
        if (absent := [path for path in fragment.get("requires", []) if not os.path.exists(host.path(path))])
    }
    result["held"] = held
    if result["missing_packages"] and not check:
        result["msg"] = "nothing was done: packages are missing"
        return result
    active = fragments if check else [fragment for fragment in fragments if fragment["name"] not in held]
    plan = Plan(host, check=check)
    plan_all(plan, active)
    if plan.refusals:
        raise StateError("refused, nothing was changed: " + "\n".join(plan.refusals))
    result["observations"] = plan.observations
    result["changed"] = bool(plan.changes)
    result["changes"] = [change.report() for change in plan.changes if change.kind != "files"]
    result["diff"] = [shown for change in plan.changes if (shown := change.diff())]
    if not check and plan.changes:
        _act(plan, _gather(active, "units"))
    permits = {unit["permit"] for unit in _gather(fragments, "units") if unit["permit"]}
    result["armed"] = any(armed(host, permit) is not None for permit in permits)
    return result


def plan_all(plan: Plan, fragments: list[dict[str, Any]]) -> None:
    """Observe the host against the fragments, in the order in which changes have to happen."""
    for name in _gather(fragments, "hostname"):
        plan_hostname(plan, name)
    plan_groups(plan, _gather(fragments, "groups"))
    plan_users(plan, _gather(fragments, "users"))
    plan_directories(plan, _gather(fragments, "directories"))
    plan_trust(plan, _gather(fragments, "trust"))
    plan_files(plan, _gather(fragments, "files"))
    plan_absent(plan, _gather(fragments, "absent"))
    plan_only(plan, _gather(fragments, "only"))
    plan_links(plan, _gather(fragments, "links"))
    plan_credentials(plan, _gather(fragments, "credentials"))
    for item in _gather(fragments, "releases"):
        plan_release(plan, item)
    plan_units(plan, _gather(fragments, "units"))


def _act(plan: Plan, units: list[dict[str, Any]]) -> None:
    done: list[Change] = []
    failures: list[str] = []
    release_failed = False
    for change in plan.changes:
        done.append(change)
        try:
            change.act()
        except (StateError, OSError) as error:
            failures.append(str(error))
            release_failed |= change.with_release
            if change.kind != "unit":
                break
    plan.replaced.clear()  # what was encrypted anew now lies on the disk and can be hashed
    if not failures:
        for item, words in confirm(plan, units):
            failures.append(words)
            release_failed |= item["with_release"]
    if failures:
        failures += _take_back(plan, done) if release_failed else []
        raise StateError("\n".join(failures))


def _take_back(plan: Plan, done: list[Change]) -> list[str]:
    """After a failed start that followed a switch of release: bring the former release and files back."""
    former = plan.observations.get("release", {}).get("current")
    if former is None or not any(change.kind == "release" for change in done):
        return []
    mine = [change for change in done if change.with_release]
    for change in reversed(mine):
        if change.undo:
            change.undo()
    host = plan.host
    host.run("systemctl", "daemon-reload")
    ended = []
    for name in [change.name for change in mine if change.kind == "unit"]:
        host.run("systemctl", "reset-failed", name)
        again = host.run("systemctl", "restart", name)
        ended.append(f"{name} {'runs' if again.status == 0 else 'does not run: ' + again.words}")
    return [f"taken back: {former} and its files are in place again, disarmed; {', '.join(ended)}"]


def main(document: dict[str, Any]) -> str:
    """Run ``document`` on this host and return the line that the action plugin reads."""
    host = Host(root=document.get("test_root", ""), stop_after=document.get("test_stop_after"))
    try:
        result = run(document, host)
    except StateError as error:
        result = {"failed": True, "changed": False, "msg": str(error)}
    except OSError as error:
        result = {"failed": True, "changed": False, "msg": f"{type(error).__name__}: {error}"}
    result["changed"] = bool(result["changed"]) or host.checkpoints > 0
    result["checkpoints"] = host.checkpoints
    return MARK + json.dumps(result)
