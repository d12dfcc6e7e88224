"""The release: what is installed and, above all, what is running, is the signed one."""

import pytest

from .conftest import Node

pytestmark = pytest.mark.release


def test_current_points_into_the_releases(node: Node) -> None:
    link = node.file("/opt/slipway/current")
    assert link["kind"] == "link"
    folder, _, release = link["target"].rpartition("/")
    assert folder == "/opt/slipway/releases"
    assert release in node.seen["directories"][folder]
    assert release.startswith(f"{node.release.version}-")


def test_the_running_executable_is_the_releases(node: Node) -> None:
    process = node.unit("slipway-engine.service").get("process")
    assert process, "the engine does not run"
    assert process["sha256"] == node.release.files[node.release.engine.executable]
    assert not process["exe"].endswith("(deleted)")


def test_the_engine_reports_the_same_release(node: Node) -> None:
    assert node.seen["engine"]["release"] == node.release.files[node.release.engine.executable]


def test_release_files_belong_to_root(node: Node) -> None:
    for path in ("/opt/slipway/current/release.json", "/etc/slipway/release.pub"):
        state = node.file(path)
        assert state["owner"] == "root"
        assert int(state["mode"], 8) & 0o022 == 0
