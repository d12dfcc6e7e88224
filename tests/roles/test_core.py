"""The core on a folder instead of a host: what it does without systemd."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.template import trust_as_template
from ansible_collections.slipway.host.plugins.module_utils.state import converge, files, host, release, units
from ansible_collections.slipway.host.plugins.module_utils.state.plan import Plan, sha256
from ansible_collections.slipway.host.plugins.plugin_utils import document, templates, variables

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files are given owners")


class Programs:
    """Programs that answer as they are told; what they were asked is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answers: dict[str, host.Finished] = {}

    def __call__(self, argv: Sequence[str], stdin: bytes | None) -> Any:
        self.asked.append(tuple(argv))
        answer = self.answers.get(argv[0], host.Finished(0, "", ""))
        return type("Done", (), {"finish": lambda self: answer})()


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/systemd/system", "run/lock", "run/slipway", "opt/slipway", "proc/sys/kernel"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:7000:7000::/nonexistent:/bin/false\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nann:x:7000:\n")
    return tmp_path


def converge_to(
    root: Path, programs: Programs, *fragments: dict[str, Any], check: bool = False
) -> dict[str, Any]:
    whole = [document.fragment({"name": f"f{i}", **raw}, i) for i, raw in enumerate(fragments)]
    sent = {"check": check, "fragments": whole, "lock_wait_s": 1}
    return converge.run(sent, host.Host(str(root), programs))


def test_files_appear_with_owner_and_mode_and_then_stay(root: Path, programs: Programs) -> None:
    fragment = {
        "files": [{"path": "/etc/x", "content": "one\n", "owner": "ann", "group": "ann", "mode": "0640"}]
    }
    assert converge_to(root, programs, fragment, check=True)["changed"]
    assert not (root / "etc/x").exists()
    done = converge_to(root, programs, fragment)
    assert done["diff"] == [
        {
            "before": "",
            "after": "one\n",
            "before_header": "file /etc/x (on the host)",
            "after_header": "file /etc/x (planned)",
        }
    ]
    found = (root / "etc/x").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (7000, 7000, 0o640)
    assert not converge_to(root, programs, fragment)["changed"]


def test_a_link_in_the_place_of_a_file_is_not_followed(root: Path, programs: Programs) -> None:
    (root / "secret").write_text("keep")
    (root / "etc/x").symlink_to(root / "secret")
    converge_to(root, programs, {"files": [{"path": "/etc/x", "content": "new"}]})
    assert (root / "secret").read_text() == "keep"
    assert not (root / "etc/x").is_symlink()


def test_one_refused_file_leaves_all_as_they_were(root: Path, programs: Programs) -> None:
    programs.answers["judge"] = host.Finished(1, "", f"{root}/etc/.b.slipway-new-check: line 3: no")
    fragment = {
        "files": [
            {"path": "/etc/a", "content": "new"},
            {"path": "/etc/b", "content": "see /etc/a", "validate": ["judge", "%s"]},
        ]
    }
    (root / "etc/a").write_text("old")
    with pytest.raises(host.StateError, match=r"^/etc/b: .*no file was replaced: /etc/b: line 3: no$"):
        converge_to(root, programs, fragment)
    assert (root / "etc/a").read_text() == "old"
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["a", "group", "passwd", "systemd"]


def test_a_validator_sees_the_planned_content_of_other_files(root: Path) -> None:
    class Judge(Programs):
        seen = ""

        def __call__(self, argv: Sequence[str], stdin: bytes | None) -> Any:
            if argv[0] == "judge":
                self.seen = Path(Path(argv[1]).read_text().removeprefix("limits ")).read_text()
            return super().__call__(argv, stdin)

    judge = Judge()
    (root / "etc/limits").write_text("old limits")
    fragment = {
        "files": [
            {"path": "/etc/limits", "content": "new limits"},
            {"path": "/etc/engine", "content": "limits /etc/limits", "validate": ["judge", "%s"]},
        ]
    }
    converge_to(root, judge, fragment)
    assert judge.seen == "new limits"
    assert (root / "etc/engine").read_text() == "limits /etc/limits"


def test_a_fragment_is_held_while_what_it_requires_is_missing(root: Path, programs: Programs) -> None:
    fragment = {"requires": ["/opt/slipway/x"], "files": [{"path": "/etc/x", "content": ""}]}
    done = converge_to(root, programs, fragment)
    assert (done["changed"], done["held"]) == (False, {"f0": ["/opt/slipway/x"]})
    assert converge_to(root, programs, fragment, check=True)["changed"]
    (root / "opt/slipway/x").write_text("")
    assert converge_to(root, programs, fragment)["changed"]


def test_missing_packages_stop_everything_but_a_prediction(root: Path, programs: Programs) -> None:
    programs.answers["dpkg-query"] = host.Finished(1, "here installed\nbroken half-configured\n", "no gone")
    fragment = {"packages": ["here", "broken", "gone"], "files": [{"path": "/etc/x", "content": ""}]}
    done = converge_to(root, programs, fragment)
    assert done["missing_packages"] == ["broken", "gone"]
    assert not done["changed"]
    assert converge_to(root, programs, fragment, check=True)["changed"]


