"""The programs that roles put on hosts: egress, arm, kill. Run here, with their paths moved to a folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "egress": "roles/firewall/files/slipway-egress",
    "arm": "roles/risk/files/slipway-arm",
    "kill": "roles/risk/files/slipway-kill",
}


def load(name: str) -> ModuleType:
    loader = SourceFileLoader(f"slipway_{name}", str(ROOT / PROGRAMS[name]))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    former, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = former
    return module


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_keep_the_rules_of_python_files(name: str) -> None:
    source = (ROOT / PROGRAMS[name]).read_bytes()
    for words in (["check"], ["format", "--check"]):
        argv = [str(Path(sys.executable).parent / "ruff"), *words, "--stdin-filename", f"{name}.py", "-"]
        done = subprocess.run(argv, input=source, capture_output=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


class Names:
    """What lookups answer; an exception is raised."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | OSError] = {}

    def __call__(self, name: str) -> list[str]:
        answer = self.answers[name]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
def egress(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, Names]:
    module, names = load("egress"), Names()
    monkeypatch.setattr(module, "lookup", names)
    return module, names


def test_a_refused_lookup_takes_nothing_away(egress: tuple[ModuleType, Names]) -> None:
    module, names = egress
    names.answers = {"a": ["192.0.2.1"]}
    known, problems = module.remember({}, ["a"], 1000.0, 60)
    assert (known, problems) == ({"a": {"192.0.2.1": 1000.0}}, [])
    names.answers = {"a": socket.gaierror("refused")}
    for later in (1030.0, 9e9):
        known, problems = module.remember(known, ["a"], later, 60)
        assert known == {"a": {"192.0.2.1": 1000.0}}
        assert problems == ["a: refused"]


def test_an_old_address_stays_a_while(egress: tuple[ModuleType, Names]) -> None:
    module, names = egress
    names.answers = {"a": ["192.0.2.2"]}
    seen = {"a": {"192.0.2.1": 1000.0}, "gone from the plan": {"192.0.2.9": 1000.0}}
    kept, _ = module.remember(seen, ["a"], 1060.0, 60)
    assert kept == {"a": {"192.0.2.1": 1000.0, "192.0.2.2": 1060.0}}
    dropped, _ = module.remember(kept, ["a"], 1061.0, 60)
    assert dropped == {"a": {"192.0.2.2": 1061.0}}


def test_elements_are_by_user_address_and_port(egress: tuple[ModuleType, Names]) -> None:
    module, _ = egress
    uid = pwd.getpwnam("daemon").pw_uid
    rules = [
        {"user": "daemon", "protocol": "tcp", "port": 443, "hostname": "a"},
        {"user": "daemon", "protocol": "udp", "port": 123, "hostname": "b"},
    ]
    sets = module.elements(rules, {"a": {"192.0.2.1": 0.0, "192.0.2.2": 0.0}, "b": {}})
    assert sets == {"named_tcp": [f"{uid} . 192.0.2.1 . 443", f"{uid} . 192.0.2.2 . 443"], "named_udp": []}
    assert module.script(sets, flush=True) == (
        "flush set inet slipway named_tcp\n"
        f"add element inet slipway named_tcp {{ {uid} . 192.0.2.1 . 443, {uid} . 192.0.2.2 . 443 }}\n"
        "flush set inet slipway named_udp\n"
    )


