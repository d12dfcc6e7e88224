"""Releases: good ones pass, every bad kind is refused with its reason, two builds are the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.operate import release, release_wheels
from infra.operate.release import KeyPair, Release, ReleaseError
from infra.operate.release_model import Precedence, read_manifest, safe_path
from infra.operate.release_sign import sign

EPOCH = 1_790_000_000
TARGET = release.host_target()
Files = dict[str, bytes]


def files_of_engine() -> Files:
    return {
        "bin/slipway-engine": b"#!/bin/sh\nexit 0\n",
        "connectors/libslipway_binance.so": b"\x7fELF",
        "connectors/polymarket/run": b"#!/bin/sh\nexit 0\n",
        "connectors/polymarket/requirements.txt": b"",
    }


def document(files: Files, version: str = "0.1.0", **changes: Any) -> dict[str, Any]:
    run = "connectors/polymarket/run"
    return {
        "contract_version": 1,
        "name": "reference-engine",
        "version": version,
        "revision": "abc123",
        "target": TARGET,
        "engine": {
            "executable": "bin/slipway-engine",
            "check": ["bin/slipway-engine", "--check-config"],
            "version": ["bin/slipway-engine", "--version"],
        },
        "connectors": [
            {"venue": "binance", "kind": "library", "path": "connectors/libslipway_binance.so"},
            {"venue": "polymarket", "kind": "process", "executable": run, "check": [run, "--check-config"]},
        ],
        "needs": {"huge_pages_2m": 0, "locked_memory_mib": 64, "isolated_cpus": 1, "realtime_priority": 0},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        **changes,
    }


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return release.generate_key(tmp_path_factory.mktemp("key") / "keys")


def write_tree(directory: Path, files: Files | None = None, **changes: Any) -> Path:
    files = files or files_of_engine()
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644)
    (directory / "release.json").write_text(json.dumps(document(files, **changes)))
    return directory


@pytest.fixture
def good(tmp_path: Path, key: KeyPair) -> Release:
    return release.build(write_tree(tmp_path / "tree"), tmp_path / "out", key, epoch=EPOCH)


@dataclass
class Forge:
    """Makes archives that build() would never make, properly signed all the same."""

    directory: Path
    key: KeyPair

    def __call__(
        self,
        files: Files,
        manifest: dict[str, Any] | None = None,
        change: Callable[[tarfile.TarInfo], None] = lambda _: None,
        extra: tuple[tarfile.TarInfo, ...] = (),
        comment: str | None = None,
        name: str | None = None,
    ) -> Path:
        buffer = io.BytesIO()
        manifest = manifest if manifest is not None else document(files)
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, content in ({"release.json": json.dumps(manifest).encode()} | files).items():
                info = tarfile.TarInfo(path)
                info.size, info.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
                change(info)
                tar.addfile(info, io.BytesIO(content))
            for info in extra:
                tar.addfile(info)
        version, target = manifest.get("version", "0.1.0"), manifest.get("target", TARGET)
        archive = self.directory / (name or f"reference-engine-{version}-{target}.tar.zst")
        compress(buffer.getvalue(), archive)
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        said = f"slipway-release name=reference-engine version={version} target={target} sha256={sha256}"
        sign(archive, comment or said, self.key.secret)
        return archive


def compress(content: bytes, archive: Path) -> None:
    archive.write_bytes(
        subprocess.run(["zstd", "-q", "-c"], input=content, capture_output=True, check=True).stdout
    )


@pytest.fixture
def forge(tmp_path: Path, key: KeyPair) -> Forge:
    (tmp_path / "forged").mkdir()
    return Forge(tmp_path / "forged", key)


def refused(archive: Path, key: KeyPair, *says: str, **options: Any) -> None:
    with pytest.raises(ReleaseError) as error:
        release.check(archive, key.public, **options)
    for word in (archive.name, *says):
        assert word in str(error.value)


def test_a_good_release_passes(good: Release, key: KeyPair) -> None:
    manifest = release.check(good.archive, key.public, minimum_version="0.1.0")
    assert manifest == good.manifest == release.manifest_of(good.archive)
    assert good.archive.name == f"reference-engine-0.1.0-{TARGET}.tar.zst"
    assert good.identity == f"0.1.0-{good.sha256[:12]}"
    listing = subprocess.run(
        ["tar", "--zstd", "-tvf", good.archive], capture_output=True, text=True, check=True
    ).stdout
    assert "-rwxr-xr-x root/root" in listing
    assert "2026" in listing


def test_keys_are_only_for_their_owner_and_kept(key: KeyPair) -> None:
    assert stat.S_IMODE(key.secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.public.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.secret.parent.stat().st_mode) == 0o700
    before = key.secret.read_bytes()
    assert release.generate_key(key.secret.parent) == key
    assert key.secret.read_bytes() == before


def test_half_a_key_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "release.key").write_text("precious")
    with pytest.raises(ReleaseError, match="half of a key pair"):
        release.generate_key(tmp_path)
    assert (tmp_path / "release.key").read_text() == "precious"


def test_two_builds_are_the_same_bytes(tmp_path: Path, key: KeyPair) -> None:
    built = []
    for number, mask in enumerate((0o022, 0o077)):
        old = os.umask(mask)
        try:
            tree = write_tree(tmp_path / f"a-{number}" / "tree")
            os.utime(tree / "bin/slipway-engine", (number, number))
            built.append(release.build(tree, tmp_path / f"out-{number}", key, epoch=EPOCH))
        finally:
            os.umask(old)
    assert built[0].archive.read_bytes() == built[1].archive.read_bytes()
    assert built[0].signature.read_bytes() == built[1].signature.read_bytes()
    other = release.build(tree, tmp_path / "other", key, epoch=EPOCH + 1)
    assert other.sha256 != built[0].sha256


def test_source_date_epoch_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "123")
    assert release.source_epoch(release.CHECKOUT) == 123
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ReleaseError, match="yesterday"):
        release.source_epoch(release.CHECKOUT)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert release.source_epoch(release.CHECKOUT) > EPOCH / 2


def test_unsigned(good: Release, key: KeyPair) -> None:
    good.signature.unlink()
    refused(good.archive, key, "unsigned", good.signature.name)


def test_no_archive_or_no_key(good: Release, key: KeyPair, tmp_path: Path) -> None:
    refused(tmp_path / "none.tar.zst", key, "no such file")
    refused(good.archive, KeyPair(key.secret, tmp_path / "none.pub"), "none.pub", "no such file")


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_altered_byte(good: Release, key: KeyPair, place: float) -> None:
    content = bytearray(good.archive.read_bytes())
    content[round((len(content) - 1) * place)] ^= 1
    good.archive.write_bytes(content)
    refused(good.archive, key, "signature")


def test_one_byte_more(good: Release, key: KeyPair) -> None:
    good.archive.write_bytes(good.archive.read_bytes() + b"\0")
    refused(good.archive, key, "signature")


def test_wrong_key(good: Release, tmp_path: Path) -> None:
    refused(good.archive, release.generate_key(tmp_path / "other"), "signature")


def test_altered_trusted_comment(good: Release, key: KeyPair) -> None:
    text = good.signature.read_text()
    good.signature.write_text(text.replace("version=0.1.0", "version=9.1.0"))
    refused(good.archive, key, "signature")


def test_an_old_signature_does_not_pass_for_another_version(good: Release, key: KeyPair) -> None:
    renamed = good.archive.with_name(f"reference-engine-0.2.0-{TARGET}.tar.zst")
    good.archive.rename(renamed)
    good.signature.rename(release.signature_of(renamed))
    refused(renamed, key, "version", "0.1.0", "0.2.0")


def test_an_old_signature_beside_a_new_archive(tmp_path: Path, good: Release, key: KeyPair) -> None:
    newer = release.build(write_tree(tmp_path / "new", version="0.2.0"), tmp_path / "out", key, epoch=EPOCH)
    shutil.copy(good.signature, newer.signature)
    refused(newer.archive, key, "signature")


@pytest.mark.parametrize(
    "comment",
    [
        "timestamp:1790000000",
        f"slipway-release name=reference-engine version=0.1.0 target={TARGET} sha256={'0' * 64}",
        f"slipway-release name=other version=0.1.0 target={TARGET} sha256=SHA",
    ],
)
def test_a_signed_comment_that_is_not_this_releases(good: Release, key: KeyPair, comment: str) -> None:
    sign(good.archive, comment.replace("SHA", good.sha256), key.secret)
    refused(good.archive, key, "comment")


def test_downgrade(good: Release, key: KeyPair) -> None:
    refused(good.archive, key, "downgrade", "0.1.0", "0.1.1", minimum_version="0.1.1")
    release.check(good.archive, key.public, minimum_version="0.1.0-rc.1")


def test_wrong_target(good: Release, key: KeyPair) -> None:
    refused(good.archive, key, "target", TARGET, "linux-aarch64", target="linux-aarch64")


def test_extra_file(forge: Forge, key: KeyPair) -> None:
    files = files_of_engine()
    refused(forge(files | {"bin/extra": b"x"}, document(files)), key, "bin/extra", "not in release.json")


def test_missing_file(forge: Forge, key: KeyPair) -> None:
    files = files_of_engine()
    manifest = document(files | {"bin/other": b"x"})
    refused(forge(files, manifest), key, "bin/other", "not there")


def test_a_file_that_differs_from_its_hash(forge: Forge, key: KeyPair) -> None:
    files = files_of_engine()
    archive = forge(files | {"bin/slipway-engine": b"#!/bin/sh\nrm -rf /\n"}, document(files))
    refused(archive, key, "bin/slipway-engine", "sha256")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a b", "a\\b", "a/\x1b"]
)
def test_paths_that_lead_elsewhere(forge: Forge, key: KeyPair, path: str) -> None:
    files = files_of_engine()
    refused(forge(files | {path: b"x"}, document(files)), key, "path")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(forge: Forge, key: KeyPair, kind: bytes) -> None:
    info = tarfile.TarInfo("bin/link")
    info.type, info.linkname = kind, "../../../etc/passwd"
    refused(forge(files_of_engine(), extra=(info,)), key, "bin/link", "link or device")


def test_the_same_file_twice(forge: Forge, key: KeyPair) -> None:
    refused(forge(files_of_engine(), extra=(tarfile.TarInfo("bin/slipway-engine"),)), key, "twice")


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [("uid", 1000, "owner"), ("mode", 0o4755, "4755"), ("mode", 0o777, "0777")],
)
def test_owners_and_modes(forge: Forge, key: KeyPair, attribute: str, value: int, says: str) -> None:
    archive = forge(files_of_engine(), change=lambda info: setattr(info, attribute, value))
    refused(archive, key, says)


def test_a_program_that_cannot_run(forge: Forge, key: KeyPair) -> None:
    archive = forge(files_of_engine(), change=lambda info: setattr(info, "mode", 0o644))
    refused(archive, key, "not executable")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"contract_version": 2}, "contract_version"),
        ({"surprise": 1}, "surprise"),
        ({"needs": {"gpus": 1}}, "needs.gpus"),
        ({"engine": {"executable": "bin/none", "check": ["x"], "version": ["x"]}}, "bin/none"),
        ({"connectors": [{"venue": "a", "kind": "kernel-module"}]}, "connectors.0"),
    ],
)
def test_a_manifest_outside_the_contract(
    forge: Forge, key: KeyPair, changes: dict[str, Any], says: str
) -> None:
    files = files_of_engine()
    refused(forge(files, document(files, **changes)), key, "release.json", says)


def test_no_manifest_no_tar_no_zstd(forge: Forge, key: KeyPair, tmp_path: Path) -> None:
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    for content, says in ((empty.getvalue(), "release.json"), (b"x" * 2048, "tar")):
        archive = tmp_path / f"reference-engine-0.1.0-{TARGET}.tar.zst"
        compress(content, archive)
        resign(archive, key)
        refused(archive, key, says)
    archive.write_bytes(b"no zstd at all")
    resign(archive, key)
    refused(archive, key, "zstd")


def resign(archive: Path, key: KeyPair) -> None:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    comment = f"slipway-release name=reference-engine version=0.1.0 target={TARGET} sha256={sha256}"
    sign(archive, comment, key.secret)


def test_build_refuses_a_tree_that_is_not_its_manifest(tmp_path: Path, key: KeyPair) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "bin/slipway-engine").write_bytes(b"other")
    with pytest.raises(ReleaseError, match="bin/slipway-engine"):
        release.build(tree, tmp_path / "out", key, epoch=EPOCH)
    write_tree(tree)
    (tree / "bin/link").symlink_to("/etc/passwd")
    with pytest.raises(ReleaseError, match=r"bin/link.*symbolic link"):
        release.build(tree, tmp_path / "out", key, epoch=EPOCH)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_assemble_collects_engine_connector_and_wheels(
    tmp_path: Path, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, connector, wheels = tmp_path / "engine", tmp_path / "source", tmp_path / "wheels"
    files = files_of_engine()
    for name in ("bin/slipway-engine", "connectors/libslipway_binance.so"):
        (engine / name).parent.mkdir(parents=True, exist_ok=True)
        (engine / name).write_bytes(files[name])
        (engine / name).chmod(0o755)
    (connector / "package/__pycache__").mkdir(parents=True)
    for name in ("requirements.txt", "requirements.in", "package/__init__.py", "package/__pycache__/x.pyc"):
        (connector / name).write_text("")
    (connector / "run").write_text("#!/bin/sh\n")
    (connector / "run").chmod(0o755)
    wheels.mkdir()
    (wheels / "some-1.0-py3-none-any.whl").write_text("wheel")
    monkeypatch.setattr("infra.operate.release_assemble.wheelhouse", lambda *_: wheels)
    seen: list[str] = []
    manifest = release.assemble(
        engine,
        [release.PythonConnector("polymarket", connector)],
        tmp_path / "tree",
        name="reference-engine",
        version="0.1.0",
        revision="abc",
        target=TARGET,
        progress=lambda what, _done, _total: seen.append(what),
    )
    assert [(entry.venue, entry.kind) for entry in manifest.connectors] == [
        ("binance", "library"),
        ("polymarket", "process"),
    ]
    assert set(manifest.files) == {
        "bin/slipway-engine",
        "connectors/libslipway_binance.so",
        "connectors/polymarket/package/__init__.py",
        "connectors/polymarket/requirements.txt",
        "connectors/polymarket/run",
        "connectors/polymarket/wheels/some-1.0-py3-none-any.whl",
    }
    assert {"connector polymarket", "hash"} <= set(seen)
    built = release.build(tmp_path / "tree", tmp_path / "out", key, epoch=EPOCH)
    release.check(built.archive, key.public)


def test_wheels_are_fetched_once_and_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE_DIR", str(tmp_path / "cache"))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("some==1.0 --hash=sha256:00\n")
    calls: list[Path] = []

    def download(given: Path, wheels: Path, machine: str) -> None:
        wheels.mkdir()
        (wheels / "some.whl").write_text(machine)
        calls.append(given)
        if len(calls) == 1:
            raise ReleaseError(given, "the index is down")

    monkeypatch.setattr(release_wheels, "_download", download)
    with pytest.raises(ReleaseError, match="index is down"):
        release_wheels.wheelhouse(requirements, TARGET)
    first = release_wheels.wheelhouse(requirements, TARGET)
    assert release_wheels.wheelhouse(requirements, TARGET) == first
    assert len(calls) == 2
    assert [path.name for path in first.iterdir()] == ["some.whl"]
    requirements.write_text("some==1.1 --hash=sha256:00\n")
    assert release_wheels.wheelhouse(requirements, TARGET) != first


def test_every_requirement_of_the_connector_is_exact_and_hashed() -> None:
    text = (release.CHECKOUT / "engine/connectors/polymarket/requirements.txt").read_text()
    logical = [line for line in text.replace("\\\n", " ").splitlines() if line and line.lstrip()[0] != "#"]
    assert len(logical) > 20
    for line in logical:
        assert "==" in line.split()[0], line
        assert "--hash=sha256:" in line, line
    assert "://" not in text


@given(st.text(max_size=60))
def test_no_path_passes_that_leads_out(path: str) -> None:
    try:
        safe_path(path)
    except ValueError:
        return
    root = Path("/opt/release")
    assert (root / path).is_relative_to(root)
    assert ".." not in Path(path).parts


@given(st.binary(max_size=200))
def test_no_manifest_breaks_its_reader(content: bytes) -> None:
    with pytest.raises(ReleaseError):
        read_manifest(content, "some.tar.zst")


def test_precedence_of_versions() -> None:
    rising = [
        "0.1.0-1",
        "0.1.0-2",
        "0.1.0-10",
        "0.1.0-alpha",
        "0.1.0-rc.1",
        "0.1.0",
        "0.1.1",
        "0.10.0",
        "1.0.0",
    ]
    assert sorted(rising, key=Precedence) == rising
    with pytest.raises(ValueError, match=r"1\.0"):
        Precedence("1.0")


def test_the_manifest_is_closed_and_frozen(good: Release) -> None:
    with pytest.raises(ValidationError):
        good.manifest.version = "2.0.0"  # type: ignore[misc]