def test_a_user_with_another_uid_is_refused_not_renumbered(root: Path, programs: Programs) -> None:
    for users, words in (
        ([{"name": "ann", "uid": 7001, "group": "ann"}], "user ann has uid 7000, planned is 7001"),
        ([{"name": "bob", "uid": 7000, "group": "ann"}], "7000 is planned for bob and belongs to ann"),
    ):
        with pytest.raises(host.StateError, match=words):
            converge_to(root, programs, {"users": users})
    assert programs.asked == []


def test_a_foreign_owner_is_an_error_that_names_him(root: Path, programs: Programs) -> None:
    with pytest.raises(host.StateError, match="'nobody-here', which owns a declared path"):
        converge_to(root, programs, {"files": [{"path": "/etc/x", "content": "", "owner": "nobody-here"}]})


def test_links_switch_in_one_step(root: Path, programs: Programs) -> None:
    (root / "opt/slipway/current").symlink_to("/a")
    converge_to(root, programs, {"links": [{"path": "/opt/slipway/current", "target": "/b"}]})
    assert (root / "opt/slipway/current").readlink() == Path("/b")
    (root / "opt/slipway/kept").write_text("")
    with pytest.raises(host.StateError, match="should be a symbolic link"):
        converge_to(root, programs, {"links": [{"path": "/opt/slipway/kept", "target": "/b"}]})


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.2.3", "1.2.10"),
        ("1.2.0-rc.1", "1.2.0"),
        ("1.2.0-alpha", "1.2.0-beta"),
        ("0.9.9", "1.0.0"),
        ("1.0.0-2", "1.0.0-10"),
    ],
)
def test_versions_are_ordered(older: str, newer: str) -> None:
    assert release.version_order(older) < release.version_order(newer)
    assert not release.version_order(newer) < release.version_order(newer)


def unpacked(root: Path, identity: str, version: str) -> None:
    folder = root / "opt/slipway/releases" / identity
    folder.mkdir(parents=True)
    (folder / "engine").write_text(version)
    manifest = {
        "version": version,
        "engine": {"executable": "engine"},
        "connectors": [],
        "files": {"engine": sha256(version.encode())},
    }
    (folder / "release.json").write_text(json.dumps(manifest))


def test_a_damaged_release_is_refused(root: Path, programs: Programs) -> None:
    unpacked(root, "1.0.0-a", "1.0.0")
    (root / "opt/slipway/releases/1.0.0-a/engine").write_text("meddled")
    wanted = {"releases": [{"root": "/opt/slipway", "id": "1.0.0-a", "version": "1.0.0"}]}
    with pytest.raises(host.StateError, match="the release on this host is damaged"):
        converge_to(root, programs, wanted)
    assert not (root / "opt/slipway/current").exists()


def test_the_former_release_is_kept_as_previous(root: Path, programs: Programs) -> None:
    for version in ("1.0.0", "1.1.0"):
        unpacked(root, f"{version}-a", version)
        wanted = {"releases": [{"root": "/opt/slipway", "id": f"{version}-a", "version": version}]}
        converge_to(root, programs, wanted)
    assert (root / "opt/slipway/current").readlink().name == "1.1.0-a"
    assert (root / "opt/slipway/previous").readlink().name == "1.0.0-a"


def test_an_anchor_is_in_the_bundle_or_it_is_put_there(root: Path, programs: Programs) -> None:
    (root / "etc/ssl/certs").mkdir(parents=True)
    anchors = {"trust": [{"name": "lab", "pem": "PEM"}]}
    assert converge_to(root, programs, anchors)["changed"]
    assert ("update-ca-certificates",) in programs.asked
    # The file alone is not enough: programs read the bundle.
    assert converge_to(root, programs, anchors)["changed"]
    (root / "etc/ssl/certs/ca-certificates.crt").write_text("other\nPEM\n")
    assert not converge_to(root, programs, anchors)["changed"]
    assert converge_to(root, programs, {"trust": []})["changed"]
    assert ("update-ca-certificates", "--fresh") in programs.asked


def test_no_process_is_never_process_one() -> None:
    assert units.main_pid({"MainPID": "0"}) is None
    assert units.main_pid({"MainPID": "1"}) is None
    assert units.main_pid({}) is None
    assert units.main_pid({"MainPID": "2"}) == 2


def test_start_times_are_read_to_the_microsecond() -> None:
    assert units.started_at({"ExecMainStartTimestamp": "Thu 1970-01-01 00:01:00.250000 UTC"}) == 60.25
    assert units.started_at({"ExecMainStartTimestamp": ""}) is None


