"""Who is who: the host's name, groups and users with fixed numbers, by the distribution's own tools."""

from __future__ import annotations

from .host import Host, StateError
from .plan import Change, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def plan_hostname(plan: Plan, name: str) -> None:
    """Plan the name that the kernel gives this host (what it is at boot is a file's matter)."""
    have = plan.host.read("/proc/sys/kernel/hostname").decode("utf-8").strip()
    if have != name:
        act = _command(plan.host, ["hostname", name])
        plan.changes.append(Change("hostname", name, "set", act, before=f"{have}\n", after=f"{name}\n"))


def plan_groups(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the groups ``{name, gid}``; one that exists with another gid is refused, not renumbered."""
    for item in items:
        name, gid = item["name"], int(item["gid"])
        plan.groups[name] = gid
        entry = plan.host.accounts("group").get(name)
        if entry is None:
            _refuse_taken(plan.host, "group", gid, name)
            act = _command(plan.host, ["groupadd", "--system", "--gid", str(gid), name])
            plan.changes.append(Change("group", name, "create", act, before="", after=f"gid: {gid}\n"))
        elif int(entry[2]) != gid:
            raise StateError(
                f"group {name} has gid {entry[2]}, planned is {gid}: renumbering would orphan its files; "
                f"remove the group by hand or give the plan its gid"
            )


def plan_users(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan users ``{name, uid, group, groups, home, shell}``; a wrong uid is refused, the rest put right."""
    for item in items:
        name, uid = item["name"], int(item["uid"])
        plan.users[name] = uid
        want = {
            "group": item["group"],
            "groups": ",".join(sorted(item["groups"])),
            "home": item["home"],
            "shell": item["shell"],
        }
        options = ["--gid", want["group"], "--groups", want["groups"], "--shell", want["shell"]]
        entry = plan.host.accounts("passwd").get(name)
        if entry is None:
            _refuse_taken(plan.host, "passwd", uid, name)
            new = ["useradd", "--system", "--uid", str(uid), "--no-create-home", "--home-dir", want["home"]]
            act = _command(plan.host, [*new, *options, name])
            after = f"uid: {uid}\n" + _lines(want)
            plan.changes.append(Change("user", name, "create", act, before="", after=after))
            continue
        if int(entry[2]) != uid:
            raise StateError(
                f"user {name} has uid {entry[2]}, planned is {uid}: the firewall goes by uid and a change "
                f"would orphan files; remove the user by hand"
            )
        have = {
            "group": _group_name(plan.host, entry[3]),
            "groups": ",".join(sorted(_groups_of(plan.host, name))),
            "home": entry[5],
            "shell": entry[6],
        }
        if have != want:
            act = _command(plan.host, ["usermod", "--home", want["home"], *options, name])
            wrong = ", ".join(key for key in want if have[key] != want[key])
            plan.changes.append(
                Change("user", name, f"modify {wrong}", act, before=_lines(have), after=_lines(want))
            )


def _command(host: Host, argv: list[str]) -> Callable[[], None]:
    def act() -> None:
        host.must(*argv)
        host.forget_accounts()
        host.checkpoint()

    return act


def _lines(fields: dict[str, str]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


def _refuse_taken(host: Host, database: str, number: int, name: str) -> None:
    for other, fields in host.accounts(database).items():
        if fields[2] == str(number):
            raise StateError(f"/etc/{database}: {number} is planned for {name} and belongs to {other}")


def _group_name(host: Host, gid: str) -> str:
    return next((name for name, fields in host.accounts("group").items() if fields[2] == gid), gid)


def _groups_of(host: Host, user: str) -> list[str]:
    return [name for name, fields in host.accounts("group").items() if user in fields[3].split(",")]
