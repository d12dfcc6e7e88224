"""Read one host's live state in one round trip: kernel, sockets, processes, files; print it as JSON.

Runs on the host as root with the host's own python3 and nothing but the standard library. It only
reads (besides connection attempts to addresses that must be refused), and shares no code with what
configured the host, so that it can disagree with it. Input: a JSON request as the first argument.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import socket
import stat
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

UNIT_PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "Type",
    "NeedDaemonReload",
    "WatchdogUSec",
    "Requires",
)
SOCKET_STATES = {"01": "established", "0A": "listen", "07": "unconnected"}

# A child takes the uid, so that the kernel judges the connection as that user's.
ATTEMPT = """
import os, socket, sys, time
os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[1]))
begin = time.monotonic_ns()
try:
    socket.create_connection((sys.argv[2], int(sys.argv[3])), float(sys.argv[4])).close()
    result = "open"
except (ConnectionRefusedError, PermissionError):
    result = "refused"
except socket.timeout:
    result = "silent"
except OSError as error:
    # "No route" and the like are words of the network behind the host: its own firewall let the packet out.
    result = f"error{error.errno}"
print(result, (time.monotonic_ns() - begin) / 1e6)
"""

LEAK_ROOTS = (
    "/tmp",
    "/var/tmp",
    "/etc/slipway",
    "/etc/credstore.encrypted",
    "/etc/systemd",
    "/opt/slipway",
    "/root",
    "/home",
    "/var/lib/slipway",
    "/var/log",
)
LEAK_FILE_MAX = 1 << 22


def run(*argv: str, timeout: float = 20) -> dict[str, Any]:
    """Run a command; ``code`` is None when it could not be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": None, "out": "", "error": str(error)}
    return {"code": done.returncode, "out": done.stdout, "error": done.stderr.strip()}


def sha256(path: Path) -> str | None:
    """Return a file's SHA-256, or None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def file_state(name: str) -> dict[str, Any] | None:
    """Return kind, owner, group, mode, hash, target and size of a path; None when it is not there."""
    path = Path(name)
    try:
        info = path.lstat()
    except OSError:
        return None
    try:
        owner, group = pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        owner, group = str(info.st_uid), str(info.st_gid)
    kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "directory", stat.S_IFREG: "file"}
    kind = kinds.get(stat.S_IFMT(info.st_mode), "other")
    return {
        "kind": kind,
        "owner": owner,
        "group": group,
        "mode": format(stat.S_IMODE(info.st_mode), "04o"),
        "sha256": sha256(path) if kind == "file" else None,
        "target": str(path.readlink()) if kind == "link" else None,
        "size": info.st_size,
    }


def unit_state(name: str) -> dict[str, Any]:
    """Return what systemd says of a unit, and what the kernel says of its main process."""
    shown = run("systemctl", "show", name, "--property=" + ",".join(UNIT_PROPERTIES))
    state: dict[str, Any] = dict(line.split("=", 1) for line in shown["out"].splitlines() if "=" in line)
    pid = int(state.get("MainPID") or 0)
    if pid > 1:
        state["process"] = process_state(Path("/proc") / str(pid))
    return state


def process_state(proc: Path) -> dict[str, Any] | None:
    """Return what ``/proc/PID`` shows of a process; None when it has just ended."""
    try:
        lines = (proc / "status").read_text().splitlines()
        environment = (proc / "environ").read_bytes().split(b"\0")
        executable = str((proc / "exe").readlink())
    except OSError:
        return None
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        "exe": executable,
        "sha256": sha256(proc / "exe"),
        "uid": int(status["Uid"].split()[0]),
        "seccomp": int(status["Seccomp"]),
        "no_new_privs": int(status["NoNewPrivs"]),
        "capabilities": int(status["CapEff"], 16),
        "cpus": status["Cpus_allowed_list"].strip(),
        "environment_sha256": [hashlib.sha256(e.split(b"=", 1)[-1]).hexdigest() for e in environment if e],
    }


def endpoint(text: str) -> tuple[str, int]:
    """Read an address and port as ``/proc/net`` writes them: words in host byte order."""
    host, port = text.split(":")
    raw = bytes.fromhex(host)
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, struct.pack("<I", int(host, 16))), int(port, 16)
    words = struct.unpack(">4I", raw)
    return socket.inet_ntop(socket.AF_INET6, struct.pack("<4I", *words)), int(port, 16)


def sockets() -> list[dict[str, Any]]:
    """Return every TCP and UDP socket of the host with its user."""
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path("/proc/net") / protocol
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            part = line.split()
            (local, port), (peer, peer_port) = endpoint(part[1]), endpoint(part[2])
            state = SOCKET_STATES.get(part[3], part[3])
            found.append(
                {
                    "protocol": protocol[:3],
                    "local": local,
                    "port": port,
                    "peer": peer,
                    "peer_port": peer_port,
                    "state": state,
                    "uid": int(part[7]),
                }
            )
    return found


def attempt(uid: int, host: str, port: int, timeout: float) -> dict[str, Any]:
    """Try to connect as ``uid``: ``open``, ``refused`` (an answer), ``silent`` or an error, after ``ms``."""
    argv = (sys.executable, "-I", "-S", "-c", ATTEMPT, str(uid), host, str(port), str(timeout))
    done = run(*argv, timeout=timeout + 10)
    result, _, ms = done["out"].strip().partition(" ")
    return {
        "uid": uid,
        "port": port,
        "result": result or f"error {done['error'][-200:]}",
        "ms": float(ms or 0),
    }


def resolve(name: str) -> list[str]:
    """Return the IPv4 addresses of a name, as root asks for them."""
    try:
        return sorted({str(item[4][0]) for item in socket.getaddrinfo(name, None, socket.AF_INET)})
    except OSError as error:
        return [f"error: {error}"]


def engine(path: str) -> dict[str, Any]:
    """Ask the engine for its status over its control socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(5)
            link.connect(path)
            link.sendall(b'{"cmd":"status"}\n')
            with link.makefile("rb") as answers:
                return dict(json.loads(answers.readline()))
    except (OSError, ValueError) as error:
        return {"error": f"{path}: {error}"}


