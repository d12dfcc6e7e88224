"""What a machine needs to run the lab, looked at before anything is changed; one line a thing missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from infra.lab import cages, fabric, image
from infra.lab.commands import CommandError, run
from infra.lab.rules import HostPolicy, Permission, ruleset
from infra.lab.settings import DIRECTORY_VARIABLE, PORT_VARIABLE, PREFIX_VARIABLE, LabError, LabSettings

TOOLS = {
    "ip": "iproute2",
    "ss": "iproute2",
    "nft": "nftables",
    "systemd-nspawn": "systemd-container",
    "dnsmasq": "dnsmasq-base",
    "chronyd": "chrony",
    "nc": "netcat-openbsd",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ssh-keyscan": "openssh-client",
    "mount": "mount",
    "setsid": "util-linux",
    "unshare": "util-linux",
    "bash": "bash",
}
"""Every program that the lab runs, and the Debian package that brings it."""

BUILD_TOOLS = {"mmdebstrap": "mmdebstrap", "apt-config": "apt", "chroot": "coreutils"}
"""Needed only while the base image is not in the cache."""

GIB = 1 << 30
LAB_BYTES = GIB
IMAGE_BYTES = GIB


class PreflightError(LabError):
    """This machine cannot run the lab; ``problems`` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("this machine cannot run the lab:\n" + "\n".join(f"  - {line}" for line in problems))


def require(settings: LabSettings) -> None:
    """Raise PreflightError with every problem at once."""
    problems = check(settings)
    if problems:
        raise PreflightError(problems)


def check(settings: LabSettings) -> list[str]:
    """Return one line for each thing that is missing; an empty list means that the lab can run."""
    if platform.system() != "Linux":
        return [f"the lab needs Linux; this is {platform.system()}"]
    problems = [line for look in LOOKS for line in look(settings)]
    if not problems:
        # These trials need the tools and the rights that were just looked for.
        problems = [line for attempt in TRIALS for line in attempt(settings)]
    return problems


def _root(_settings: LabSettings) -> list[str]:
    user = os.geteuid()
    return [] if user == 0 else [f"the lab needs root (namespaces, mounts); this is user {user}: use sudo"]


def _tools(settings: LabSettings) -> list[str]:
    wanted = TOOLS if image.tree(settings).is_dir() else TOOLS | BUILD_TOOLS
    return [
        f"program {tool} is not in PATH: apt-get install {package}"
        for tool, package in wanted.items()
        if shutil.which(tool) is None
    ]


def _control_groups(_settings: LabSettings) -> list[str]:
    trees = cages.hierarchies()
    if not trees:
        return ["no control group tree is mounted: mount cgroup2 at /sys/fs/cgroup"]
    return [
        f"control group tree {tree} is read-only: the lab cannot hold its processes there (a container?)"
        for tree in trees
        if not os.access(tree, os.W_OK)
    ]


def _disk(settings: LabSettings) -> list[str]:
    needed = {settings.directory: LAB_BYTES}
    if not image.tree(settings).is_dir():
        needed[settings.cache] = IMAGE_BYTES
    problems = []
    for path, size in needed.items():
        place = nearest(path)
        free = shutil.disk_usage(place).free
        if free < size:
            problems.append(
                f"{path} needs {size / GIB:.1f} GiB of disk; {place} has {free / GIB:.1f} GiB free"
            )
    return problems


def _port(settings: LabSettings) -> list[str]:
    if settings.port == 0 or not _cage_empty(settings, "cloud"):
        return []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
        except OSError as error:
            return [
                f"port 127.0.0.1:{settings.port} is taken ({error.strerror}): end what uses it, "
                f"or choose another with {PORT_VARIABLE}"
            ]
    return []


def _other_lab(settings: LabSettings) -> list[str]:
    if settings.document.exists():
        return []
    found = fabric.Fabric(settings).namespaces()
    if not found and not _cage_empty(settings, ""):
        found = [f"processes of a lab with the prefix {settings.prefix!r}"]
    if not found:
        return []
    return [
        f"{', '.join(found)} exist, but {settings.document} does not: a lab with another directory has the "
        f"prefix {settings.prefix!r} (set {PREFIX_VARIABLE}), or one crashed (run `slipway lab down`)"
    ]


