"""One lab for all role tests, with a host of each venue; nothing is left behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parents[1] / "collections"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import roles_standin  # noqa: E402 (found through the path above)
from moto.server import ThreadedMotoServer  # noqa: E402
from roles_bench import Bench, inventory_of, plan  # noqa: E402

from infra.lab import image, preflight  # noqa: E402
from infra.lab.cages import Cage  # noqa: E402
from infra.lab.life import Lab  # noqa: E402
from infra.lab.settings import LabSettings  # noqa: E402
from infra.operate.release import KeyPair, Release, generate_key  # noqa: E402
from infra.operate.workspace import Workspace  # noqa: E402

VENUE = IPv4Address("203.0.113.10")


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return generate_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory, signing_key: KeyPair) -> dict[str, Release]:
    """Stand-in releases; the engine of 0.3.0 passes every check and does not start."""
    folder = tmp_path_factory.mktemp("releases")
    return {
        version: roles_standin.build(folder, version, signing_key, fails=version == "0.3.0")
        for version in ("0.1.0", "0.2.0", "0.3.0")
    }


@pytest.fixture(scope="session")
def bench(
    tmp_path_factory: pytest.TempPathFactory, signing_key: KeyPair, releases: dict[str, Release]
) -> Iterator[Bench]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    settings = LabSettings(
        directory=tmp_path_factory.mktemp("lab") / "state",
        cache=LabSettings.from_environment().cache,
        prefix=f"r{os.getpid():x}"[:8],
        port=0,
    )
    lab = Lab(settings, venues=())
    problems = preflight.check(settings)
    if problems:
        pytest.skip("; ".join(problems))
    planned = plan()
    names = {rule.hostname: VENUE for host in planned.hosts for rule in host.egress if rule.hostname}
    workspace = Workspace(tmp_path_factory.mktemp("workspace"), planned.stack)
    key = tmp_path_factory.mktemp("ssh") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    aws = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made = None
    try:
        aws.start()
        host, port = aws.get_host_and_port()
        tree = image.ensure(settings)
        Cage.of(settings).create()
        lab.fabric.ensure(names)
        endpoint = f"http://{host}:{port}"
        made = Bench(lab, tree, key, endpoint, workspace, releases, signing_key.public, inventory_of(planned))
        made.put_secrets()
        yield made
    finally:
        if made is not None:
            made.remove(*list(made.instances))
        lab.down()
        aws.stop()
    assert lab.remains() == []
