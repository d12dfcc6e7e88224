"""The floor: one shell script that checks on a host everything that a state document declares.

It is generated from the very document that ``slipway.host.state`` sends, and looks at the same things:
accounts, directories, files with owner, mode and content, links, left-overs, trust store, credentials
(decrypted and compared by hash), release, and units with what they were started with. It prints one line
for each difference (``kind name``) and changes nothing. No faster way to know is expected.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

BASICS = ("hostname", "packages", "groups", "users", "paths", "absent", "only", "links")
"""Kinds that every configuration tool has a word for."""

SPECIALS = ("trust", "credentials", "releases", "units")
"""Kinds that are this project's own way of looking."""

HEAD = """\
umask 077
exec 9>>/run/lock/slipway-converge && flock -w 60 9 || { echo "lock held"; exit 0; }
lines() { # kind, seen, wanted: say every wanted line that was not seen, or that more was seen
  [ "$2" = "$3" ] && return
  printf '%s\\n' "$3" | grep -vxFe "$2" | sed "s|^|$1 |"
  printf '%s\\n' "$2" | grep -vxFe "$3" | sed "s|^|$1 found |"
}
"""


class UnknownStateError(Exception):
    """The document declares something that the script would not check; the message names it."""


def script(
    document: Document, executables: Mapping[str, str], kinds: Sequence[str] = BASICS + SPECIALS
) -> str:
    """Return the script for one host's document.

    ``executables`` is sha256 by path inside the release, from its manifest. Raises UnknownStateError for a
    document with a key that this module does not know, so that no check can be left out unnoticed.
    """
    fragments = document["fragments"]
    known = {*WRITERS, "directories", "files", "name", "requires"}
    for fragment in fragments:
        for key, value in fragment.items():
            if value and key not in known:
                raise UnknownStateError(f"fragment {fragment['name']}: the floor does not check {key!r}")
    state = {key: [item for f in fragments for item in f.get(key) or []] for key in known - {"name", "paths"}}
    parts = [HEAD, *(WRITERS[kind](state, executables) for kind in kinds), "echo checked\n"]
    return "".join(parts)


State = Mapping[str, list[Any]]
Writer = Callable[[State, Mapping[str, str]], str]


def count(document: Document) -> int:
    """Return how many things the document declares."""
    lists = [
        value for f in document["fragments"] for key, value in f.items() if key not in {"name", "requires"}
    ]
    return sum(len(value) for value in lists if isinstance(value, list))


def _q(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)


def _lines(kind: str, seen: str, wanted: Sequence[str]) -> str:
    return f'lines {kind} "$({seen})" {shlex.quote(chr(10).join(wanted))}\n'


def _hostname(state: State, _executables: Mapping[str, str]) -> str:
    return "".join(
        "read -r have </proc/sys/kernel/hostname; "
        f'[ "$have" = {shlex.quote(name)} ] || echo "hostname $have"\n'
        for name in state["hostname"]
    )


def _packages(state: State, _executables: Mapping[str, str]) -> str:
    names = sorted(set(state["packages"]))
    if not names:
        return ""
    seen = "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' " + _q(names) + " 2>&1 | sort"
    return _lines("package", seen, sorted(f"{name} installed" for name in names))


def _groups(state: State, _executables: Mapping[str, str]) -> str:
    if not state["groups"]:
        return ""
    names = [item["name"] for item in state["groups"]]
    seen = f"getent group {_q(names)} | cut -d: -f1,3"
    return _lines("group", seen, [f"{item['name']}:{item['gid']}" for item in state["groups"]])


def _users(state: State, _executables: Mapping[str, str]) -> str:
    if not state["users"]:
        return ""
    gids = {item["name"]: item["gid"] for item in state["groups"]}
    names = [item["name"] for item in state["users"]]
    wanted = [
        f"{item['name']}:{item['uid']}:{gids[item['group']]}:{item['home']}:{item['shell']}"
        for item in state["users"]
    ]
    member = 'awk -F: \'{n=split($4,m,","); for(i=1;i<=n;i++) print m[i] " " $1}\' /etc/group'
    pattern = "^(" + "|".join(names) + ") "
    members = [f"{item['name']} {group}" for item in state["users"] for group in item["groups"]]
    accounts = _lines("user", f"getent passwd {_q(names)} | cut -d: -f1,3,4,6,7", wanted)
    return accounts + _lines("member", f"{member} | grep -E {shlex.quote(pattern)} | sort", sorted(members))


