"""Live hosts against the plan.

``pytest tests/hosts --inventory out/phase1/inventory.json`` asserts what the hosts of any inventory
really are. Each host is asked once, all at the same time (``probe.py`` over testinfra's ssh backend);
every assertion is then local. Choose by marker: ``-m "phase1 and venue_binance"``, ``-m firewall``.
"""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

from infra.catalogue.load import load_catalogue
from infra.operate.release import ReleaseManifest
from infra.operate.release import manifest_of as release_manifest_of
from infra.plan.inventory import Inventory, InventoryHost
from infra.plan.model import ConnectorPlan

GROUPS = ("base", "clock", "firewall", "release", "engine", "connector", "credentials", "risk", "venue")
HERE = Path(__file__).parent
FORBIDDEN_TIMEOUT_S = 2.0
OPEN_TIMEOUT_S = 5.0
NOBODY = 65534

CONTROL_SOCKET = "/run/slipway-engine/control.sock"
METRICS_PORT = 9464
METADATA = "169.254.169.254"


@dataclass(frozen=True)
class Node:
    """One host under test: what was planned, and what was seen."""

    name: str
    host: InventoryHost
    seen: dict[str, Any]
    release: ReleaseManifest

    @property
    def units(self) -> list[str]:
        """The units that must run here, engine first."""
        return units_of(self.host)

    def file(self, path: str) -> dict[str, Any]:
        """Return what was seen of a file; fails the test when it is not there."""
        state = self.seen["files"].get(path)
        assert state is not None, f"{self.name}: {path} does not exist"
        return dict(state)

    def unit(self, name: str) -> dict[str, Any]:
        """Return ``systemctl show`` of a unit."""
        return dict(self.seen["units"][name])

    def command(self, name: str) -> str:
        """Return a command's output; fails the test when it could not be run."""
        done = self.seen["commands"][name]
        assert done["code"] == 0, f"{self.name}: {name}: {done['error'] or done['out']}"
        return str(done["out"])

    def uid(self, user: str) -> int:
        """Return the uid that the plan gives a user."""
        return next(u.uid for u in self.host.plan.users if u.name == user)


def units_of(host: InventoryHost) -> list[str]:
    """Return the engine's unit and one unit for each connector that is a process of its own."""
    units = ["slipway-engine.service"]
    units += [c.unit for c in host.plan.connectors if c.kind == "process"]
    return units


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("slipway hosts")
    group.addoption("--inventory", type=Path, help="inventory document, e.g. out/phase1/inventory.json")
    group.addoption("--archive", type=Path, help="release archive (default: release/*.tar.zst beside it)")


