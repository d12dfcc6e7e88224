"""The base image is built once, whole or not at all."""

from __future__ import annotations

import pytest

from infra.lab import image
from infra.lab.settings import LabError, LabSettings


@pytest.fixture
def settings(tmp_path) -> LabSettings:
    return LabSettings(directory=tmp_path / "lab", cache=tmp_path / "cache", prefix="none", port=0)


def test_a_build_that_ends_early_leaves_nothing_to_use(settings, monkeypatch):
    def half(root, *_):
        (root / "usr").mkdir(parents=True)
        raise LabError("the mirror is gone")

    monkeypatch.setattr(image, "_build", half)
    with pytest.raises(LabError, match="mirror"):
        image.ensure(settings)
    assert not image.tree(settings).exists()
    assert [path.name for path in (settings.cache / "images").iterdir()] == ["lock"]


def test_a_build_is_made_once_and_a_killed_ones_remainder_goes(settings, monkeypatch):
    builds = []

    def whole(root, *_):
        builds.append(root)
        (root / "usr").mkdir(parents=True)

    monkeypatch.setattr(image, "_build", whole)
    monkeypatch.setattr(image, "_finish", lambda _root: None)
    remainder = settings.cache / "images" / ".building-killed"
    remainder.mkdir(parents=True)
    first = image.ensure(settings)
    assert (first / "usr").is_dir()
    assert image.ensure(settings) == first
    assert len(builds) == 1
    assert not remainder.exists()


def test_another_recipe_is_another_image(settings, monkeypatch):
    before = image.tree(settings)
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "strace"))
    assert image.tree(settings) != before


def test_what_hosts_must_not_share_is_taken_out(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for name in (
        "etc/ssh/ssh_host_rsa_key",
        "var/lib/systemd/credential.secret",
        "var/lib/systemd/random-seed",
        "var/lib/dbus/machine-id",
        "etc/machine-id",
        "etc/resolv.conf",
        "etc/apt/sources.list.d/0000mirror.list",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of the building machine")
    (root / "etc/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(image, "run", lambda *_: "")
    image._finish(root)
    left = {path for path in root.rglob("*") if path.is_file() and "building machine" in path.read_text()}
    assert left == set()
    assert (root / "etc/machine-id").read_text() == ""
    assert (root / "etc/sudoers.d/90-cloud-init-users").stat().st_mode & 0o777 == 0o440
    assert (root / "etc/systemd/system/networking.service").readlink().name == "null"


def test_the_built_image_is_the_recipes():
    settings = LabSettings.from_environment()
    tree = image.tree(settings)
    if not tree.is_dir():
        pytest.skip("no image of the present recipe in the cache")
    assert not list(tree.glob("etc/ssh/ssh_host_*"))
    assert not (tree / "var/lib/systemd/credential.secret").exists()
    assert (tree / "etc/machine-id").read_text() == ""
    for name in ("usr/sbin/sshd", "usr/sbin/nft", "usr/bin/minisign", "usr/bin/zstd", "usr/sbin/chronyd"):
        assert (tree / name).exists(), name
