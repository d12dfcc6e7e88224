"""systemd units: enabled, running, and running what the plan says.

Whether a unit has to be restarted is decided by what is observed, never by what this run wrote:
a run that was killed between writing a file and restarting its reader is put right by the next one.
Observed are, as far as the item asks for them,

* the stamp that the unit itself wrote when it started (``/run/slipway-started/UNIT``: the sha256 of
  every file that the process was started with, as sha256sum prints them);
* where a unit of the distribution writes no stamp: the start time against the files' change times;
* the running executable (device, inode and hash of /proc/PID/exe) against the release's;
* for the firewall, a hash of the rules that the kernel holds, against the one taken when they were loaded.
"""

from __future__ import annotations

import calendar
import os
import time

from .host import Host, StateError
from .plan import Change, Plan, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STAMPS = "/run/slipway-started"
_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,ExecMainStartTimestamp,"
    "ActiveEnterTimestamp"
)


def observe(host: Host, names: list[str]) -> dict[str, dict[str, str]]:
    """Return systemd's properties of each named unit (one call for all)."""
    if not names:
        return {}
    out = host.must("systemctl", "show", "--timestamp=us+utc", "-p", _PROPERTIES, "--", *names)
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in out.strip("\n").split("\n\n")
    ]
    if len(blocks) != len(names):
        raise StateError(
            f"systemctl show answered for {len(blocks)} of {len(names)} units: {', '.join(names)}"
        )
    return dict(zip(names, blocks, strict=True))


def main_pid(seen: dict[str, str]) -> int | None:
    """Return the unit's main process; None for none (0) and for PID 1, which is never a unit's to signal."""
    pid = int(seen.get("MainPID") or 0)
    return pid if pid > 1 else None


def started_at(seen: dict[str, str]) -> float | None:
    """Return when the unit's process started, in seconds since 1970; None when it did not."""
    text = seen.get("ExecMainStartTimestamp") or seen.get("ActiveEnterTimestamp") or ""
    words = text.split()
    if len(words) != 4:
        return None
    day, _, fraction = f"{words[1]} {words[2]}".partition(".")
    return calendar.timegm(time.strptime(day, "%Y-%m-%d %H:%M:%S")) + float(f"0.{fraction or 0}")


def stamp_of(host: Host, unit: str) -> dict[str, str] | None:
    """Return what the unit was started with: sha256 by path (the rules' hash under ``ruleset``)."""
    try:
        lines = host.read(f"{STAMPS}/{unit}").decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    return {line[66:]: line[:64] for line in lines if len(line) > 66}


def ruleset_hash(host: Host) -> str:
    """Return the sha256 of the rules in the kernel without counters and set elements."""
    done = host.run("nft", "-s", "-t", "list", "ruleset")
    return sha256(done.out.encode("utf-8")) if done.status == 0 else "unknown"


def _stale_stamp(plan: Plan, item: dict[str, Any]) -> list[str]:
    stamp = stamp_of(plan.host, item["name"])
    if stamp is None:
        return ["it did not record what it was started with"]
    reasons = [
        f"{path} is not what it was started with"
        for path in item["restart_on"]
        if stamp.get(path) is None or stamp[path] != plan.future_hash(path)
    ]
    if item["ruleset"] and not reasons and stamp.get("-") != ruleset_hash(plan.host):
        reasons.append("the rules in the kernel are not those that were loaded")
    return reasons


def _stale_times(plan: Plan, item: dict[str, Any], seen: dict[str, str]) -> list[str]:
    start = started_at(seen)
    reasons = []
    for path in item["restart_on"]:
        pending = path in plan.written and plan.written[path] != _present_hash(plan.host, path)
        try:
            changed = os.stat(plan.host.path(path)).st_mtime
        except FileNotFoundError:
            changed = 0.0
        if pending or start is None or changed > start:
            reasons.append(f"{path} is newer than the process")
    return reasons


def _present_hash(host: Host, path: str) -> str | None:
    try:
        return sha256(host.read(path))
    except OSError:
        return None


def _stale_executable(plan: Plan, item: dict[str, Any], seen: dict[str, str]) -> list[str]:
    wanted = item["executable"]
    if wanted is None:
        return []
    pid = main_pid(seen)
    if pid is None:
        return ["it has no main process"]
    host = plan.host
    for link, target in plan.links.items():
        if wanted.startswith(link + "/"):
            wanted = target + wanted[len(link) :]
            break
    running = host.path(f"/proc/{pid}/exe")
    try:
        there, here = os.stat(running), os.stat(host.path(wanted))
        same = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
        with open(running, "rb") as stream:
            plan.observations.setdefault("executables", {})[item["name"]] = sha256(stream.read())
    except OSError:
        return [f"what it runs could not be compared with {wanted}"]
    if not same or plan.observations["executables"][item["name"]] != plan.future_hash(wanted):
        return [f"it does not run {wanted}"]
    return []


def why_restart(plan: Plan, item: dict[str, Any], seen: dict[str, str]) -> list[str]:
    """Return every reason for which the running unit is not what the plan says (empty: it is)."""
    reasons = []
    if seen["NeedDaemonReload"] == "yes" and item["stamp"]:
        reasons.append("its unit file changed after it was loaded")
    if item["stamp"]:
        reasons += _stale_stamp(plan, item)
    else:
        reasons += _stale_times(plan, item, seen)
    return reasons + _stale_executable(plan, item, seen)


