"""Lab hosts for the role tests, and three ways to bring one to its plan.

``play`` runs the real playbook; ``document`` is what the playbook would send to a host; ``core`` sends it
without Ansible, which is fast enough to be interrupted after every step.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import boto3

from infra.catalogue.load import load_catalogue
from infra.lab.fabric import Link
from infra.lab.life import Lab
from infra.lab.nspawn import Hosts, HostSpec
from infra.lab.rules import HostPolicy, Permission
from infra.operate import inventory as operate_inventory
from infra.operate.release import Release
from infra.operate.workspace import Workspace
from infra.plan.build import build_plan
from infra.plan.inventory import Inventory, InventoryHost, LiveHost
from infra.plan.model import DeploymentPlan
from infra.plan.settings import settings_from_mapping

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SETTINGS = {
    "phase": 1,
    "mode": "simulated",
    "owner": "tests",
    "cost_center": "tests",
    "monthly_budget_usd": 600,
    "instance_type": "c8a.xlarge",
    "venues": {"binance": {}, "polymarket": {}},
}
ANYWHERE = (Permission("-1", -1, -1, ("0.0.0.0/0",)),)


def plan() -> DeploymentPlan:
    """Return the plan of phase 1."""
    return build_plan(load_catalogue(), settings_from_mapping("phase1", SETTINGS))


@dataclass
class Played:
    """How a run of a playbook ended."""

    status: int
    output: str
    results: list[dict[str, Any]]

    def of(self, host: str, state: str | None = None) -> list[dict[str, Any]]:
        """Return the results of one host's tasks."""
        return [r for r in self.results if r["host"] == host and state in {None, r["state"]}]

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed each host."""
        hosts = {r["host"] for r in self.results}
        return {host: sum(bool(r["result"].get("changed")) for r in self.of(host)) for host in hosts}

    def changes(self, host: str) -> list[tuple[str, str]]:
        """Kind and name of everything that was (or would be) changed on a host, in order, each once."""
        found = [
            (change["kind"], change["name"])
            for r in self.of(host)
            for change in r["result"].get("changes", [])
        ]
        return list(dict.fromkeys(found))

    @property
    def failure(self) -> str:
        """What failed tasks said."""
        bad = [r for r in self.results if r["state"] in {"failed", "unreachable"}]
        return "\n".join(str(r["result"].get("msg", "")) for r in bad)


@dataclass
class Bench:
    """A lab without simulators, hosts of the plan's addresses, and the files that an operator would have."""

    lab: Lab
    image: Path
    key: Path
    """The operator's private SSH key."""

    endpoint: str
    """Where AWS's services are stood in for."""

    workspace: Workspace
    releases: dict[str, Release]
    public_key: Path
    inventory: Inventory
    instances: dict[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> Hosts:
        """The driver of the lab's hosts."""
        return Hosts(self.lab.settings, self.image, self.lab.fabric)

    def boot(self, *names: str) -> None:
        """Start bare hosts (anew where they are) and write the operator's files for all that run."""
        public = self.key.with_suffix(".pub").read_text(encoding="utf-8")
        for name in names:
            if name in self.instances:
                self.remove(name)
            host = self.inventory.hosts[name]
            instance = str(host.live.instance_id)
            address = IPv4Interface(f"{host.plan.private_address}/24")
            self.hosts.create(
                HostSpec(
                    instance=instance,
                    name="bare",
                    region=host.plan.region,
                    address=address,
                    public_key=public,
                )
            )
            self.instances[name] = instance
        self._connect()
        for name in names:
            self.hosts.start(self.instances[name])

    def remove(self, *names: str) -> None:
        """Take hosts away, with what ssh keeps open to them."""
        for name in names:
            end = ["ssh", "-F", str(self.workspace.ssh_config), "-O", "exit", name]
            subprocess.run(end, capture_output=True, check=False)
            self.hosts.terminate(self.instances.pop(name))

    def _connect(self) -> None:
        links = {
            name: Link(instance, IPv4Interface(f"{self.inventory.hosts[name].plan.private_address}/24"))
            for name, instance in self.instances.items()
        }
        self.lab.fabric.load(
            [
                HostPolicy(
                    instance=link.instance,
                    interface=link.interface,
                    address=link.address.ip,
                    public=IPv4Address(f"198.51.100.{10 + number}"),
                    vpc=name,
                    ingress=ANYWHERE,
                    egress=ANYWHERE,
                )
                for number, (name, link) in enumerate(links.items())
            ]
        )
        here = self.inventory.model_copy(
            update={"hosts": {name: self.inventory.hosts[name] for name in self.instances}}
        )
        operate_inventory.write(
            self.workspace,
            here,
            lambda name, _host: self.hosts.host_keys(self.instances[name]),
            identity=self.key,
            router_namespace=self.lab.settings.router,
        )

    # -- ways in ----------------------------------------------------------------------------------------

    def ssh(self, host: str, command: str, stdin: bytes | None = None, *, check: bool = True) -> str:
        """Run a shell command on a host as its login user and return what it printed."""
        argv = ["ssh", "-F", str(self.workspace.ssh_config), host, command]
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=180, check=False)
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout!r} {done.stderr!r}"
        return done.stdout.decode()

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a playbook's run."""
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "plugins" / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "plugins" / "connection"),
            "ANSIBLE_NOCOLOR": "1",
            **more,
        }

    def play(
        self,
        *arguments: str,
        playbook: str = "site.yml",
        version: str = "0.1.0",
        environment: dict[str, str] | None = None,
    ) -> Played:
        """Run a playbook as an operator would."""
        record = self.workspace.out / "record.jsonl"
        record.unlink(missing_ok=True)
        archive = self.releases[version].archive
        argv = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("-i", str(self.workspace.hosts_file), f"playbooks/{playbook}"),
            *("-e", f"release_archive={archive}", "-e", f"release_public_key={self.public_key}"),
            *arguments,
        ]
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=self.environment(SLIPWAY_RECORD=str(record), **(environment or {})),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return Played(done.returncode, done.stdout + done.stderr, [json.loads(line) for line in lines])

    def document(self, host: str, *arguments: str, version: str = "0.1.0") -> dict[str, Any]:
        """Return the document that the playbook would send to a host."""
        sent = self.workspace.out / "sent"
        sent.unlink(missing_ok=True)
        more = ["--limit", host, "-e", "ansible_connection=tape", *arguments]
        played = self.play(*more, version=version, environment={"SLIPWAY_TAPE": str(self.workspace.out)})
        assert played.status == 0, played.output
        taken: dict[str, Any] = json.loads(sent.read_bytes().rpartition(b"\n")[2])
        sent.unlink()
        return taken

    def core(self, host: str, document: dict[str, Any], **keys: Any) -> dict[str, Any] | None:
        """Send a document to a host; None when the core was killed under way."""
        from ansible_collections.slipway.host.plugins.plugin_utils.program import (  # noqa: PLC0415
            COMMAND,
            MARK,
            program,
        )

        sent = program() + json.dumps({**copy.deepcopy(document), **keys}).encode()
        out = self.ssh(host, f"sudo -n {COMMAND}", sent, check=False)
        for line in out.splitlines():
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line[len(MARK) :])
                return answer
        return None

    def install(self, host: str, version: str) -> None:
        """Bring a release to a converged host as the playbook does, without making it current."""
        release = self.releases[version]
        folder = f"/opt/slipway/releases/{release.identity}"
        tar = subprocess.run(["zstd", "-dc", str(release.archive)], capture_output=True, check=True).stdout
        ready = f"sudo touch {folder}/connectors/polymarket/.ready"
        self.ssh(host, f"sudo mkdir -p {folder} && sudo tar -x --no-same-owner -C {folder} && {ready}", tar)

    def put_secrets(self, value: str = "CANARY-{name}-0123456789abcdef\nsecond line of {name}") -> None:
        """Put a value for every credential of the plan into the lab's parameter store."""
        for host in self.inventory.hosts.values():
            store = boto3.client("ssm", region_name=host.plan.region, **self._account())
            for connector in host.plan.connectors:
                for credential in connector.credentials:
                    store.put_parameter(
                        Name=credential.parameter,
                        Type="SecureString",
                        Value=value.format(name=credential.name),
                        Overwrite=True,
                    )

    def remove_secret(self, host: str, name: str) -> str:
        """Take one parameter away and return its name."""
        planned = self.inventory.hosts[host].plan
        parameter = next(c.parameter for k in planned.connectors for c in k.credentials if c.name == name)
        boto3.client("ssm", region_name=planned.region, **self._account()).delete_parameter(Name=parameter)
        return parameter

    def _account(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": "lab",
            "aws_secret_access_key": "lab",
        }


def inventory_of(planned: DeploymentPlan) -> Inventory:
    """Return the inventory of a plan with made-up instance ids."""
    hosts = {
        host.name: InventoryHost(
            plan=host,
            live=LiveHost(
                instance_id=f"i-{number:017x}", private_address=host.private_address, public_address=None
            ),
        )
        for number, host in enumerate(planned.hosts, start=1)
    }
    return Inventory(stack=planned.stack, phase=planned.phase, mode=planned.mode, hosts=hosts)
