"""Read one host's live state in one round trip: kernel, sockets, processes, files; print it as JSON.

Runs on the host as root with the host's own python3 and nothing but the standard library. It only
reads (besides connection attempts to addresses that must be refused), and shares no code with what
configured the host, so that it can disagree with it. Input: a JSON request as the first argument.
"""

import concurrent.futures
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


def run(*argv, timeout=20):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": None, "out": "", "error": str(error)}
    return {"code": done.returncode, "out": done.stdout, "error": done.stderr.strip()}


def sha256(path):
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def file_state(path):
    try:
        info = os.lstat(path)
    except OSError:
        return None
    try:
        owner, group = pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        owner, group = str(info.st_uid), str(info.st_gid)
    kind = "link" if stat.S_ISLNK(info.st_mode) else "directory" if stat.S_ISDIR(info.st_mode) else "other"
    if stat.S_ISREG(info.st_mode):
        kind = "file"
    return {
        "kind": kind,
        "owner": owner,
        "group": group,
        "mode": format(stat.S_IMODE(info.st_mode), "04o"),
        "sha256": sha256(path) if kind == "file" else None,
        "target": os.readlink(path) if kind == "link" else None,
        "size": info.st_size,
    }


def unit_state(name):
    keys = (
        "Id LoadState ActiveState SubState UnitFileState MainPID NRestarts Type User NeedDaemonReload WatchdogUSec "
        "Requires BindsTo NoNewPrivileges ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectKernelTunables "
        "ProtectKernelModules ProtectControlGroups RestrictNamespaces LockPersonality MemoryDenyWriteExecute "
        "RestrictSUIDSGID CapabilityBoundingSet SystemCallFilter Environment"
    ).split()
    shown = run("systemctl", "show", name, "--property=" + ",".join(keys))
    state = dict(line.split("=", 1) for line in shown["out"].splitlines() if "=" in line)
    pid = int(state.get("MainPID") or 0)
    if pid > 1:
        state["process"] = process_state(pid)
    return state


def process_state(pid):
    root = "/proc/%d" % pid
    try:
        status = dict(
            line.split(":", 1)
            for line in open(root + "/status", encoding="utf-8").read().splitlines()
            if ":" in line
        )
        environment = open(root + "/environ", "rb").read().split(b"\0")
        arguments = open(root + "/cmdline", "rb").read().split(b"\0")
        executable = os.readlink(root + "/exe")
    except OSError:
        return None
    return {
        "exe": executable,
        "sha256": sha256(root + "/exe"),
        "uid": int(status["Uid"].split()[0]),
        "groups": [int(g) for g in status["Groups"].split()],
        "seccomp": int(status["Seccomp"]),
        "no_new_privs": int(status["NoNewPrivs"]),
        "capabilities": int(status["CapEff"], 16),
        "cpus": status["Cpus_allowed_list"].strip(),
        "locked_kb": int(status.get("VmLck", "0 kB").split()[0]),
        "environment_names": sorted(e.split(b"=", 1)[0].decode("utf-8", "replace") for e in environment if e),
        "environment_sha256": [hashlib.sha256(e.split(b"=", 1)[-1]).hexdigest() for e in environment if e],
        "arguments": [a.decode("utf-8", "replace") for a in arguments if a],
    }


def address(hex_address):
    host, port = hex_address.split(":")
    raw = bytes.fromhex(host)
    if len(raw) == 4:
        text = socket.inet_ntop(socket.AF_INET, struct.pack("<I", int(host, 16)))
    else:
        words = struct.unpack(">4I", raw)
        text = socket.inet_ntop(socket.AF_INET6, struct.pack("<4I", *words))
    return text, int(port, 16)


STATES = {"01": "established", "0A": "listen", "07": "unconnected"}


def sockets():
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        try:
            lines = open("/proc/net/" + protocol, encoding="ascii").read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            part = line.split()
            local, peer = address(part[1]), address(part[2])
            found.append(
                {
                    "protocol": protocol[:3],
                    "local": local[0],
                    "port": local[1],
                    "peer": peer[0],
                    "peer_port": peer[1],
                    "state": STATES.get(part[3], part[3]),
                    "uid": int(part[7]),
                }
            )
    return found


