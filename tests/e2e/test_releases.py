"""A release that must not be installed is refused with its file's name, and what runs goes on running."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.operate import release, release_archive
from infra.operate.release import KeyPair
from infra.operate.release_sign import sign

from .stage import Stage

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

ENGINE = "bin/slipway-engine"


def rebuilt(stage: Stage, folder: Path, version: str, key: KeyPair, *, small: bool = False) -> Path:
    """Build a release of another version, whose engine has other bytes and the same behaviour.

    ``small`` leaves out the connector's wheels: enough for a release that must not come to run.
    """
    archive, tree = stage.workspace.release_archive(), folder / f"tree-{version}"
    for name, data, executable in release_archive.entries(archive.read_bytes(), archive):
        if small and name.startswith("connectors/polymarket/wheels/"):
            continue
        if small and name == "connectors/polymarket/requirements.txt":
            continue
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data + version.encode() if name == ENGINE else data)
        path.chmod(0o755 if executable else 0o644)
    manifest = json.loads((tree / "release.json").read_text(encoding="utf-8"))
    manifest["version"] = version
    manifest["files"] = {
        name: sha256 for name, sha256 in manifest["files"].items() if (tree / name).is_file()
    } | {ENGINE: hashlib.sha256((tree / ENGINE).read_bytes()).hexdigest()}
    (tree / "release.json").write_text(json.dumps(manifest), encoding="utf-8")
    return release.build(tree, folder / f"built-{version}", key).archive


def unsigned(archive: Path, _folder: Path) -> str:
    """Take the signature away."""
    archive.with_name(archive.name + ".minisig").unlink()
    return f"{archive.name}.minisig"


def altered(archive: Path, _folder: Path) -> str:
    """Flip one bit in the middle."""
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    return "altered"


def foreign(archive: Path, folder: Path) -> str:
    """Sign it with a key that the hosts do not trust."""
    key = release.generate_key(folder / "stranger")
    comment = release.manifest_of(archive).comment(hashlib.sha256(archive.read_bytes()).hexdigest())
    sign(archive, comment, key.secret)
    return "signed with key"


@pytest.mark.parametrize("spoil", [unsigned, altered, foreign])
def test_a_bad_release_is_refused(stage: Stage, tmp_path: Path, spoil: Callable[[Path, Path], str]) -> None:
    archive = rebuilt(stage, tmp_path, "0.1.2", stage.key, small=True)
    reason = spoil(archive, tmp_path)
    stage.arm()
    before = stage.running()
    played = stage.converge(archive=archive)
    assert played.failed
    assert set(played.errors) == set(stage.hosts)
    for error in played.errors.values():
        assert archive.name in error
        assert reason in error
    assert stage.running() == before
    assert set(stage.states().values()) == {"ACTIVE"}


def test_a_downgrade_is_refused(stage: Stage, tmp_path: Path) -> None:
    before = stage.running()
    played = stage.converge(archive=rebuilt(stage, tmp_path, "0.0.9", stage.key, small=True))
    assert played.failed
    for host in stage.hosts:
        assert f"{host}: refused, nothing was changed: release 0.0.9 is older than" in played.errors[host]
    assert stage.running() == before
    assert stage.failed_checks("-m", "release or engine") == {}


def test_a_new_release_waits_for_disarmed_hosts_or_force(stage: Stage, tmp_path: Path) -> None:
    new = rebuilt(stage, tmp_path, "0.1.1", stage.key)
    stage.arm()
    stage.await_trading()
    before = stage.running()
    played = stage.converge(archive=new)
    assert played.failed
    for host in stage.hosts:
        said = f"{host}: refused, nothing was changed: slipway-engine.service is armed"
        assert said in played.errors[host]
    assert stage.running() == before
    stage.await_trading()

    try:
        forced = stage.converge("-e", "engine_force=true", archive=new)
        assert not forced.failed, forced.output
        assert set(stage.states().values()) <= {"DISARMED"}
        after = stage.running()
        executable = release.manifest_of(new).files[ENGINE]
        assert {running.sha256 for running in after.values()} == {executable}
        stage.await_ready()
        assert stage.failed_checks("--archive", str(new)) == {}
    finally:
        back = stage.converge("-e", "release_allow_downgrade=true", "-e", "engine_force=true")
    assert not back.failed, back.output
    stage.await_ready()
    assert {host: at.sha256 for host, at in stage.running().items()} == {
        host: at.sha256 for host, at in before.items()
    }
    assert stage.failed_checks("-m", "release or engine") == {}
