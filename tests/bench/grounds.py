"""Converged hosts to measure on: the phase 1 stack with more Binance hosts, in a lab of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.catalogue.load import load_catalogue
from infra.lab.cages import Cage
from infra.lab.cloud.deploy import deploy
from infra.lab.life import Lab, LabDocument
from infra.lab.venues_runner import VENUES
from infra.operate import converge, fleet, inventory, reference, release
from infra.operate.host_keys import from_console
from infra.operate.workspace import Workspace
from infra.plan.build import build_plan
from infra.plan.inventory import Inventory
from infra.plan.settings import load_settings
from infra.rehearsal import enter
from tests.bench.figures import BenchError
from tests.bench.place import Place

STACK = "phase1"
VENUE = "binance"
PATIENT_WATCHDOG_S = 3600
"""Engines stand still while a converge is measured (see ``quiet``); their watchdog must allow it."""

HERE = Path(__file__).parent


@dataclass
class Grounds:
    """A lab whose Binance hosts grow in number, and the files to reach them by."""

    place: Place
    lab: Lab
    document: LabDocument
    made: Inventory | None = None
    converged: set[str] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        """The Binance hosts that there are."""
        assert self.made is not None
        return [name for name, host in self.made.hosts.items() if host.plan.connectors[0].venue == VENUE]

    def grow(self, hosts: int) -> None:
        """Deploy until there are ``hosts`` Binance hosts; those that are there stay as they are."""
        venues = {VENUE: {"hosts": hosts}}
        overrides = {
            "slipway:mode": "simulated",
            "slipway:public_key": self.document.ssh_key.with_suffix(".pub")
            .read_text(encoding="utf-8")
            .strip(),
            "slipway:venues": venues,
        }
        assert self.document.endpoint is not None
        state = self.lab.settings.directory / "cloud" / "bench.state.json"
        self.made = deploy(STACK, overrides, endpoint=self.document.endpoint, state_file=state)
        self.lab.settle()
        plan = build_plan(load_catalogue(), load_settings(STACK, "simulated", overrides={"venues": venues}))
        mine = tuple(host for host in plan.hosts if host.connectors[0].venue == VENUE)
        self.lab.venues.put_secrets(mine, self.document.endpoint)
        addresses = [self.made.hosts[name].live.public_address for name in self.names]
        self.lab.venues.allow({VENUE: [address for address in addresses if address is not None]})

    def workspace(self, names: Sequence[str], label: str) -> Workspace:
        """Write the operator's files for some of the hosts into a workspace of their own."""
        assert self.made is not None
        workspace = self.place.workspace(f"bench-{label}")
        fleet.close(workspace)
        subset = self.made.model_copy(update={"hosts": {name: self.made.hosts[name] for name in names}})
        inventory.write(
            workspace,
            subset,
            from_console,
            identity=self.document.ssh_key,
            router_namespace=self.lab.settings.router,
        )
        built = self.place.workspace(STACK).release_dir
        shutil.copytree(built, workspace.release_dir, dirs_exist_ok=True)
        return workspace

    def through(self, workspace: Workspace, sockets: Path, label: str) -> Workspace:
        """Return a copy of a workspace whose ssh goes over the delay proxy's sockets in ``sockets``."""
        other = self.place.workspace(f"bench-{label}")
        fleet.close(other)
        shutil.copytree(workspace.out, other.out, dirs_exist_ok=True)
        for path in (other.ssh_config, other.hosts_file):
            text = path.read_text(encoding="utf-8")
            text = text.replace(inventory.control_path(workspace), inventory.control_path(other))
            path.write_text(text.replace(f"{workspace.out}/", f"{other.out}/"), encoding="utf-8")
        lines = []
        for line in other.ssh_config.read_text(encoding="utf-8").splitlines():
            if line.startswith("Host ") and line != "Host *":
                name = line.split()[1]
            is_proxy = line.strip().startswith("ProxyCommand")
            lines.append(f"  ProxyCommand nc -U {sockets / name}" if is_proxy else line)
        other.ssh_config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return other

    def converge_argv(self, workspace: Workspace) -> list[str]:
        """Return the converge line, with nothing on it that an operator's would not have but the watchdog."""
        command = converge.command(
            workspace,
            trust_anchor=self.document.ca,
            extra=("-e", f"engine_watchdog_s={PATIENT_WATCHDOG_S}"),
        )
        return list(command.argv)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of commands that speak to the lab's cloud."""
        return self.place.environment(self.lab.settings, **self.document.environment, **more)

    def groups(self, names: Sequence[str]) -> list[Path]:
        """Return the control groups of hosts, whose CPU time is counted."""
        assert self.made is not None
        found = []
        for name in names:
            instance = self.made.hosts[name].live.instance_id
            assert instance is not None
            paths = Cage.of(self.lab.settings, instance).paths
            found.append(next(path for path in paths if (path / "cpu.stat").exists()))
        return found

    def documents(self, workspace: Workspace) -> dict[str, dict[str, Any]]:
        """Return, by host, the document that the playbook sends it. It holds secrets: keep it in memory."""
        capture = workspace.out / "capture"
        capture.mkdir(mode=0o700, exist_ok=True)
        try:
            subprocess.run(
                [*self.converge_argv(workspace), "-e", "ansible_connection=capture"],
                cwd=self.place.root,
                env=self.environment(
                    SLIPWAY_CAPTURE=str(capture),
                    ANSIBLE_CONNECTION_PLUGINS=str(HERE / "plugins" / "connection"),
                ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
            hosts = workspace.inventory().hosts
            return {
                name: json.loads((capture / f"{inventory.address_of(host)}.json").read_bytes())
                for name, host in hosts.items()
            }
        except subprocess.CalledProcessError as error:
            raise BenchError(f"the playbook could not be rendered: {error.stdout.decode()[-3000:]}") from None
        finally:
            shutil.rmtree(capture)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let the engines stand still.

        Twenty idle engines that wake 5,000 times a second take a whole CPU of a machine that all lab hosts
        and the control machine share; on a real host an engine has a CPU of its own. All that is measured
        (what is asked, sent, compared) is the same.
        """
        stopped = []
        for pid in Cage.of(self.lab.settings).pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "slipway-engine":
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextmanager
    def far(self, workspace: Workspace, rtt_ms: float) -> Iterator[Workspace]:
        """Give the workspace again, reached with a round-trip time of ``rtt_ms``."""
        sockets = self.place.scratch / f"far-{rtt_ms:g}"
        sockets.mkdir()
        hosts = [f"{n}={inventory.address_of(h)}" for n, h in workspace.inventory().hosts.items()]
        proxy = subprocess.Popen(
            [
                *("ip", "netns", "exec", self.lab.settings.router),
                *(sys.executable, "-m", "tests.bench.delay"),
                *("--rtt-ms", str(rtt_ms), str(sockets), *hosts),
            ],
            cwd=self.place.root,
            stdout=subprocess.PIPE,
            text=True,
        )
        far = None
        try:
            assert proxy.stdout is not None
            if proxy.stdout.readline() != "READY\n":
                raise BenchError("the delay proxy did not start")
            far = self.through(workspace, sockets, f"far-{rtt_ms:g}")
            yield far
        finally:
            if far is not None:
                fleet.close(far)
            proxy.terminate()
            proxy.wait()
            shutil.rmtree(sockets)


@contextmanager
def grounds(place: Place) -> Iterator[Grounds]:
    """Bring up the lab (with the Binance simulator only) and take it down, whatever happens."""
    lab = Lab(place.lab("c"), [venue for venue in VENUES if venue.name == VENUE])
    before = dict(os.environ)
    try:
        document = lab.up()
        enter(document)
        key = release.generate_key(lab.settings.cache / "release-key")
        reference.build(place.workspace(STACK), key, place.tell)
        yield Grounds(place, lab, document)
    finally:
        for workspace in place.workspaces:
            fleet.close(workspace)
        lab.down()
        os.environ.clear()
        os.environ.update(before)