def attempt(uid, host, port, timeout):
    """Try to connect as ``uid`` and say how it ended. A child takes the uid, so that the kernel judges it."""
    code = (
        "import os,socket,sys,time\n"
        "os.setgroups([]);os.setgid(65534);os.setuid(int(sys.argv[1]))\n"
        "begin=time.monotonic_ns()\n"
        "try:\n"
        " socket.create_connection((sys.argv[2],int(sys.argv[3])),float(sys.argv[4])).close();r='open'\n"
        "except (ConnectionRefusedError,PermissionError): r='refused'\n"
        "except socket.timeout: r='silent'\n"
        "except OSError as e: r='refused' if e.errno in (101,113) else 'error%s'%e.errno\n"
        "print(r,(time.monotonic_ns()-begin)/1e6)\n"
    )
    done = run(
        sys.executable, "-I", "-S", "-c", code, str(uid), host, str(port), str(timeout), timeout=timeout + 10
    )
    result, _, ms = done["out"].strip().partition(" ")
    return {
        "uid": uid,
        "port": port,
        "result": result or "error " + done["error"][-200:],
        "ms": float(ms or 0),
    }


def resolve(name):
    try:
        return sorted({item[4][0] for item in socket.getaddrinfo(name, None, socket.AF_INET)})
    except OSError as error:
        return ["error: %s" % error]


def engine(path):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(5)
            link.connect(path)
            link.sendall(b'{"cmd":"status"}\n')
            data = b""
            while not data.endswith(b"\n"):
                block = link.recv(65536)
                if not block:
                    break
                data += block
        return json.loads(data)
    except (OSError, ValueError) as error:
        return {"error": "%s: %s" % (path, error)}


def http_get(port, path):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as link:
            link.sendall(("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path).encode())
            data = b""
            while True:
                block = link.recv(65536)
                if not block:
                    break
                data += block
        return data.decode("utf-8", "replace").partition("\r\n\r\n")[2]
    except OSError as error:
        return "error: %s" % error


def leaks():
    """Look for every credential's plaintext in the sinks where it must never be; return where it was found."""
    values = []
    for root, _, names in os.walk("/run/credentials"):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                values.append(file.read().strip())
    # A line of a PEM key is as good as the whole.
    needles = [
        part for value in values for part in value.splitlines() if len(part) >= 16 and b"-----" not in part
    ]
    sinks = {"journal": run("journalctl", "-b", "--no-pager", "-o", "export")["out"].encode()}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in ("cmdline", "environ"):
            try:
                with open("/proc/%s/%s" % (pid, kind), "rb") as file:
                    sinks["/proc/%s/%s" % (pid, kind)] = file.read()
            except OSError:
                continue
    for top in (
        "/tmp",
        "/var/tmp",
        "/etc/slipway",
        "/opt/slipway",
        "/root",
        "/home",
        "/var/lib/slipway",
        "/var/log",
    ):
        for root, _, names in os.walk(top):
            if "/venv/" in root or "/wheelhouse" in root:
                continue
            for name in names:
                path = os.path.join(root, name)
                try:
                    if os.path.isfile(path) and os.path.getsize(path) < 1 << 22:
                        with open(path, "rb") as file:
                            sinks[path] = file.read()
                except OSError:
                    continue
    found = sorted(name for name, data in sinks.items() if any(needle in data for needle in needles))
    return {"values": len(values), "needles": len(needles), "sinks": len(sinks), "found": found}


def user_state(name):
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = sorted(g.gr_name for g in grp.getgrall() if name in g.gr_mem or g.gr_gid == entry.pw_gid)
    return {"uid": entry.pw_uid, "gid": entry.pw_gid, "shell": entry.pw_shell, "groups": groups}


def main():
    want = json.loads(sys.argv[1])
    out = {"time_ns": time.time_ns(), "hostname": socket.gethostname()}
    out["files"] = {path: file_state(path) for path in want["files"]}
    out["directories"] = {
        path: sorted(os.listdir(path)) if os.path.isdir(path) else None for path in want["directories"]
    }
    out["units"] = {name: unit_state(name) for name in want["units"]}
    out["users"] = {name: user_state(name) for name in want["users"]}
    out["leaks"] = leaks()
    out["sockets"] = sockets()
    out["resolved"] = {name: resolve(name) for name in want["names"]}
    out["engine"] = engine(want["control_socket"])
    out["metrics"] = http_get(want["metrics_port"], "/metrics")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        # By address, so that what is judged is the connection and not whether the user may ask for names.
        attempts = [
            pool.submit(
                attempt, a["uid"], out["resolved"].get(a["host"], [a["host"]])[0], a["port"], a["timeout"]
            )
            for a in want["attempts"]
        ]
        commands = {name: pool.submit(run, *argv) for name, argv in want["commands"].items()}
        out["attempts"] = [
            {**future.result(), "host": a["host"]} for future, a in zip(attempts, want["attempts"])
        ]
        out["commands"] = {name: future.result() for name, future in commands.items()}
    json.dump(out, sys.stdout)


main()
