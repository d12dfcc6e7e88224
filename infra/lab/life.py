"""The lab's life: up, down, status, ssh.

``up`` makes what is missing and leaves what is there, so it may be called twice, or after a crash.
``down`` needs no record of what was made: everything bears the lab's prefix (namespaces, control groups)
or lies in its directory (mounts, files); so it also cleans what a half-started or killed lab left. The
one change outside, the inotify limit, is noted before it is made and undone with the last lab.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

import infra
from infra.lab import fabric, image, preflight
from infra.lab.authority import Authority
from infra.lab.cages import Cage
from infra.lab.commands import replace_text, run
from infra.lab.fabric import Fabric
from infra.lab.image import LOGIN
from infra.lab.nspawn import Hosts
from infra.lab.settings import LabError, LabSettings
from infra.lab.spawn import start, tail
from infra.lab.venues_runner import VENUES, Venue, VenuesRunner, hostnames
from infra.plan.model import Closed

CLOUD_S = 90.0
"""Longest wait for the cloud daemon; an idle machine takes about three seconds."""


class LabDocument(Closed):
    """``lab.json``: what others need to use the lab, and what ``down`` must restore."""

    schema_version: Literal[1] = 1
    state: Literal["starting", "up"]
    prefix: str
    image: Path
    endpoint: str | None = None
    """URL of the lab's cloud, for AWS_ENDPOINT_URL."""

    ca: Path
    """The certificate that hosts must trust (PEM)."""

    ssh_key: Path
    """The operator's private key; its public half is ``ssh_key`` + ``.pub``."""

    proxy_command: str
    """SSH ProxyCommand that reaches the hosts."""

    secrets: Path
    """Values of the lab's credentials, 0600."""

    admin_sockets: dict[str, Path]
    """The simulators' admin endpoints, by venue."""

    processes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Process ids by cage at the time of writing, for people; ``down`` asks the kernel instead."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send boto3, Pulumi's provider and Ansible's lookups to the lab."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint or "",
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
        }


class HostStatus(Closed):
    """One instance of the lab's cloud."""

    instance_id: str
    name: str
    region: str
    state: str
    private_address: IPv4Address
    public_address: IPv4Address | None


class LabStatus(Closed):
    """What there is of a lab, observed now."""

    state: Literal["down", "up", "broken"]
    problems: tuple[str, ...] = ()
    """Why it is broken, one line each."""

    document: LabDocument | None = None
    hosts: tuple[HostStatus, ...] = ()
    venues: dict[str, bool] = Field(default_factory=dict)
    """Whether each simulator answers."""

    failures: dict[str, str] = Field(default_factory=dict)
    """Hosts that could not be started, with the reason."""


@dataclass(frozen=True)
class Event:
    """One step of ``up`` or ``down``, for a progress display: once when it begins, once when it is done."""

    step: str
    text: str
    done: bool = False
    seconds: float = 0.0


Progress = Callable[[Event], None]

CONTENTS = ("hosts", "names", "time", "cloud", "venues", "authority", "ssh", "secrets.json", "lab.json")
"""Everything that the lab makes in its directory; ``lab.json`` goes last."""

STEPS_UP = ("preflight", "image", "network", "authority", "venues", "cloud")
STEPS_DOWN = ("cloud", "hosts", "processes", "network", "files")


def silent(_event: Event) -> None:
    """Show nothing."""