def _directory(settings: LabSettings) -> list[str]:
    directory = settings.directory
    if settings.document.exists():
        return other_prefix(settings)
    if not directory.exists():
        return []
    if not directory.is_dir():
        return [f"{directory} is not a directory: set {DIRECTORY_VARIABLE}"]
    if any(directory.iterdir()):
        return [
            f"{directory} is not empty and holds no lab.json: set {DIRECTORY_VARIABLE} to an empty "
            "directory, or run `slipway lab down` if a start of the lab was interrupted"
        ]
    return []


def _inotify(_settings: LabSettings) -> list[str]:
    limit = fabric.INOTIFY_LIMIT
    if int(limit.read_text()) >= fabric.INOTIFY_NEEDED or os.access(limit, os.W_OK):
        return []
    return [
        f"{limit} is {limit.read_text().strip()} and cannot be raised; the lab needs {fabric.INOTIFY_NEEDED}"
    ]


def _netcat(_settings: LabSettings) -> list[str]:
    if "OpenBSD" in run("sh", "-c", "nc -h 2>&1 || true"):
        return []
    return ["program nc is not OpenBSD's netcat: apt-get install netcat-openbsd"]


def _overlay(settings: LabSettings) -> list[str]:
    with tempfile.TemporaryDirectory(prefix=".slipway-trial-", dir=nearest(settings.directory)) as scratch:
        for name in ("lower", "upper", "work", "root"):
            Path(scratch, name).mkdir()
        layers = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
        # In a mount namespace of its own: it is gone when the trial ends.
        trial = f"mount -t overlay -o {layers} trial {scratch}/root && touch {scratch}/root/file"
        try:
            run("unshare", "--mount", "sh", "-c", trial)
        except CommandError as error:
            reason = " ".join(error.stderr.split())
            return [f"overlayfs cannot be mounted below {nearest(settings.directory)}: {reason}"]
    return []


def _network(_settings: LabSettings) -> list[str]:
    """Try it in network namespaces that end with the trial, the firewall with rules of the real form."""
    permission = Permission("tcp", 443, 443, ("0.0.0.0/0",))
    hosts = [
        HostPolicy(
            f"i-{n}", f"h{n}", IPv4Address(n), IPv4Address(n + 10), "vpc", (permission,), (permission,)
        )
        for n in (1, 2)
    ]
    trials = {
        "network namespaces": (["true"], None),
        "veth links": (["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], None),
        "nftables": (["nft", "-f", "-"], ruleset(hosts)),
    }
    problems = []
    for what, (command, stdin) in trials.items():
        try:
            run("unshare", "--net", *command, stdin=stdin)
        except CommandError as error:
            reason = " ".join(error.stderr.split())
            problems.append(f"this kernel lacks {what} (or forbids it here): {reason}")
    return problems


def other_prefix(settings: LabSettings) -> list[str]:
    """Tell when the lab in this directory has another prefix, for two labs would mix up their things."""
    try:
        prefix = json.loads(settings.document.read_text(encoding="utf-8"))["prefix"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if prefix == settings.prefix:
        return []
    return [
        f"the lab in {settings.directory} has the prefix {prefix!r}, not {settings.prefix!r}: "
        f"set {PREFIX_VARIABLE}={prefix}, or another {DIRECTORY_VARIABLE}"
    ]


def nearest(path: Path) -> Path:
    """Return the path itself, or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path


def _cage_empty(settings: LabSettings, name: str) -> bool:
    try:
        return cages.Cage.of(settings, name).empty()
    except LabError:
        return True


Look = Callable[[LabSettings], list[str]]
LOOKS: tuple[Look, ...] = (_root, _tools, _control_groups, _disk, _port, _directory, _other_lab, _inotify)
TRIALS: tuple[Look, ...] = (_netcat, _overlay, _network)
