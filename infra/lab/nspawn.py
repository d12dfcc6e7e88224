"""Hosts as systemd-nspawn containers: real systemd, sshd and nftables over one shared image, up in a second.

A host is a directory ``hosts/<instance id>`` in the lab's directory (``host.json``, the overlay's
``upper`` and ``work``, the mount point ``root``, ``console.log``), a network namespace, and a cage with
two groups: ``keeper``, which starts the container again when it reboots, and ``box``, which is the
container.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from ipaddress import IPv4Interface
from pathlib import Path

from infra.lab.cages import Cage
from infra.lab.commands import CommandError, replace_text, run
from infra.lab.fabric import Fabric, Link
from infra.lab.image import LOGIN
from infra.lab.rules import NAME_SERVER
from infra.lab.settings import LabError, LabSettings
from infra.lab.spawn import start, tail
from infra.plan.model import Closed

BOOT_S = 60.0
"""Longest wait for a boot; an idle machine takes about one second."""

STOP_S = 30.0
"""Longest wait for an orderly shutdown before the power is cut."""

REBOOT_CODE = 133
"""systemd-nspawn's exit code when the container asked to be started again."""

POWER_OFF = signal.SIGTERM
REBOOT = int(signal.SIGRTMIN) + 5

CAPABILITIES = "CAP_NET_ADMIN,CAP_IPC_LOCK,CAP_SYS_NICE,CAP_BPF,CAP_PERFMON"
"""Beyond nspawn's own: firewall, locked memory, real-time priority, and BPF, without which IPAddressDeny is
silently not enforced."""

KEEPER = """
while :; do
  ip netns exec "$1" nft flush ruleset
  code=0; /bin/sh -ec "$2" box "${@:3}" || code=$?
  [ "$code" -eq REBOOT_CODE ] || exit "$code"
done
""".replace("REBOOT_CODE", str(REBOOT_CODE))


class HostSpec(Closed):
    """What the driver needs to know to make one host."""

    instance: str
    name: str
    """Host name."""

    region: str
    address: IPv4Interface
    public_key: str
    """The authorized key of the login user, in OpenSSH's format."""