class Lab:
    """One lab on this machine. ``venues`` are the simulators to run (all by default)."""

    def __init__(self, settings: LabSettings | None = None, venues: Sequence[Venue] = VENUES) -> None:
        self.settings = settings or LabSettings.from_environment()
        self.fabric = Fabric(self.settings)
        self.venues = VenuesRunner(self.settings, venues)
        self.authority = Authority(self.settings.directory / "authority")

    # -- up ---------------------------------------------------------------------------------------------

    def up(self, progress: Progress = silent, names: dict[str, IPv4Address] | None = None) -> LabDocument:
        """Bring the lab up, or repair it, and return ``lab.json``'s content.

        ``names`` are further DNS names of the lab. Raises PreflightError before anything is changed when
        the machine cannot run it, LabError when a step fails (then ``down`` cleans up, or ``up`` tries
        again).
        """
        with _step(progress, "preflight", "this machine"):
            preflight.require(self.settings)
        with _step(progress, "image", "base image of the hosts"):
            tree = self._image()
        with self._sole():
            document = LabDocument(
                state="starting",
                prefix=self.settings.prefix,
                image=tree,
                ca=self.authority.certificate,
                ssh_key=self.settings.directory / "ssh" / "id_ed25519",
                proxy_command=self.settings.proxy_command,
                secrets=self.venues.secrets_file,
                admin_sockets={v.name: self.venues.admin_socket(v.name) for v in self.venues.venues},
            )
            self._write(document)
            with _step(progress, "network", "router, name and time service"):
                Cage.of(self.settings).create()
                fabric.raise_inotify_limit()
                self.fabric.ensure(hostnames(self.venues.venues) | (names or {}))
            with _step(progress, "authority", "certificate authority and the operator's key"):
                self.authority.ensure()
                self._ssh_key(document.ssh_key)
            self._start_cloud(tree)
            with _step(progress, "venues", "venue simulators"):
                self.venues.ensure(self.authority)
            with _step(progress, "cloud", "EC2-compatible endpoint"):
                endpoint = self._await_cloud()
            document = document.model_copy(
                update={"state": "up", "endpoint": endpoint, "processes": self._processes()}
            )
            self._write(document)
            return document

    def _image(self) -> Path:
        """Keep the image of a lab that is up (its hosts stand on it), else take the present recipe's."""
        document = self.document()
        if document is not None and document.image.is_dir():
            return document.image
        return image.ensure(self.settings)

    def _ssh_key(self, path: Path) -> None:
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway lab operator", "-f", str(path))

    def _start_cloud(self, tree: Path) -> None:
        """Start the daemon unless it answers. What hosts a dead daemon left, the new one removes."""
        cage = Cage.of(self.settings, "cloud")
        file = self._endpoint_file
        if not cage.empty() and file.exists() and self._ask(file.read_text().strip(), "status") is not None:
            return
        cage.kill()
        file.unlink(missing_ok=True)
        start(
            cage,
            [
                *(sys.executable, "-m", "infra.lab.cloud.server"),
                *("--directory", str(self.settings.directory), "--prefix", self.settings.prefix),
                *("--port", str(self.settings.port), "--image", str(tree)),
            ],
            self._cloud_log,
            {"PYTHONPATH": str(Path(infra.__file__).resolve().parents[1])},
        )

    def _await_cloud(self) -> str:
        cage, log = Cage.of(self.settings, "cloud"), self._cloud_log
        deadline = time.monotonic() + CLOUD_S
        while True:
            if self._endpoint_file.exists():
                endpoint = self._endpoint_file.read_text().strip()
                if self._ask(endpoint, "status") is not None:
                    return endpoint
            if cage.empty():
                raise LabError(f"the lab's cloud ended at its start (see {log}): {tail(log)}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"the lab's cloud does not answer after {CLOUD_S:g} s (see {log}): {tail(log)}"
                )
            time.sleep(0.05)

    @property
    def _endpoint_file(self) -> Path:
        return self.settings.directory / "cloud" / "endpoint"

    @property
    def _cloud_log(self) -> Path:
        return self.settings.directory / "cloud" / "log"

    # -- down -------------------------------------------------------------------------------------------

    def down(self, progress: Progress = silent) -> None:
        """Remove everything of the lab but the image cache; harmless when there is nothing.

        Raises LabError naming what is left, should anything resist.
        """
        if os.geteuid() != 0:
            raise LabError("taking the lab down needs root: use sudo")
        for problem in preflight.other_prefix(self.settings):
            raise LabError(problem)
        with self._sole():
            with _step(progress, "cloud", "EC2-compatible endpoint"):
                Cage.of(self.settings, "cloud").kill(grace=3.0)
            with _step(progress, "hosts", "hosts"):
                hosts = Hosts(self.settings, Path("/nonexistent"), self.fabric)
                for name in self._host_directories():
                    hosts.terminate(name)
            with _step(progress, "processes", "simulators, name and time service"):
                everything = Cage.of(self.settings)
                everything.kill(grace=3.0)
                everything.remove()
            with _step(progress, "network", "namespaces, and with them links, addresses and rules"):
                self.fabric.remove()
                if not Cage.others(self.settings):
                    fabric.restore_inotify_limit()
            with _step(progress, "files", "mounts and files"):
                for mount in reversed(self._mounts()):
                    run("umount", mount)
                for path in self._nspawn_remainders():
                    with contextlib.suppress(OSError):
                        path.rmdir()
                self._remove_files()
            left = self.remains()
            if left:
                raise LabError("the lab could not be removed wholly; left are: " + "; ".join(left))
            self._lock_file.unlink()
            if self.settings.directory == LabSettings.directory:
                with contextlib.suppress(OSError):
                    self.settings.directory.parent.rmdir()

    def remains(self) -> list[str]:
        """Return everything on this machine that belongs to the lab (nothing, after ``down``)."""
        found = [f"namespace {name}" for name in self.fabric.namespaces()]
        found += [f"mount {mount}" for mount in self._mounts()]
        with contextlib.suppress(LabError):
            cage = Cage.of(self.settings)
            found += [f"process {pid} ({_command_line(pid)})" for pid in sorted(cage.pids())]
            found += [f"control group {path}" for path in cage.paths if path.exists()]
        found += [f"directory {path}" for path in self._nspawn_remainders()]
        found += [f"file {path}" for path in self._files()]
        return found

    def _files(self) -> list[Path]:
        """Return what the lab made in its directory; anything else there is not ours to remove."""
        return [path for name in CONTENTS if (path := self.settings.directory / name).exists()]

    def _remove_files(self) -> None:
        for path in self._files():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        with contextlib.suppress(OSError):
            self.settings.directory.rmdir()

    def _host_directories(self) -> list[str]:
        if not self.settings.hosts.is_dir():
            return []
        return sorted(path.name for path in self.settings.hosts.iterdir() if path.is_dir())

    def _mounts(self) -> list[str]:
        """Return the mounts of hosts' disks."""
        inside = f"{self.settings.hosts}/"
        points = []
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            point = line.split()[4].encode().decode("unicode_escape")
            if point.startswith(inside):
                points.append(point)
        return points

    def _nspawn_remainders(self) -> list[Path]:
        return sorted(Path("/run/systemd/nspawn/propagate").glob(f"{self.settings.prefix}-*"))

    # -- looking ----------------------------------------------------------------------------------------

    def document(self) -> LabDocument | None:
        """Read ``lab.json``; None when there is no lab. LabError names the file when it cannot be read."""
        path = self.settings.document
        try:
            return LabDocument.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, PermissionError) as error:
            raise LabError(f"{path} cannot be used: {error}; take the lab down and up again") from error

    def status(self) -> LabStatus:
        """Observe the lab: state, hosts, simulators, and what is wrong, one line each. Changes nothing."""
        if os.geteuid() != 0:
            raise LabError("looking into the lab needs root: use sudo")
        document = self.document()
        if document is None:
            left = self.remains()
            if not left:
                return LabStatus(state="down")
            complaint = f"no {self.settings.document}, but there are: {'; '.join(left)}"
            return LabStatus(state="broken", problems=(complaint,))
        problems: list[str] = []
        if document.state != "up":
            problems.append("the last start did not end: run `slipway lab up` again, or `slipway lab down`")
        problems += [
            f"network namespace {namespace} is gone"
            for namespace in (self.settings.router, self.settings.venues)
            if not fabric.namespace_usable(namespace)
        ]
        for name, what in (("names", "the name server"), ("time", "the time server")):
            if Cage.of(self.settings, name).empty():
                problems.append(f"{what} is not running")
        answer = self._ask(document.endpoint or "", "status")
        if answer is None:
            problems.append(f"the cloud at {document.endpoint} does not answer")
        venues = {name: self.venues.alive(name) for name in document.admin_sockets}
        problems += [f"the {name} simulator does not answer" for name, alive in venues.items() if not alive]
        return LabStatus(
            state="broken" if problems else "up",
            problems=tuple(problems),
            document=document,
            hosts=tuple(HostStatus.model_validate(host) for host in (answer or {}).get("hosts", [])),
            venues=venues,
            failures=(answer or {}).get("failures", {}),
        )

    def settle(self) -> LabStatus:
        """Wait (two minutes at most) until every host is what the account wants, then return the status."""
        document = self._running_document()
        answer = self._ask(document.endpoint or "", "settle", post=True, timeout=150.0)
        if answer is None or not answer["settled"]:
            raise LabError("the hosts of the lab do not settle: see the cloud's log in the lab's directory")
        return self.status()

    def ssh_command(self, host: str, *command: str) -> list[str]:
        """Return the ssh command for a host given by name, instance id or private address.

        Host keys are those that the console printed, so that a wrong host is refused.
        """
        document = self._running_document()
        hosts = [one for one in self.status().hosts if one.state not in {"terminated", "shutting-down"}]
        chosen = [one for one in hosts if host in {one.name, one.instance_id, str(one.private_address)}]
        if not chosen:
            there = ", ".join(sorted(one.name for one in hosts)) or "none"
            raise LabError(f"the lab has no host {host!r}; there are: {there}")
        one = chosen[0]
        driver = Hosts(self.settings, document.image, self.fabric)
        known = self.settings.hosts / one.instance_id / "known_hosts"
        keys = [f"{one.private_address} {key}\n" for key in driver.host_keys(one.instance_id)]
        if not keys:
            raise LabError(f"host {one.name} ({one.instance_id}) is {one.state} and has no host keys yet")
        replace_text(known, "".join(keys))
        options = {
            "IdentityFile": str(document.ssh_key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "ProxyCommand": document.proxy_command,
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", *flags, f"{LOGIN}@{one.private_address}", *command]

    # -- parts ------------------------------------------------------------------------------------------

    def _running_document(self) -> LabDocument:
        document = self.document()
        if document is None or document.endpoint is None:
            raise LabError(f"there is no lab in {self.settings.directory}: run `slipway lab up`")
        return document

    def _write(self, document: LabDocument) -> None:
        replace_text(self.settings.document, document.model_dump_json(indent=1) + "\n")

    def _processes(self) -> dict[str, tuple[int, ...]]:
        names = ["cloud", "names", "time", *(f"venue-{venue.name}" for venue in self.venues.venues)]
        return {name: tuple(sorted(Cage.of(self.settings, name).pids())) for name in names}

    def _ask(
        self, endpoint: str, what: str, *, post: bool = False, timeout: float = 10.0
    ) -> dict[str, Any] | None:
        """Ask the daemon about itself; None when it does not answer."""
        if not endpoint:
            return None
        request = urllib.request.Request(  # noqa: S310 - the URL is our own daemon's
            f"{endpoint}/_slipway/{what}", method="POST" if post else "GET"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as reply:
                answer: dict[str, Any] = json.loads(reply.read())
                return answer
        except (OSError, ValueError):
            return None

    @contextmanager
    def _sole(self) -> Iterator[None]:
        """Let one process at a time change the lab, by a lock beside the directory that ``down`` removes."""
        path = self._lock_file
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = -1
        while handle < 0:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise LabError(f"another process is starting or stopping the lab (lock {path})") from None
            if os.fstat(handle).st_nlink == 0:  # a `down` removed it between our opening and locking it
                os.close(handle)
                handle = -1
        try:
            self.settings.directory.mkdir(parents=True, exist_ok=True)
            yield
        finally:
            os.close(handle)

    @property
    def _lock_file(self) -> Path:
        return self.settings.directory.with_name(f".{self.settings.directory.name}.lock")


@contextmanager
def _step(progress: Progress, step: str, text: str) -> Iterator[None]:
    begun = time.monotonic()
    progress(Event(step, text))
    yield
    progress(Event(step, text, done=True, seconds=time.monotonic() - begun))


def _command_line(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    return shlex.join(part.decode(errors="replace") for part in raw.split(b"\0") if part)


def up(progress: Progress = silent) -> LabDocument:
    """Bring up the lab that the environment names."""
    return Lab().up(progress)


def down(progress: Progress = silent) -> None:
    """Take down the lab that the environment names."""
    Lab().down(progress)


def status() -> LabStatus:
    """Observe the lab that the environment names."""
    return Lab().status()


def ssh_command(host: str, *command: str) -> list[str]:
    """Return the ssh command for a host of the lab that the environment names."""
    return Lab().ssh_command(host, *command)
