"""The base image of the lab's hosts: a Debian 12 tree, built once by mmdebstrap and shared read-only.

The cache key is a hash of the recipe below, so a changed recipe is a new image. A tree is built beside
its place and renamed into it, so one that was begun and not finished is never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.lab.cages import Cage
from infra.lab.commands import CommandError, run
from infra.lab.settings import LabError, LabSettings

SUITE = "bookworm"
LOGIN = "admin"
"""The login user of Debian's own machine images."""

PACKAGES = (
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "procps",
    "iproute2",
    "netcat-openbsd",
    "nftables",
    "chrony",
    "ca-certificates",
    "python3",
    "python3-venv",
    "minisign",
    "zstd",
    "libwebsockets17",
    "libcurl4",
    "libjansson4",
    "libsystemd0",
)

LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
"""Documentation that no host reads (licences are kept)."""

MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "console-getty.service",
    "getty@.service",
    "systemd-pstore.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "networking.service",
    "systemd-timesyncd.service",
)
"""What a container does not need or must not do: its addresses are given from outside."""

FILES = {
    "/etc/apt/sources.list": (
        "deb http://deb.debian.org/debian bookworm main\n"
        "deb http://deb.debian.org/debian bookworm-updates main\n"
        "deb http://deb.debian.org/debian-security bookworm-security main\n"
    ),
    "/etc/sudoers.d/90-cloud-init-users": f"{LOGIN} ALL=(ALL) NOPASSWD:ALL\n",
    "/etc/ssh/sshd_config.d/50-cloud.conf": "PasswordAuthentication no\nUseDNS no\n",
    "/etc/hostname": "localhost\n",
    "/etc/machine-id": "",
    "/etc/fstab": "",
}

OWN_TO_EACH_HOST = (
    "etc/ssh/ssh_host_*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "etc/apt/sources.list.d/*",
)
"""What two hosts must never share (and the building machine's package sources)."""

REVISION = 1
"""Raised when the steps below change in a way that the tables above do not show."""


def recipe() -> str:
    """Return everything that decides the image's content, as text."""
    parts = [REVISION, SUITE, PACKAGES, LEFT_OUT, MASKED, FILES, OWN_TO_EACH_HOST]
    return json.dumps(parts, sort_keys=True)


def tree(settings: LabSettings) -> Path:
    """Return where the image of the present recipe is or will be."""
    key = hashlib.sha256(recipe().encode()).hexdigest()[:16]
    return settings.cache / "images" / f"{SUITE}-{key}"


def ensure(settings: LabSettings) -> Path:
    """Return the image's tree, building it first (about 45 s) if it is not in the cache."""
    place = tree(settings)
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    cage = Cage.of(settings, "image")
    with _only_builder(place.parent):
        if place.is_dir():
            return place
        cage.kill(grace=0)  # a killed builder's children
        for remainder in place.parent.glob(".building-*"):
            shutil.rmtree(remainder)
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=place.parent))
        try:
            scratch.chmod(0o755)
            root = scratch / "root"
            _build(root, scratch, cage)
            _finish(root)
            root.rename(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            cage.remove()
    return place


def sources() -> list[str]:
    """Return the machine's own package sources of the suite: it can reach their mirrors."""
    found = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]
    chosen = []
    for path in found:
        if path.suffix in {".list", ".sources"} and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            if any(SUITE in line for line in lines if not line.lstrip().startswith("#")):
                chosen.append(str(path))
    return chosen


def _apt_options() -> list[str]:
    """Carry the machine's proxy and date settings into the build, which otherwise ignores them."""
    options = []
    for line in run("apt-config", "dump").splitlines():
        key = line.split(" ", 1)[0]
        if key in {
            "Acquire::http::Proxy",
            "Acquire::https::Proxy",
            "Acquire::Check-Valid-Until",
            "Acquire::Check-Date",
        }:
            options.append(f"--aptopt={line.rstrip(';')}")
    return options


def _build(root: Path, scratch: Path, cage: Cage) -> None:
    cage.create()
    command = [
        "mmdebstrap",
        "--variant=apt",
        "--mode=root",
        "--format=directory",
        f"--include={','.join(PACKAGES)}",
        *_apt_options(),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        SUITE,
        str(root),
        *sources(),
    ]
    try:
        run(*cage.inside(command), timeout=1800)
    except CommandError as error:
        last = " | ".join(error.stderr.splitlines()[-4:])
        raise LabError(
            f"the base image could not be built in {scratch}: {last}. "
            "Check that this machine's apt reaches a Debian mirror (`apt-get update`), then try again."
        ) from error


def _finish(root: Path) -> None:
    """Make it a host's image: login user, our files, masks, and nothing that hosts must not share."""
    run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", LOGIN)
    for pattern in OWN_TO_EACH_HOST:
        for path in root.glob(pattern):
            path.unlink()
    for name, content in FILES.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o440 if "sudoers" in name else 0o644)
    for unit in MASKED:
        path = root / "etc/systemd/system" / unit
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/null")
    (root / "etc/resolv.conf").unlink(missing_ok=True)


@contextmanager
def _only_builder(directory: Path) -> Iterator[None]:
    """Let one process build at a time; a second waits and then finds the image made."""
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