@pytest.mark.parametrize("content", [b"", b"R{}", None])
def test_only_a_permit_in_force_arms(root: Path, content: bytes | None) -> None:
    if content is not None:
        (root / "run/slipway/permit").write_bytes(content)
    assert units.armed(host.Host(str(root)), "/run/slipway/permit") is None
    (root / "run/slipway/permit").write_bytes(b'A{"armed_by":"ann"}')
    assert units.armed(host.Host(str(root)), "/run/slipway/permit") == '{"armed_by":"ann"}'


def test_hashes_are_foretold_through_links_and_plans(root: Path) -> None:
    plan = Plan(host.Host(str(root)), check=False)
    plan.links["/opt/slipway/current"] = "/opt/slipway/releases/new"
    plan.written["/opt/slipway/releases/new/a"] = "planned"
    assert plan.future_hash("/opt/slipway/current/a") == "planned"
    assert plan.future_hash("/etc/passwd") == sha256((root / "etc/passwd").read_bytes())
    plan.replaced.add("/etc/passwd")
    assert plan.future_hash("/etc/passwd") is None
    assert plan.future_hash("/nowhere") is None


def test_programs_get_no_more_than_a_fixed_environment() -> None:
    done = host.Running(["env"]).finish()
    assert set(done.out.split()) == {f"{name}={value}" for name, value in host.ENVIRONMENT.items()}
    assert host.Running(["cat"], b"x" * 300_000).finish().out == "x" * 300_000
    assert host.Running(["not-there"]).finish().status == 127
    assert host.Running(["sh", "-c", "echo no >&2; exit 3"]).finish().words == "no"


def test_prepared_names_are_hidden_from_drop_in_folders() -> None:
    assert files.beside("/etc/sudoers.d/slipway") == "/etc/sudoers.d/.slipway.slipway-new"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"fies": []}, "fragment f: unknown key 'fies'"),
        ({"files": [{"path": "/x"}]}, r"files\[0\]: content is missing"),
        ({"files": [{"path": "/x", "content": "", "mode": 416}]}, "must be a quoted octal number"),
        ({"units": [{"name": "x", "state": "restarted"}]}, "state is 'restarted'"),
        ({"groups": {"name": "x"}}, "groups is not a list"),
        ({"users": [{"name": "x", "uid": 1, "group": "g", "gid": 1}]}, "unknown key 'gid'"),
    ],
)
def test_a_bad_fragment_is_named(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(document.DocumentError, match=words):
        document.fragment({"name": "f", **raw}, 0)


def test_a_template_sees_named_variables_only(tmp_path: Path) -> None:
    (tmp_path / "demo/templates").mkdir(parents=True)
    (tmp_path / "demo/templates/a.j2").write_text("{{ one }} {{ two }}\n")
    assert templates.render([str(tmp_path)], "demo/a.j2", {"one": 1, "two": 2}) == "1 2\n"
    with pytest.raises(document.DocumentError, match="'two' is undefined"):
        templates.render([str(tmp_path)], "demo/a.j2", {"one": 1})
    with pytest.raises(document.DocumentError, match=r"has demo/templates/b.j2"):
        templates.render([str(tmp_path)], "demo/b.j2", {})


def scope(raw: dict[str, Any], lookup: Any = None) -> variables.Variables:
    """Return variables as a play has them: what people wrote is trusted."""

    def trusted(value: Any) -> Any:
        if isinstance(value, str):
            return trust_as_template(value)
        if isinstance(value, dict):
            return {key: trusted(item) for key, item in value.items()}
        return [trusted(item) for item in value] if isinstance(value, list) else value

    return variables.Variables(trusted(raw), lookup)


def test_variables_are_native_and_evaluated_once() -> None:
    asked = []
    made = scope(
        {
            "port": 9464,
            "text": "port {{ port }}",
            "digits": "{{ '0640' }}",
            "names": "{{ users | map(attribute='name') | list }}",
            "users": [{"name": "{{ first }}"}, {"name": "b"}],
            "first": "{{ lookup('count') }}",
            "built": "{%- set all = [] -%}{%- for n in names -%}"
            "{%- set _ = all.append(n ~ '!') -%}{%- endfor -%}{{ all }}",
            "both": "{{ names + [first] }}",
        },
        lambda name: [asked.append(name) or "a"],
    )
    assert made["text"] == "port 9464"
    assert made["digits"] == "0640"
    assert made["built"] == ["a!", "b!"]
    assert made["both"] == ["a", "b", "a"]
    assert asked == ["count"]


def test_a_bad_variable_is_named() -> None:
    made = scope({"loop": "{{ loop2 }}", "loop2": "{{ loop }}", "hole": "{{ nothing_here + 1 }}"})
    with pytest.raises(document.DocumentError, match="defined by itself \\(loop -> loop2 -> loop\\)"):
        made["loop"]
    with pytest.raises(document.DocumentError, match="variable hole: 'nothing_here' is undefined"):
        made["hole"]
    with pytest.raises(KeyError):
        made["nowhere"]


def test_what_nobody_wrote_is_not_evaluated() -> None:
    assert variables.Variables({"from_outside": "{{ 1 + 1 }}"}, None)["from_outside"] == "{{ 1 + 1 }}"
