"""A whole phase 1 in a lab of its own, driven by the functions that the command line calls."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from infra.lab.cages import Cage
from infra.lab.life import Lab, LabDocument
from infra.lab.nspawn import Hosts
from infra.lab.settings import LabSettings
from infra.lab.venues.control import Admin
from infra.lab.venues_runner import ACCOUNT
from infra.operate import arm, fleet, kill, reference, release, status, verify
from infra.operate.arm import Permit
from infra.operate.command import Command, CommandError
from infra.operate.kill import Kill
from infra.operate.workspace import Workspace, checkout
from infra.rehearsal import converge_command, deploy

STACK = "phase1"
BINANCE, POLYMARKET = "binance-tokyo-01", "polymarket-dublin-01"
VENUE = {BINANCE: "binance", POLYMARKET: "polymarket"}
UNIT = {BINANCE: "slipway-engine.service", POLYMARKET: "slipway-connector@polymarket.service"}
"""The unit that speaks to the venue."""

RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
PARTS = re.compile(r"^(?=fatal: |\[ERROR\]|PLAY |TASK |ok: |changed: )", re.MULTILINE)
"""Where Ansible's output begins to speak of something else."""

PATIENCE_S = 90.0
"""Longest wait for anything; only a broken thing ever takes it."""


@dataclass(frozen=True)
class Elsewhere(Workspace):
    """The workspace of the checkout with its generated files in another directory."""

    folder: Path = field(kw_only=True)

    @property
    def out(self) -> Path:
        return self.folder


@dataclass(frozen=True)
class Played:
    """How a run of a playbook ended."""

    failed: bool
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Tasks that changed something, by host, as Ansible's recap counts them."""
        return {found[1]: int(found[2]) for found in RECAP.finditer(self.output)}

    @property
    def errors(self) -> dict[str, str]:
        """What is said of each host that failed, its folded lines joined."""
        found: dict[str, str] = {}
        for part in re.split(
            r"^(?=fatal: |\[ERROR\]|PLAY |TASK |ok: |changed: )", self.output, flags=re.MULTILINE
        ):
            named = re.match(r"fatal: \[(\S+)\]", part)
            if named is not None:
                assert named[1] not in found, f"two errors of {named[1]}: {self.output}"
                found[named[1]] = " ".join(part.split())
        return found


@dataclass(frozen=True)
class Running:
    """The engine process of one host: another start gives another identity. ``pid`` is 0 while none runs."""

    pid: int
    started: str
    sha256: str