def _file_hashes(state: State) -> dict[str, str]:
    return {item["path"]: hashlib.sha256(item["content"].encode()).hexdigest() for item in state["files"]}


def _paths(state: State, _executables: Mapping[str, str]) -> str:
    """Check directories and files: kind, owner and mode by one stat, content by one sha256sum."""
    wanted = {item["path"]: f"directory {_attributes(item)}" for item in state["directories"]}
    for item in state["files"]:
        kind = "regular file" if item["content"] else "regular empty file"
        wanted[item["path"]] = f"{kind} {_attributes(item)}"
    hashes = _file_hashes(state)
    out = ""
    if wanted:
        seen = f"stat -c '%n %F %U:%G %a' -- {_q(list(wanted))} 2>/dev/null"
        out += _lines("path", seen, [f"{path} {words}" for path, words in wanted.items()])
    if hashes:
        seen = f"sha256sum -- {_q(list(hashes))} 2>/dev/null"
        out += _lines("content", seen, [f"{digest}  {path}" for path, digest in hashes.items()])
        left = [f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}.slipway-new" for path in hashes]
        out += f'for p in {_q(left)}; do [ -e "$p" ] && echo "left-over $p"; done\n'
    return out


def _attributes(item: Mapping[str, Any]) -> str:
    return f"{item['owner']}:{item['group']} {int(item['mode'], 8):o}"


def _absent(state: State, _executables: Mapping[str, str]) -> str:
    if not state["absent"]:
        return ""
    return f'for p in {_q(state["absent"])}; do [ -e "$p" ] || [ -L "$p" ] && echo "absent $p"; done\n'


def _only(state: State, _executables: Mapping[str, str]) -> str:
    out = ""
    for item in state["only"]:
        folder = shlex.quote(item["path"])
        out += f"for p in {folder}/* {folder}/.[!.]*; do\n"
        out += '  [ -e "$p" ] || [ -L "$p" ] || continue\n'
        allowed = "|".join(shlex.quote(name) for name in item["names"])
        out += (
            f'  case "${{p##*/}}" in {allowed + ") ;; " if allowed else ""}*) echo "only $p";; esac\ndone\n'
        )
    return out


def _links(state: State, _executables: Mapping[str, str]) -> str:
    return "".join(
        f'[ "$(readlink -- {shlex.quote(item["path"])})" = {shlex.quote(item["target"])} ] || '
        f"echo link {shlex.quote(item['path'])}\n"
        for item in state["links"]
    )


def _trust(state: State, _executables: Mapping[str, str]) -> str:
    folder = "/usr/local/share/ca-certificates"
    out = ""
    names = []
    for item in state["trust"]:
        pem = item["pem"].strip() + "\n"
        name = f"slipway-{item['name']}.crt"
        names.append(name)
        digest = hashlib.sha256(pem.encode()).hexdigest()
        out += _lines("trust", f"sha256sum -- {folder}/{name} 2>/dev/null", [f"{digest}  {folder}/{name}"])
        flat = shlex.quote(pem.replace("\n", " "))
        out += "tr '\\n' ' ' </etc/ssl/certs/ca-certificates.crt | "
        out += f"grep -qFe {flat} || echo trust bundle {name}\n"
    allowed = "|".join([*names, "'slipway-*.crt'"])
    return out + (
        f'for p in {folder}/slipway-*; do case "${{p##*/}}" in {allowed}) ;; *) echo trust $p;; esac; done\n'
    )


def _credentials(state: State, _executables: Mapping[str, str]) -> str:
    """Write the check of secrets; all are decrypted side by side and only hashes are compared."""
    if not state["credentials"]:
        return ""
    side_by_side = "".join(
        f"{{ h=$(systemd-creds decrypt --name={item['name']} {item['path']} - 2>/dev/null | sha256sum); "
        f'echo "{item["name"]} $h"; }} & '
        for item in state["credentials"]
    )
    wanted = [
        f"{item['name']} {hashlib.sha256(item['value'].encode()).hexdigest()}  -"
        for item in state["credentials"]
    ]
    paths = [item["path"] for item in state["credentials"]]
    return _lines("credential", f" ( {side_by_side}wait ) | sort", sorted(wanted)) + _lines(
        "credential",
        f"stat -c '%n %F %u:%g %a' -- {_q(paths)} 2>/dev/null",
        [f"{p} regular file 0:0 600" for p in paths],
    )