class Hosts:
    """The hosts of one lab."""

    def __init__(self, settings: LabSettings, image: Path, fabric: Fabric) -> None:
        self.settings = settings
        self.image = image
        self.fabric = fabric

    def directory(self, instance: str) -> Path:
        """Return a host's directory."""
        return self.settings.hosts / instance

    def known(self) -> dict[str, HostSpec]:
        """Return every host that was made and not terminated, running or not."""
        if not self.settings.hosts.is_dir():
            return {}
        found = {}
        for path in sorted(self.settings.hosts.glob("*/host.json")):
            with contextlib.suppress(FileNotFoundError):  # it is being removed at this moment
                found[path.parent.name] = HostSpec.model_validate_json(path.read_text(encoding="utf-8"))
        return found

    def running(self, instance: str) -> bool:
        """Tell whether a host has power."""
        return not self._cage(instance).empty()

    def create(self, spec: HostSpec) -> None:
        """Make a host's disk, identity and network, without starting it; a second call repairs."""
        directory = self.directory(spec.instance)
        directory.mkdir(parents=True, exist_ok=True)
        replace_text(directory / "host.json", spec.model_dump_json())
        for name in ("upper", "work", "root"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        root = directory / "root"
        if not root.is_mount():
            layers = f"lowerdir={self.image},upperdir={directory / 'upper'},workdir={directory / 'work'}"
            run("mount", "-t", "overlay", "-o", layers, f"{self.settings.prefix}-{spec.instance}", str(root))
        self.fabric.connect(Link(spec.instance, spec.address))
        done = directory / "personalised"
        if not done.exists():
            self._personalise(root, spec)
            done.touch()

    def start(self, instance: str) -> None:
        """Give power and wait until sshd answers with the host's own key and lets users in."""
        cage = self._cage(instance)
        spec = self.known()[instance]
        if cage.empty():
            namespace = self.settings.namespace(instance)
            box = Cage(tuple(path / "box" for path in cage.paths))
            keeper = Cage(tuple(path / "keeper" for path in cage.paths))
            box.create()
            enter_box = box.inside([])[2]
            nspawn = [
                "systemd-nspawn",
                "--quiet",
                f"--directory={self.directory(instance) / 'root'}",
                "--boot",
                "--register=no",
                "--keep-unit",
                f"--machine={namespace}",
                f"--hostname={spec.name}",
                f"--network-namespace-path=/run/netns/{namespace}",
                f"--capability={CAPABILITIES}",
                "--system-call-filter=bpf",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
                "--console=read-only",
            ]
            start(
                keeper,
                ["/bin/bash", "-c", KEEPER, "keeper", namespace, enter_box, *nspawn],
                self.console(instance),
                # net.* belongs to the host's own namespace, so the host may set it, as on a machine of
                # its own. {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            )
        self._await_login(spec)

    def stop(self, instance: str, grace: float = STOP_S) -> None:
        """Shut a host down in order; after ``grace`` seconds cut the power. Its disk and network stay."""
        cage = self._cage(instance)
        if grace > 0:
            for pid in self._supervisors(instance):
                with contextlib.suppress(ProcessLookupError):
                    signal_process(pid, POWER_OFF)
            if cage.wait_empty(grace):
                return
        cage.kill(grace=0)

    def reboot(self, instance: str) -> None:
        """Restart a host in order and wait until it answers; its disk stays, /run and its rules do not."""
        former = self._first_process(instance)
        if former is None:
            raise LabError(f"host {instance} is not running, so it cannot be rebooted")
        signal_process(former, REBOOT)
        deadline = time.monotonic() + STOP_S
        while self._first_process(instance) in {former, None}:
            if time.monotonic() > deadline:
                raise LabError(
                    f"host {instance} did not restart in {STOP_S:g} s: {tail(self.console(instance))}"
                )
            time.sleep(0.02)
        self._await_login(self.known()[instance])

    def terminate(self, instance: str, grace: float = 0.0) -> None:
        """Remove a host with its disk and network; harmless when parts are gone already."""
        self.stop(instance, grace)
        self._cage(instance).remove()
        self.fabric.disconnect(instance)
        directory = self.directory(instance)
        root = directory / "root"
        deadline = time.monotonic() + 10.0
        while root.is_mount():
            try:
                run("umount", str(root))
            except CommandError as error:
                if time.monotonic() > deadline:
                    raise LabError(
                        f"the disk of host {instance} cannot be unmounted: {error.stderr}"
                    ) from error
                time.sleep(0.05)
        with contextlib.suppress(OSError):
            Path("/run/systemd/nspawn/propagate", self.settings.namespace(instance)).rmdir()
        shutil.rmtree(directory, ignore_errors=True)

    def host_keys(self, instance: str) -> list[str]:
        """Return the host's public SSH keys, as its console printed them at its first boot."""
        paths = sorted((self.directory(instance) / "root/etc/ssh").glob("ssh_host_*_key.pub"))
        return [path.read_text(encoding="utf-8").strip() for path in paths]

    def console(self, instance: str) -> Path:
        """Return the file that the host's console prints to."""
        return self.directory(instance) / "console.log"

    def first_process(self, instance: str) -> int | None:
        """Return the pid (as the machine sees it) of the host's init, None while there is none."""
        return self._first_process(instance)

    def _cage(self, instance: str) -> Cage:
        return Cage.of(self.settings, instance)

    def _supervisors(self, instance: str) -> set[int]:
        return Cage(tuple(path / "box" / "supervisor" for path in self._cage(instance).paths)).pids()

    def _first_process(self, instance: str) -> int | None:
        pids = Cage(
            tuple(path / "box" / "payload" / "init.scope" for path in self._cage(instance).paths)
        ).pids()
        return min(pids, default=None)

    def _personalise(self, root: Path, spec: HostSpec) -> None:
        """Do what cloud-init does at a first boot: name, name server, host keys, the login user's key."""
        (root / "etc/hostname").write_text(f"{spec.name}\n", encoding="utf-8")
        (root / "etc/hosts").write_text(
            f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n::1 localhost ip6-localhost ip6-loopback\n",
            encoding="utf-8",
        )
        (root / "etc/resolv.conf").write_text(f"nameserver {NAME_SERVER}\n", encoding="utf-8")
        for kind in ("ed25519", "ecdsa"):
            key = root / "etc/ssh" / f"ssh_host_{kind}_key"
            key.unlink(missing_ok=True)
            run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"root@{spec.name}", "-f", str(key))
        folder = root / "home" / LOGIN / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        authorized = folder / "authorized_keys"
        authorized.write_text(spec.public_key.strip() + "\n", encoding="utf-8")
        authorized.chmod(0o600)
        owner = (root / "home" / LOGIN).stat()
        for path in (folder, authorized):
            shutil.chown(path, owner.st_uid, owner.st_gid)

    def _await_login(self, spec: HostSpec) -> None:
        deadline = time.monotonic() + BOOT_S
        keys = {tuple(key.split()[:2]) for key in self.host_keys(spec.instance)}
        address = str(spec.address.ip)
        while True:
            if not self.running(spec.instance):
                raise LabError(
                    f"host {spec.instance} ended while booting: {tail(self.console(spec.instance))}"
                )
            first = self._first_process(spec.instance)
            if first is not None and not _logins_refused(first):
                with contextlib.suppress(CommandError):
                    seen = run("ssh-keyscan", "-T", "2", "-t", "ed25519", address, netns=self.settings.router)
                    if any(tuple(line.split()[1:3]) in keys for line in seen.splitlines()):
                        return
            if time.monotonic() > deadline:
                raise LabError(
                    f"host {spec.instance} does not answer SSH at {address} after {BOOT_S:g} s: "
                    f"{tail(self.console(spec.instance))}"
                )
            time.sleep(0.02)


def signal_process(pid: int, number: int) -> None:
    """Signal one process, through a handle that cannot mean another one by the time it is used."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


def _logins_refused(first: int) -> bool:
    """Tell whether the host still turns users away because it is booting (pam_nologin)."""
    run_directory = Path(f"/proc/{first}/root/run")
    try:
        return (run_directory / "nologin").exists() or not (run_directory / "systemd/system").is_dir()
    except OSError:
        return True
