"""Each thing that a machine may lack gives one line that says what to do."""

from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from infra.lab import cages, fabric, image, preflight
from infra.lab.commands import CommandError
from infra.lab.life import Lab
from infra.lab.settings import LabError, LabSettings


@pytest.fixture
def settings(tmp_path, monkeypatch) -> LabSettings:
    """A machine that has everything, as far as the looks go; each test takes one thing away."""
    made = LabSettings(directory=tmp_path / "lab", cache=tmp_path / "cache", prefix="none", port=0)
    monkeypatch.setattr(preflight.platform, "system", lambda: "Linux")
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.os, "access", lambda *_: True)
    monkeypatch.setattr(preflight.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(cages, "hierarchies", lambda: (tmp_path / "cgroup",))
    monkeypatch.setattr(fabric, "NAMESPACES", tmp_path / "netns")
    answers = {"nc -h 2>&1 || true": "OpenBSD netcat"}
    monkeypatch.setattr(preflight, "run", lambda *argv, **_: answers.get(argv[-1], ""))
    return made


def only(settings: LabSettings) -> str:
    problems = preflight.check(settings)
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    return problems[0]


def test_a_machine_that_has_everything(settings):
    assert preflight.check(settings) == []
    preflight.require(settings)


def test_nothing_is_changed(settings, tmp_path):
    preflight.check(settings)
    assert list(tmp_path.iterdir()) == []


def test_not_linux(settings, monkeypatch):
    monkeypatch.setattr(preflight.platform, "system", lambda: "Darwin")
    assert only(settings) == "the lab needs Linux; this is Darwin"


def test_not_root(settings, monkeypatch):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    assert "needs root" in only(settings)
    assert "user 1000" in only(settings)


@pytest.mark.parametrize(("tool", "package"), [*preflight.TOOLS.items(), *preflight.BUILD_TOOLS.items()])
def test_a_missing_program(settings, monkeypatch, tool, package):
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    assert only(settings) == f"program {tool} is not in PATH: apt-get install {package}"


def test_the_builder_is_not_needed_when_the_image_is_there(settings, monkeypatch):
    image.tree(settings).mkdir(parents=True)
    monkeypatch.setattr(
        preflight.shutil, "which", lambda name: None if name == "mmdebstrap" else f"/usr/bin/{name}"
    )
    assert preflight.check(settings) == []


def test_no_control_groups(settings, monkeypatch):
    monkeypatch.setattr(cages, "hierarchies", tuple)
    assert "no control group tree is mounted" in only(settings)


def test_read_only_control_groups(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.os, "access", lambda path, _: path != tmp_path / "cgroup")
    assert "is read-only" in only(settings)


def test_full_disk(settings, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 1 << 20))
    problems = preflight.check(settings)
    assert len(problems) == 2
    assert all("GiB free" in line for line in problems)
    assert str(settings.directory) in problems[0]
    assert str(settings.cache) in problems[1]


def test_port_taken(settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = LabSettings(settings.directory, settings.cache, settings.prefix, port)
        assert f"port 127.0.0.1:{port} is taken" in only(taken)
        assert "SLIPWAY_LAB_PORT" in only(taken)


def test_another_lab_with_the_same_prefix(settings):
    fabric.NAMESPACES.mkdir()
    (fabric.NAMESPACES / "none-router").touch()
    (fabric.NAMESPACES / "nonesuch").touch()
    line = only(settings)
    assert line.startswith("none-router exist, but")
    assert "SLIPWAY_LAB_PREFIX" in line
    assert "slipway lab down" in line
    settings.directory.mkdir()
    settings.document.touch()
    assert preflight.check(settings) == []


def test_a_directory_with_other_things_in_it(settings):
    settings.directory.mkdir()
    (settings.directory / "thesis.tex").touch()
    assert "not empty and holds no lab.json" in only(settings)


def test_a_lab_with_another_prefix_in_the_directory(settings):
    settings.directory.mkdir()
    settings.document.write_text('{"prefix": "slw"}')
    assert "has the prefix 'slw', not 'none'" in only(settings)
    assert "SLIPWAY_LAB_PREFIX=slw" in only(settings)
    with pytest.raises(LabError, match="SLIPWAY_LAB_PREFIX=slw"):
        Lab(settings, venues=()).down()
    assert settings.document.exists()


def test_inotify_that_cannot_be_raised(settings, monkeypatch, tmp_path):
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    monkeypatch.setattr(fabric, "INOTIFY_LIMIT", limit)
    monkeypatch.setattr(preflight.os, "access", lambda path, _: path != limit)
    assert "128" in only(settings)
    assert "1024" in only(settings)


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("overlay", "overlayfs cannot be mounted below"),
        ("veth", "this kernel lacks veth links"),
        ("nft", "this kernel lacks nftables"),
        ("--net true", "this kernel lacks network namespaces"),
    ],
)
def test_a_kernel_that_lacks_something(settings, monkeypatch, broken, line):
    def run(*argv: str, **_: object) -> str:
        if broken in " ".join(argv):
            raise CommandError(argv, "code 1", "Operation not\npermitted")
        return "OpenBSD netcat"

    monkeypatch.setattr(preflight, "run", run)
    assert line in only(settings)
    assert "permitted" in only(settings)


def test_another_netcat(settings, monkeypatch):
    monkeypatch.setattr(preflight, "run", lambda *_, **__: "[v1.10-47]")
    assert "netcat-openbsd" in only(settings)


def test_all_problems_are_told_at_once(settings, monkeypatch):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None if name == "nft" else f"/usr/bin/{name}")
    with pytest.raises(preflight.PreflightError) as caught:
        preflight.require(settings)
    assert len(caught.value.problems) == 2
    assert str(caught.value).count("\n  - ") == 2


def test_a_bad_port_variable_is_named(monkeypatch):
    monkeypatch.setenv("SLIPWAY_LAB_PORT", "http")
    with pytest.raises(LabError, match="SLIPWAY_LAB_PORT is 'http'; allowed"):
        LabSettings.from_environment()


@pytest.mark.parametrize("prefix", ["", "much-too-long-for-us", "a b", "UP"])
def test_a_bad_prefix_is_named(prefix):
    with pytest.raises(LabError, match="SLIPWAY_LAB_PREFIX"):
        LabSettings(directory=Path("/x"), prefix=prefix)