def _releases(state: State, executables: Mapping[str, str]) -> str:
    out = ""
    for item in state["releases"]:
        wanted = f"{item['root']}/releases/{item['id']}"
        out += f'[ "$(readlink {item["root"]}/current)" = {shlex.quote(wanted)} ] || echo release current\n'
        out += f"[ -e {wanted}/release.json ] || echo release {wanted}/release.json\n"
        paths = [f"{wanted}/{name}" for name in executables]
        digests = [f"{digest}  {wanted}/{name}" for name, digest in executables.items()]
        out += _lines("release", f"sha256sum -- {_q(paths)} 2>/dev/null", digests)
    return out


_SHOW = (
    "systemctl show --timestamp=us+utc -p Id,ActiveState,UnitFileState,NeedDaemonReload,MainPID,"
    "ExecMainStartTimestamp,ActiveEnterTimestamp -- "
)


def _units(state: State, executables: Mapping[str, str]) -> str:
    """Write the check of units: one systemctl for all, then each one's stamp, times and executable."""
    units = state["units"]
    if not units:
        return ""
    out = "i=1\nwhile IFS= read -r line; do case $line in '') i=$((i+1));; *=*) "
    out += 'eval "${line%%=*}_$i=\\${line#*=}";; esac; done <<EOF\n'
    out += f"$({_SHOW}{_q([unit['name'] for unit in units])})\nEOF\n"
    for number, unit in enumerate(units, start=1):
        out += _unit(unit, number, executables)
    return out


def _unit(unit: Mapping[str, Any], i: int, executables: Mapping[str, str]) -> str:
    name = shlex.quote(unit["name"])
    out = f'[ "$NeedDaemonReload_{i}" = no ] || echo unit {name} daemon-reload\n'
    if unit["enabled"]:
        out += f'case "$UnitFileState_{i}" in enabled|enabled-runtime|static) ;; '
        out += f"*) echo unit {name} enabled;; esac\n"
    wanted = {
        "started": "active|reloading",
        "stopped": "inactive|failed",
        "ran": "inactive|active|activating",
    }
    if unit["state"] is not None:
        out += f'case "$ActiveState_{i}" in {wanted[unit["state"]]}) ;; '
        out += f'*) echo unit {name} "$ActiveState_{i}";; esac\n'
    if unit["stamp"]:
        out += _stamp(unit)
    elif unit["restart_on"]:
        start = f'"${{ExecMainStartTimestamp_{i}:-$ActiveEnterTimestamp_{i}}}"'
        newer = f'"$(find {_q(unit["restart_on"])} -newermt {start} 2>&1)"'
        out += f"[ -z {newer} ] || echo unit {name} older than its files\n"
    if unit["executable"]:
        program = shlex.quote(unit["executable"])
        inside = next(path for path in executables if unit["executable"].endswith(path))
        out += f'exe="/proc/$MainPID_{i}/exe"\n[ "$exe" -ef {program} ] || echo unit {name} executable\n'
        out += (
            f'[ "$(sha256sum <"$exe")" = "{executables[inside]}  -" ] || echo unit {name} executable hash\n'
        )
    return out


def _stamp(unit: Mapping[str, Any]) -> str:
    """Check what the unit was started with: its stamp is a list that sha256sum itself can check."""
    name = shlex.quote(unit["name"])
    stamp = f"/run/slipway-started/{unit['name']}"
    source = "nft -s -t list ruleset" if unit["ruleset"] else ":"
    out = f"{source} | sha256sum -c --quiet --strict {stamp} >/dev/null 2>&1 || echo unit {name} stamp\n"
    named = [*unit["restart_on"], *(["-"] if unit["ruleset"] else [])]
    listed = " ".join(f"-e {shlex.quote('  ' + path)}" for path in named)
    if named:
        out += (
            f'[ "$(grep -cF {listed} {stamp})" = {len(named)} ] || echo unit {name} stamp is of other files\n'
        )
    return out


WRITERS: Mapping[str, Writer] = {
    "hostname": _hostname,
    "packages": _packages,
    "groups": _groups,
    "users": _users,
    "paths": _paths,
    "absent": _absent,
    "only": _only,
    "links": _links,
    "trust": _trust,
    "credentials": _credentials,
    "releases": _releases,
    "units": _units,
}