def until(what: str, condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Wait for a condition and return its value; fail naming ``what`` and the last value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not after {seconds:g} s; last seen: {value!r}"
        time.sleep(0.05)


class Stage:
    """Lab, deployment and what an operator does to them."""

    def __init__(self, folder: Path, prefix: str) -> None:
        settings = LabSettings(
            directory=folder / "lab", cache=LabSettings.from_environment().cache, prefix=prefix, port=0
        )
        self.folder = folder
        self.lab = Lab(settings)
        self.workspace = Elsewhere(checkout(), STACK, folder=folder / "out")
        self.hosts = (BINANCE, POLYMARKET)
        self.document: LabDocument | None = None
        self._runs = 0

    # -- life -------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Bring everything up to converged hosts, disarmed and logged in."""
        self.document = self.lab.up()
        # Built once for a state of the sources, in the checkout; what tests do to it they do to this copy.
        cache = Workspace(self.workspace.root, "e2e")
        self.key = release.generate_key(self.lab.settings.cache / "release-key")
        reference.build(cache, self.key, lambda _: None)
        shutil.copytree(cache.release_dir, self.workspace.release_dir)
        deploy(self.workspace, self.lab, lambda _: None)
        played = self.converge()
        assert not played.failed, played.output
        self.await_ready()

    def down(self) -> None:
        """Take everything away."""
        fleet.close(self.workspace)
        self.lab.down()

    # -- what an operator does --------------------------------------------------------------------------

    def converge(self, *extra: str, archive: Path | None = None) -> Played:
        """Run the converge as ``slipway converge`` does; ``archive`` stands in for the stack's release."""
        if archive is not None:
            extra = (*extra, "-e", f"release_archive={archive}")
        command = converge_command(self.workspace, self.document, extra)
        return self._run("converge", lambda log: command.run(log, cwd=self.workspace.root))

    def play(self, playbook: str, *extra: str) -> Played:
        """Run a playbook as a person would type it."""
        program = converge_command(self.workspace, self.document).argv[0]
        argv = (program, "-i", str(self.workspace.hosts_file), f"playbooks/{playbook}", *extra)
        return self._run(playbook, lambda log: Command(argv).run(log, cwd=self.workspace.root))

    def _run(self, name: str, run: Callable[[Path], None]) -> Played:
        self._runs += 1
        log = self.workspace.logs / f"{self._runs:03d}-{name}.log"
        try:
            run(log)
        except CommandError:
            return Played(failed=True, output=log.read_text(encoding="utf-8"))
        return Played(failed=False, output=log.read_text(encoding="utf-8"))

    def failed_checks(self, *extra: str, inventory: Path | None = None) -> dict[tuple[str, str], str]:
        """Verify as ``slipway verify`` does; return (host, ``file::check``) and message of what failed."""
        self._runs += 1
        junit = self.workspace.evidence / f"{self._runs:03d}.xml"
        archive = self.workspace.release_archive()
        if inventory is not None:
            extra = ("--inventory", str(inventory), *extra)
        command = verify.command(self.workspace, junit, ("--archive", str(archive), *extra))
        try:
            command.run(self.workspace.logs / f"{self._runs:03d}-verify.log", cwd=self.workspace.root)
        except CommandError:
            if not junit.exists():
                raise
        verify.results(junit, self.hosts)
        failed = {}
        for case in ET.parse(junit).getroot().iter("testcase"):
            bad = [child for child in case if child.tag in {"failure", "error", "skipped"}]
            if bad:
                module = str(case.get("classname")).rpartition(".")[2].removeprefix("test_")
                function, _, parameter = str(case.get("name")).partition("[")
                host = next(host for host in self.hosts if host in parameter)
                what = parameter.rstrip("]").replace(host, "").strip("-")
                if what and what not in VENUE.values():
                    function += f"[{what}]"
                failed[host, f"{module}::{function}"] = str(bad[0].get("message"))
        return failed

    def arm(self, by: str = "tester") -> None:
        """Arm all hosts."""
        arm.arm(self.workspace, Permit(by, 60))

    def kill(self, reason: str = "test") -> Kill:
        """Disarm all hosts."""
        return kill.kill(self.workspace, reason)

    # -- looking ----------------------------------------------------------------------------------------

    def engines(self) -> dict[str, dict[str, Any]]:
        """Return what every engine says of itself; an empty answer where it cannot be asked."""
        return {at.host: at.engine or {} for at in status.status(self.workspace)}

    def states(self) -> dict[str, str]:
        """Return the engines' states."""
        return {host: str(engine.get("state", "SILENT")) for host, engine in self.engines().items()}

    def connected(self, host: str) -> bool:
        """Whether a host's engine answers and is logged in at its venue."""
        venues = self.engines()[host].get("venues", {})
        return bool(venues) and all(at["connection"] == "READY" for at in venues.values())

    def await_ready(self) -> None:
        """Wait until every engine is logged in at its venue."""
        until("every engine is logged in", lambda: all(self.connected(host) for host in self.hosts) or None)

    def await_state(self, state: str) -> None:
        """Wait until every engine is in this state."""
        until(f"every engine is {state}", lambda: set(self.states().values()) == {state})

    def await_trading(self, hosts: tuple[str, ...] = (BINANCE, POLYMARKET)) -> None:
        """Wait until the venues of these hosts hold open orders of ours that they acknowledged anew."""
        before = {host: self.counters(host) for host in hosts}

        def traded() -> bool:
            now = {host: self.counters(host) for host in hosts}
            return all(
                now[host]["acked"] >= before[host]["acked"] + 3 and self.open_orders(host) for host in hosts
            )

        until("orders are acknowledged and open", traded)

    def counters(self, host: str) -> dict[str, int]:
        """Return what the host's venue has counted of our account."""
        counted: dict[str, int] = self.venue(host).state()["counters"].get(ACCOUNT, {})
        return {"acked": 0, "filled": 0, "canceled": 0, "rejected": 0} | counted

    def await_flat(self) -> None:
        """Wait until no order of ours is open at any venue."""
        until("nothing is open", lambda: not any(self.open_orders(host) for host in self.hosts))

    def open_orders(self, host: str) -> int:
        """Return how many of our orders are open, in the word of the host's venue."""
        return int(self.venue(host).state()["flat"][ACCOUNT]["open"])

    def venue(self, host: str) -> Admin:
        """Return the admin side of the host's venue."""
        return Admin(self.lab.venues.admin_socket(VENUE[host]))

    def running(self) -> dict[str, Running]:
        """Return which engine process runs on each host."""
        ask = (
            "pid=$(systemctl show -P MainPID slipway-engine); "
            "echo $pid $(cut -d' ' -f22 /proc/$pid/stat) $(sha256sum < /proc/$pid/exe)"
        )
        found = {}
        for host in self.hosts:
            words = self.root(host, ask, check=False).split()
            found[host] = Running(int(words[0]), words[1], words[2]) if len(words) > 2 else Running(0, "", "")
        return found

    def reboot(self, *hosts: str) -> None:
        """Reboot hosts by the cloud's API and wait until they can be asked again."""
        fleet.close(self.workspace)
        first = {host: self.machines.first_process(self.instance(host)) for host in hosts}
        for host in hosts:
            self.cloud("ec2", host).reboot_instances(InstanceIds=[self.instance(host)])

        def booted() -> bool:
            now = {host: self.machines.first_process(self.instance(host)) for host in hosts}
            return all(now[host] not in {first[host], None} for host in hosts)

        until("they boot anew", booted)
        until("they can be asked again", lambda: "SILENT" not in self.states().values())

    def cloud(self, service: Any, host: str) -> Any:
        """Return a client of the lab's cloud in the host's region."""
        assert self.document is not None
        return boto3.client(
            service,
            region_name=self.workspace.inventory().hosts[host].plan.region,
            endpoint_url=self.document.endpoint,
            aws_access_key_id="lab",
            aws_secret_access_key="lab",
        )

    # -- ways in ----------------------------------------------------------------------------------------

    def root(self, host: str, script: str, *, check: bool = True) -> str:
        """Run a shell script on a host as root and return what it printed."""
        done = subprocess.run(
            ["ssh", "-F", str(self.workspace.ssh_config), host, "sudo -n /bin/bash -eu -o pipefail -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{host}: {script}\n{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def machines(self) -> Hosts:
        """The driver of the lab's hosts: power and consoles."""
        assert self.document is not None
        return Hosts(self.lab.settings, self.document.image, self.lab.fabric)

    def instance(self, host: str) -> str:
        """Return a host's instance id."""
        return str(self.workspace.inventory().hosts[host].live.instance_id)

    @contextmanager
    def unreachable(self, host: str) -> Iterator[None]:
        """Cut a host's link to everybody, and mend it afterwards."""
        namespace = self.lab.settings.namespace(self.instance(host))
        link = ["ip", "-n", namespace, "link", "set", "eth0"]
        fleet.close(self.workspace)
        before = json.loads(
            subprocess.run(["ip", "-n", namespace, "-j", "route"], capture_output=True, check=True).stdout
        )
        subprocess.run([*link, "down"], check=True)
        try:
            yield
        finally:
            subprocess.run([*link, "up"], check=True)
            for route in before:  # a link that goes down takes its routes along
                words = [route["dst"], *(("via", route["gateway"]) if "gateway" in route else ())]
                more = ["scope", route["scope"]] if "scope" in route else []
                subprocess.run(
                    ["ip", "-n", namespace, "route", "replace", *words, "dev", route["dev"], *more],
                    check=True,
                )

    @contextmanager
    def venue_down(self, host: str) -> Iterator[None]:
        """End the simulator of a host's venue, and start it anew afterwards (with an empty book)."""
        Cage.of(self.lab.settings, f"venue-{VENUE[host]}").kill(grace=0)
        try:
            yield
        finally:
            self.lab.venues.ensure(self.lab.authority)

    def rest(self) -> None:
        """Bring everything back to where every test begins: no fault, logged in, disarmed, flat."""
        for host in self.hosts:
            self.venue(host).clear_faults()
        self.kill("between tests")
        for host, engine in self.engines().items():
            if any(at["connection"] == "REFUSED" for at in engine.get("venues", {}).values()):
                # A venue that refused the key is not asked again: a person has to look, and start the unit.
                self.root(host, f"systemctl restart {UNIT[host]}")
        self.await_ready()


@contextmanager
def raised(stage: Stage) -> Iterator[Stage]:
    """Bring up a stage; whatever happens (SIGTERM included), nothing of it is left."""
    environment = dict(os.environ)
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stage.up()
        yield stage
    finally:
        try:
            stage.down()
        finally:
            signal.signal(signal.SIGTERM, former)
            os.environ.clear()
            os.environ.update(environment)
    assert stage.lab.remains() == []