def armed(host: Host, permit: str) -> str | None:
    """Return who armed the engine (the permit's words) or None when no permit is in force."""
    try:
        content = host.read(permit)
    except FileNotFoundError:
        return None
    return content[1:].decode("utf-8", "replace").strip() if content[:1] == b"A" else None


def plan_units(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan units ``{name, enabled, state, restart_on, reload, stamp, ruleset, executable, permit, force}``.

    ``state`` is ``started``, ``stopped`` or ``ran`` (a oneshot that has to have run with these files).
    """
    host = plan.host
    seen = observe(host, [item["name"] for item in items])
    plan.observations["units"] = {
        name: {key: unit.get(key, "") for key in ("ActiveState", "SubState", "UnitFileState", "MainPID")}
        for name, unit in seen.items()
    }
    reload_needed = any(unit["NeedDaemonReload"] == "yes" for unit in seen.values())
    if reload_needed or any(_is_unit_file(change.kind, change.name) for change in plan.changes):

        def daemon_reload() -> None:
            host.must("systemctl", "daemon-reload")
            host.checkpoint()

        plan.changes.append(Change("systemd", "daemon", "reload", daemon_reload))
    for item in items:
        have = seen[item["name"]]["UnitFileState"]
        if item["enabled"] and have not in {"enabled", "enabled-runtime", "static"}:
            plan.changes.append(_enable(host, item["name"], have))
    for item in items:
        _plan_unit(plan, item, seen[item["name"]])


def _enable(host: Host, name: str, have: str) -> Change:
    def act() -> None:
        host.must("systemctl", "--quiet", "enable", name)
        host.checkpoint()

    before = f"{have or 'absent'}\n"
    return Change("enable", name, "enable", act, before=before, after="enabled\n")


def _is_unit_file(kind: str, name: str) -> bool:
    return kind in {"file", "absent"} and name.startswith("/etc/systemd/system/")


def _plan_unit(plan: Plan, item: dict[str, Any], seen: dict[str, str]) -> None:
    name, state = item["name"], item["state"]
    running = seen["ActiveState"] in {"active", "reloading"}
    if state is None:
        return
    if state == "stopped":
        if running:
            plan.changes.append(_change(plan, item, "stop", seen, ["it should not run"]))
        return
    if state == "ran":
        reasons = _stale_stamp(plan, item)
        if reasons or seen["ActiveState"] == "failed":
            plan.changes.append(_change(plan, item, "start", seen, reasons or ["it failed the last time"]))
        return
    if not running:
        # A unit that is just starting may be doing so with a former release: begin that anew.
        verb = "start" if seen["ActiveState"] in {"inactive", "failed"} else "restart"
        plan.changes.append(_change(plan, item, verb, seen, [f"it is {seen['ActiveState']}"]))
        return
    reasons = why_restart(plan, item, seen)
    if not reasons:
        return
    verb = "reload" if item["reload"] else "restart"
    holder = armed(plan.host, item["permit"]) if item["permit"] else None
    if holder is not None and not item["force"]:
        plan.refusals.append(
            f"{name} is armed ({holder}) and would be restarted because {'; '.join(reasons)}. Disarm it "
            f"first (slipway-kill, or playbooks/kill.yml), or set engine_force=true to stop it under way"
        )
    plan.changes.append(_change(plan, item, verb, seen, reasons))


def _change(plan: Plan, item: dict[str, Any], verb: str, seen: dict[str, str], reasons: list[str]) -> Change:
    host, name = plan.host, item["name"]

    def act() -> None:
        if item["permit"]:
            _revoke(host, item["permit"])
        if seen["ActiveState"] == "failed" or verb == "restart":
            host.run("systemctl", "reset-failed", name)
        done = host.run("systemctl", verb, name)
        host.checkpoint()
        if done.status != 0:
            raise StateError(f"{name} did not {verb}: {done.words}\n{_last_words(host, name)}")

    before = f"{seen['ActiveState']} ({seen['SubState']})\n"
    return Change(
        "unit",
        name,
        f"{verb}: {'; '.join(reasons)}",
        act,
        before=before,
        after=f"{verb} ({'; '.join(reasons)})\n",
        with_release=item["with_release"],
    )


def _revoke(host: Host, permit: str) -> None:
    try:
        with open(host.path(permit), "r+b") as stream:
            stream.write(b"R")
        os.unlink(host.path(permit))
    except FileNotFoundError:
        return


def _last_words(host: Host, name: str) -> str:
    done = host.run("journalctl", "--no-pager", "--quiet", "-o", "cat", "-n", "15", "-u", name)
    return done.out[-2000:]


def confirm(plan: Plan, items: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """Return each unit that is still wrong after every change was made, with what is wrong."""
    wrong = []
    started = [item for item in items if item["state"] == "started"]
    seen = observe(plan.host, [item["name"] for item in started])
    for item in started:
        name, unit = item["name"], seen[item["name"]]
        if unit["ActiveState"] != "active":
            words = f"{name} is {unit['ActiveState']} after it was started\n{_last_words(plan.host, name)}"
            wrong.append((item, words))
            continue
        wrong += [(item, f"{name}: {reason}, even now") for reason in why_restart(plan, item, unit)]
    return wrong