def pytest_configure(config: pytest.Config) -> None:
    for group in GROUPS:
        config.addinivalue_line("markers", f"{group}: checks of this concern")
    for phase in (1, 2, 3):
        config.addinivalue_line("markers", f"phase{phase}: checks of this phase's hosts")
    for venue in load_catalogue().venues:
        config.addinivalue_line("markers", f"venue_{venue}: checks of hosts that trade here")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without an inventory there are no hosts to look at."""
    given = config.getoption("--inventory", None)
    return True if given is None and collection_path.name.startswith("test_") else None


def _request(host: InventoryHost) -> dict[str, Any]:
    plan = host.plan
    venue_hosts = sorted({rule.hostname for rule in plan.egress if rule.hostname})
    attempts = [
        {"uid": user.uid, "host": target, "port": 443, "timeout": FORBIDDEN_TIMEOUT_S}
        for user in plan.users
        for target in (METADATA, "192.0.2.1", "203.0.113.250")
    ]
    for user in plan.users:
        mine = [rule for rule in plan.egress if rule.user == user.name and rule.hostname]
        tries = [(user.uid, rule, 22, FORBIDDEN_TIMEOUT_S) for rule in mine[:1]]
        tries += [(user.uid, rule, rule.port, OPEN_TIMEOUT_S) for rule in mine]
        tries += [(NOBODY, rule, rule.port, FORBIDDEN_TIMEOUT_S) for rule in mine]
        attempts += [
            {"uid": uid, "host": rule.hostname, "port": port, "timeout": timeout}
            for uid, rule, port, timeout in tries
        ]
    units = units_of(host)
    exposure = {f"exposure {unit}": ["systemd-analyze", "security", "--no-pager", unit] for unit in units}
    credentials = [c for connector in plan.connectors for c in connector.credentials]
    files = [
        "/etc/slipway/engine.json",
        "/etc/slipway/limits.json",
        "/etc/slipway/release.pub",
        "/opt/slipway/current",
        "/run/slipway",
        "/run/slipway/permit",
        "/usr/local/sbin/slipway-arm",
        "/usr/local/sbin/slipway-kill",
        "/etc/nftables.conf",
        CONTROL_SOCKET,
        *(f"/etc/slipway/connectors/{c.venue}.json" for c in plan.connectors if c.kind == "process"),
        *(f"/etc/credstore.encrypted/{c.name}" for c in credentials),
        *(f"/run/credentials/{c.unit}/{c.name}" for c in credentials),
        "/opt/slipway/current/release.json",
    ]
    return {
        "files": files,
        "directories": ["/opt/slipway/releases", "/etc/credstore", "/etc/credstore.encrypted"],
        "units": [
            *units,
            "nftables.service",
            "chrony.service",
            "ssh.service",
            "slipway-egress.timer",
            "slipway-egress.service",
        ],
        "users": [user.name for user in plan.users],
        "names": venue_hosts,
        "control_socket": CONTROL_SOCKET,
        "metrics_port": METRICS_PORT,
        "attempts": attempts,
        "commands": {
            "nft": ["nft", "--json", "list", "ruleset"],
            "sshd": ["sshd", "-T"],
            "chrony": ["chronyc", "-n", "-c", "tracking"],
            "chrony sources": ["chronyc", "-n", "-c", "sources"],
            "failed units": ["systemctl", "--failed", "--no-legend", "--plain"],
            "journald": ["systemd-analyze", "cat-config", "systemd/journald.conf"],
            "limits": ["cat", "/etc/slipway/limits.json"],
            "sudo": ["sudo", "-l", "-U", plan.login],
            **exposure,
        },
    }


def look_at(host: InventoryHost, ssh_config: Path) -> dict[str, Any]:
    """Ask one host everything in one round trip.

    The probe travels compressed in the command line: testinfra's ssh backend has no standard input.
    """
    source = base64.b64encode(zlib.compress((HERE / "probe.py").read_bytes(), 9)).decode()
    loader = f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{source}')))"
    remote = testinfra.get_host(f"ssh://{host.plan.name}", ssh_config=str(ssh_config))
    argv = [
        "sudo",
        "-n",
        "flock",
        "-s",
        "-w",
        "60",
        "/run/lock/slipway-converge",
        "python3",
        "-I",
        "-S",
        "-c",
    ]
    done = remote.run(" ".join([*argv, shlex.quote(loader), shlex.quote(json.dumps(_request(host)))]))
    if done.rc != 0:
        return {"unreachable": f"{host.plan.name}: {done.stderr.strip() or done.stdout.strip()}"}
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def inventory(pytestconfig: pytest.Config) -> Inventory:
    return Inventory.model_validate_json(pytestconfig.getoption("--inventory").read_text())


@pytest.fixture(scope="session")
def release(pytestconfig: pytest.Config) -> ReleaseManifest:
    given = pytestconfig.getoption("--archive")
    if given is None:
        found = sorted(pytestconfig.getoption("--inventory").parent.glob("release/*.tar.zst"))
        assert len(found) == 1, f"need one release archive beside the inventory or --archive, found {found}"
        given = found[0]
    return release_manifest_of(given)


@pytest.fixture(scope="session")
def snapshots(inventory: Inventory, pytestconfig: pytest.Config) -> dict[str, dict[str, Any]]:
    ssh_config = pytestconfig.getoption("--inventory").parent / "ssh_config"
    with ThreadPoolExecutor(len(inventory.hosts)) as pool:
        seen = pool.map(lambda host: look_at(host, ssh_config), inventory.hosts.values())
        return dict(zip(inventory.hosts, seen, strict=True))


@pytest.fixture
def node(
    node_name: str,
    inventory: Inventory,
    snapshots: dict[str, dict[str, Any]],
    release: ReleaseManifest,
) -> Node:
    seen = snapshots[node_name]
    assert "unreachable" not in seen, seen.get("unreachable")
    return Node(node_name, inventory.hosts[node_name], seen, release)


@pytest.fixture
def connector(node: Node, venue: str) -> ConnectorPlan:
    return next(c for c in node.host.plan.connectors if c.venue == venue)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a host, or a host and venue, named and marked by phase and venue."""
    given = metafunc.config.getoption("--inventory", None)
    if given is None or "node" not in metafunc.fixturenames:
        return
    inventory = Inventory.model_validate_json(given.read_text())
    phase = getattr(pytest.mark, f"phase{inventory.phase}")
    if "connector" in metafunc.fixturenames or "venue" in metafunc.fixturenames:
        metafunc.parametrize(
            ("node_name", "venue"),
            [
                pytest.param(
                    name,
                    c.venue,
                    id=f"{name}-{c.venue}",
                    marks=[phase, getattr(pytest.mark, f"venue_{c.venue}")],
                )
                for name, host in inventory.hosts.items()
                for c in host.plan.connectors
            ],
        )
        return
    metafunc.parametrize(
        "node_name",
        [
            pytest.param(
                name,
                id=name,
                marks=[phase, *(getattr(pytest.mark, f"venue_{c.venue}") for c in host.plan.connectors)],
            )
            for name, host in inventory.hosts.items()
        ],
    )
