"""The benchmark's own parts: a floor that looks, a far network that is far, records that compare."""

from __future__ import annotations

import asyncio
import grp
import io
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from tests.bench import __main__ as program
from tests.bench import delay, raw, show
from tests.bench.figures import BenchError, Board, Machine, Ratio, Record, read
from tests.bench.timing import timed

ME = pwd.getpwuid(os.getuid()).pw_name
MINE = grp.getgrgid(os.getgid()).gr_name


def document(root: Path) -> dict[str, Any]:
    owner = {"owner": ME, "group": MINE}
    fragment = {
        "name": "demo",
        "directories": [{"path": str(root / "d"), "mode": "0750", **owner}],
        "files": [{"path": str(root / "d" / "f"), "mode": "0640", "content": "one\n", **owner}],
        "absent": [str(root / "gone")],
        "only": [{"path": str(root / "d"), "names": ["f"]}],
        "links": [{"path": str(root / "l"), "target": "d/f"}],
        "requires": [],
    }
    return {"check": False, "fragments": [fragment]}


def make(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d").chmod(0o750)
    (root / "d" / "f").write_text("one\n")
    (root / "d" / "f").chmod(0o640)
    (root / "l").symlink_to("d/f")


def look(root: Path) -> list[str]:
    text = raw.script(document(root), {}, ("paths", "absent", "only", "links"))
    text = text.replace("/run/lock/slipway-converge", str(root / "lock"))
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_floor_finds_nothing_on_a_good_host(tmp_path: Path) -> None:
    make(tmp_path)
    assert look(tmp_path) == ["checked"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("chmod 0777 d/f", "path {root}/d/f regular file"),
        ("chmod 0777 d", "path {root}/d directory"),
        ("echo two >d/f", "content "),
        ("rm d/f", "path {root}/d/f regular file"),
        ("touch gone", "absent {root}/gone"),
        ("ln -s nowhere gone", "absent {root}/gone"),
        ("touch d/stray", "only {root}/d/stray"),
        ("touch d/.stray", "only {root}/d/.stray"),
        ("touch d/.f.slipway-new", "left-over {root}/d/.f.slipway-new"),
        ("ln -sfn d l", "link {root}/l"),
    ],
)
def test_the_floor_sees(tmp_path: Path, spoil: str, said: str) -> None:
    make(tmp_path)
    subprocess.run(["sh", "-c", spoil], cwd=tmp_path, check=True)
    lines = look(tmp_path)
    assert lines[-1] == "checked"
    assert any(line.startswith(said.format(root=tmp_path)) for line in lines), lines


def test_the_floor_refuses_what_it_would_not_check(tmp_path: Path) -> None:
    state = document(tmp_path)
    state["fragments"][0]["quotas"] = [{"path": "/"}]
    with pytest.raises(raw.UnknownStateError, match="demo: the floor does not check 'quotas'"):
        raw.script(state, {})


def test_a_far_host_is_a_round_trip_away(tmp_path: Path) -> None:
    rtt_s = 0.2

    async def echo(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while block := await source.read(1 << 16):
            sink.write(block)
        sink.close()

    async def talk() -> tuple[float, float, bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        serving = asyncio.create_task(delay.serve(tmp_path, {"far": "127.0.0.1"}, rtt_s, port))
        while not (tmp_path / "far").exists():
            await asyncio.sleep(0.01)
        began = time.monotonic()
        source, sink = await asyncio.open_unix_connection(tmp_path / "far")
        sink.write(b"x")
        first = await source.readexactly(1)
        connected = time.monotonic()
        sink.write(b"y" * 100_000)
        rest = await source.readexactly(100_000)
        done = time.monotonic()
        sink.close()
        serving.cancel()
        server.close()
        return connected - began, done - connected, first + rest

    connecting, answering, echoed = asyncio.run(talk())
    assert echoed == b"x" + b"y" * 100_000
    assert connecting >= 2 * rtt_s, "making the connection costs a round trip, the answer another"
    assert rtt_s <= answering < 10 * rtt_s


def test_a_ratio_divides_the_best_runs() -> None:
    board = Board()
    for slow, fast in ((8.0, 2.0), (4.0, 9.0)):
        board.add("converge", "slow", slow)
        board.add("converge", "fast", fast)
    board.ratio("slow / fast", "slow", "fast", at_most=1.5)
    board.ratio("nothing was measured", "slow", "never")
    (ratio,) = board.ratios
    assert ratio.value == 2.0
    assert not ratio.met
    figure = board.figures()[0]
    assert (figure.median, figure.min, figure.max, figure.runs) == (6.0, 4.0, 8.0, 2)
    with pytest.raises(BenchError, match="'never' was not measured; there are: slow, fast"):
        board.median("never")


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (2.0, {"at_most": 2.0}, True),
        (2.1, {"at_most": 2.0}, False),
        (4.0, {"at_least": 4.0}, True),
        (3.9, {"at_least": 4.0}, False),
        (99.0, {}, True),
    ],
)
def test_goals(value: float, goal: dict[str, float], met: bool) -> None:
    assert Ratio(section="converge", name="x", value=value, **goal).met is met


def record(**seconds: float) -> Record:
    board = Board()
    for name, value in seconds.items():
        board.add("lab", name, value, "1/s" if name == "rate" else "s")
    machine = Machine(
        cpu="x",
        cpus=2,
        memory_gib=1,
        kernel="6",
        python="3",
        versions={},
        load_before=(0, 0, 0),
        load_after=(0, 0, 0),
    )
    return Record(
        revision="abc", began="2026-01-01", seconds=1, machine=machine, figures=board.figures(), ratios=()
    )


def test_records_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(record(boot=3.0, rate=10.0, gone=1.0).model_dump_json())
    screen = Console(file=io.StringIO(), width=100)
    screen.print(show.comparison(read(path), record(boot=1.5, rate=20.0, new=1.0)))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert "boot" in text
    assert "2.00" in text
    assert "0.50" in text
    assert "gone" not in text
    assert "new" not in text.replace("old / new", "").replace(" new ", "")


def test_a_record_of_another_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    with pytest.raises(BenchError, match=r"bench\.json: no such file; make one with make bench"):
        read(path)
    path.write_text(record(boot=1.0).model_dump_json().replace('"schema_version":1', '"schema_version":2'))
    with pytest.raises(BenchError, match="is not a record of schema 1"):
        read(path)
    with pytest.raises(ValidationError):
        Record.model_validate({})


def test_a_command_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="ended with 3:\nlast words"):
        timed(["sh", "-c", "echo last words; exit 3"], cwd=tmp_path, environment=dict(os.environ))
    done = timed(["sh", "-c", "echo fine"], cwd=tmp_path, environment=dict(os.environ))
    assert done.output == "fine\n"
    assert done.wall > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "engines"], "'engines'; allowed are engine, lab, converge, verify"),
        (["--hosts", "0"], "'0'; allowed are 1 to 24"),
        (["--hosts", "1,x"], "'1,x'; allowed are numbers with commas between"),
        (["--runs", "0"], "--runs is 0; at least 1 is needed"),
    ],
)
def test_bad_arguments_are_refused(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *given])
    with pytest.raises(SystemExit):
        program.arguments()
    assert said in capsys.readouterr().err