def http_get(port: int, path: str) -> str:
    """Return the body of a page served on loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as link:
            link.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            with link.makefile("rb") as answer:
                return answer.read().decode("utf-8", "replace").partition("\r\n\r\n")[2]
    except OSError as error:
        return f"error: {error}"


def read(path: Path) -> bytes:
    """Return a file's bytes, or none where it cannot be read (a process may end while we look)."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def leaks() -> dict[str, Any]:
    """Look for every credential's plaintext where it must never be; return where it was found."""
    values = [read(path).strip() for path in Path("/run/credentials").rglob("*") if path.is_file()]
    # A line of a PEM key is as good as the whole.
    needles = [
        part for value in values for part in value.splitlines() if len(part) >= 16 and b"-----" not in part
    ]
    sinks = {"journal": run("journalctl", "-b", "--no-pager", "-o", "export")["out"].encode()}
    for proc in Path("/proc").glob("[0-9]*"):
        for kind in ("cmdline", "environ"):
            sinks[str(proc / kind)] = read(proc / kind)
    for root in LEAK_ROOTS:
        for top, directories, names in os.walk(root):
            # Thousands of files of the signed release's own dependencies, which no credential passes.
            directories[:] = [name for name in directories if name not in {"venv", "wheels"}]
            for path in (Path(top) / name for name in names):
                if path.is_file() and path.stat().st_size < LEAK_FILE_MAX:
                    sinks[str(path)] = read(path)
    found = sorted(name for name, data in sinks.items() if any(needle in data for needle in needles))
    return {"values": len(values), "needles": len(needles), "sinks": len(sinks), "found": found}


def user_state(name: str) -> dict[str, Any] | None:
    """Return uid, shell and groups of a user; None when there is none of that name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = sorted(g.gr_name for g in grp.getgrall() if name in g.gr_mem or g.gr_gid == entry.pw_gid)
    return {"uid": entry.pw_uid, "shell": entry.pw_shell, "groups": groups}


def listing(name: str) -> list[str] | None:
    """Return the names in a directory; None when there is no such directory."""
    path = Path(name)
    return sorted(item.name for item in path.iterdir()) if path.is_dir() else None


def main() -> None:
    """Answer the request."""
    want = json.loads(sys.argv[1])
    resolved = {name: resolve(name) for name in want["names"]}
    with ThreadPoolExecutor(16) as pool:
        # By address, so that what is judged is the connection and not whether the user may ask for names.
        attempts = [
            pool.submit(attempt, a["uid"], resolved.get(a["host"], [a["host"]])[0], a["port"], a["timeout"])
            for a in want["attempts"]
        ]
        commands = {name: pool.submit(run, *argv) for name, argv in want["commands"].items()}
        seen = {
            "time_ns": time.time_ns(),
            "hostname": socket.gethostname(),
            "files": {path: file_state(path) for path in want["files"]},
            "directories": {path: listing(path) for path in want["directories"]},
            "units": {name: unit_state(name) for name in want["units"]},
            "users": {name: user_state(name) for name in want["users"]},
            "leaks": leaks(),
            "sockets": sockets(),
            "resolved": resolved,
            "engine": engine(want["control_socket"]),
            "metrics": http_get(want["metrics_port"], "/metrics"),
            "attempts": [
                future.result() | {"host": asked["host"]}
                for future, asked in zip(attempts, want["attempts"], strict=True)
            ],
            "commands": {name: future.result() for name, future in commands.items()},
        }
    json.dump(seen, sys.stdout)


main()