class Engine:
    """A control socket that answers as it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status: dict[str, Any] = {"state": "DISARMED", "release": "", "limits": "", "venues": {}}
        self.asked: list[dict[str, str]] = []
        self.open_for = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                request = json.loads(client.makefile("rb").readline())
                self.asked.append(request)
                answer: dict[str, Any] = {"ok": True}
                if request["cmd"] == "status":
                    self.open_for -= 1
                    left = 2 if self.open_for >= 0 else 0
                    answer = {**self.status, "venues": {"binance": {"open_orders": left}}}
                client.sendall(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path / "control.sock")
    yield made
    made.close()


@pytest.fixture
def arm(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    module = load("arm")
    (tmp_path / "current").mkdir()
    manifest = {"engine": {"executable": "bin/e"}, "files": {"bin/e": "a" * 64}}
    (tmp_path / "current" / "release.json").write_text(json.dumps(manifest))
    (tmp_path / "limits.json").write_text("{}")
    engine.status |= {"release": "a" * 64, "limits": hashlib.sha256(b"{}").hexdigest()}
    for name in ("permit", "latch", "current"):
        monkeypatch.setattr(module, name.upper(), tmp_path / name)
    monkeypatch.setattr(module, "LIMITS", tmp_path / "limits.json")
    monkeypatch.setattr(module, "SOCKET", str(engine.path))
    monkeypatch.setattr(module, "GROUP", "root")
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    return lambda *words: int(module.main(list(words)))


def test_arm_writes_the_permit_that_the_engine_reads(arm: Callable[..., int], tmp_path: Path) -> None:
    begin = time.time_ns()
    assert arm("--by", "ann", "--minutes", "5") == 0
    content = (tmp_path / "permit").read_bytes()
    assert content[:1] == b"A"
    permit = json.loads(content[1:])
    assert set(permit) == {"release", "limits", "armed_by", "armed_at_ns", "expires_at_ns"}
    assert (permit["release"], permit["armed_by"]) == ("a" * 64, "ann")
    assert permit["limits"] == hashlib.sha256(b"{}").hexdigest()
    assert begin <= permit["armed_at_ns"] <= time.time_ns()
    assert permit["expires_at_ns"] - permit["armed_at_ns"] == 300 * 10**9
    assert (tmp_path / "permit").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda engine, folder: engine.status.update(release="b" * 64), "converge first"),
        (lambda engine, folder: (folder / "limits.json").write_text("{ }"), "converge first"),
        (lambda engine, folder: (folder / "latch").write_text("loss limit"), "latched"),
        (lambda engine, folder: engine.close(), "does not answer"),
    ],
    ids=["executable", "limits", "latch", "engine"],
)
def test_arm_refuses(
    arm: Callable[..., int],
    engine: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Engine, Path], object],
    words: str,
) -> None:
    assert arm("--by", "ann", "--check") == 0
    assert not (tmp_path / "permit").exists()
    spoil(engine, tmp_path)
    assert arm("--by", "ann") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "permit").exists()


def test_lifting_a_latch_arms_nothing(arm: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "latch").write_text("loss limit")
    assert arm("--lift-latch", "ann") == 0
    assert not (tmp_path / "latch").exists()
    assert not (tmp_path / "permit").exists()


@pytest.fixture
def kill(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    module = load("kill")
    monkeypatch.setattr(module, "PERMIT", str(tmp_path / "permit"))
    monkeypatch.setattr(module, "SOCKET", str(engine.path))

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        code = module.main(list(words))
        seen = capsys.readouterr()
        return code, json.loads(seen.out), seen.err

    return run


def test_kill_revokes_first_and_waits_until_flat(
    kill: Callable[..., tuple[int, dict[str, Any], str]], engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "permit").write_bytes(b"A{}")
    with (tmp_path / "permit").open("rb") as held:
        engine.open_for = 3
        code, said, _ = kill("--reason", "drill")
        assert held.read(1) == b"R"
    assert code == 0
    assert said["open_orders"] == 0
    assert said["revoked_ns"] <= said["flat_ns"]
    assert not (tmp_path / "permit").exists()
    assert engine.asked[0] == {"cmd": "kill", "reason": "drill"}
    assert len(engine.asked) == 5


def test_kill_says_when_orders_stay_open(
    kill: Callable[..., tuple[int, dict[str, Any], str]], engine: Engine
) -> None:
    engine.open_for = 10**9
    code, said, words = kill("--timeout", "0.2")
    assert (code, said["open_orders"], said["flat_ns"]) == (2, 2, None)
    assert "cancel them at the venue" in words


def test_kill_revokes_without_an_engine(
    kill: Callable[..., tuple[int, dict[str, Any], str]], engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "permit").write_bytes(b"A{}")
    engine.close()
    code, said, words = kill()
    assert (code, said["flat_ns"], said["open_orders"]) == (3, None, None)
    assert "ask the venue" in words
    assert not (tmp_path / "permit").exists()
