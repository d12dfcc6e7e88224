"""Converge: the real roles beside the floor (one shell script over raw SSH) and pyinfra."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.operate import fleet, inventory, release
from infra.operate.workspace import Workspace
from tests.bench import raw
from tests.bench.figures import BenchError, Board
from tests.bench.grounds import Grounds
from tests.bench.rival import environment as rival
from tests.bench.timing import Timed, timed

OURS, RAW, PYINFRA = "slipway", "raw ssh", "pyinfra"
AT_MOST_RAW = 2.0
AT_LEAST_PYINFRA = 4.0
GOAL_HOSTS = 20

DRIFTS = {
    "mode": "chmod 0666 /etc/nftables.conf",
    "content": "echo '#' >> /etc/default/chrony",
    "account": "usermod --shell /bin/sh slipway-engine",
    "credential": "chmod 0644 /etc/credstore.encrypted/*",
    "link": "ln -sfn /opt/slipway/releases /opt/slipway/current",
    "unit": "systemctl stop slipway-egress.timer && systemctl disable --quiet slipway-egress.timer",
    "rules": "nft add table inet stray",
    "stray": "touch /etc/slipway/connectors/stray.json",
}
"""Ways to spoil a host. Whoever calls a host idle must see each of them."""


@dataclass
class Variant:
    """One way to bring the end state about: how to run it, and whether its answer says that all is well."""

    name: str
    argv: list[str]
    idle: Callable[[str], str]
    """Given the output: why it is not idle; empty when it is."""

    environment: dict[str, str]


@dataclass
class Field:
    """Hosts with everything that the variants need."""

    grounds: Grounds
    workspace: Workspace
    state: Path
    """Directory with each host's script, document and special checks; it holds secrets."""

    pyinfra: Path

    @property
    def names(self) -> list[str]:
        """The hosts."""
        return list(self.workspace.inventory().hosts)

    def variants(self) -> list[Variant]:
        """Return the three, in the order floor, ours, pyinfra; each logs in anew."""
        return [self.raw(), self.ours(), self.rival()]

    def ours(self) -> Variant:
        """Return the playbook."""
        return Variant(
            OURS, self.grounds.converge_argv(self.workspace), _playbook_idle, self.grounds.environment()
        )

    def raw(self, *, warm: bool = False) -> Variant:
        """Return the floor: every host's script at once, each over one ssh command."""
        kept = "" if warm else "-o ControlMaster=no -o ControlPath=none"
        config = shlex.quote(str(self.workspace.ssh_config))
        lines = [
            f"ssh -F {config} {kept} {name} 'sudo -n sh -s' "
            f"<{self.state / name}.sh >{self.state / name}.seen 2>&1 &"
            for name in self.names
        ]
        lines += ["wait", *(f"cat {self.state / name}.seen" for name in self.names)]
        return Variant(RAW, ["sh", "-c", "\n".join(lines)], self._raw_idle, self.grounds.environment())

    def rival(self) -> Variant:
        """Return pyinfra's run of the same end state."""
        deploy = rival.REQUIREMENTS.with_name("deploy.py")
        argv = [str(self.pyinfra), "-y", str(self.state / "inventory.py"), str(deploy)]
        return Variant(
            PYINFRA,
            argv,
            self._rival_idle,
            self.grounds.environment(SLIPWAY_BENCH_STATE=str(self.state), COLUMNS="300"),
        )

    def _raw_idle(self, output: str) -> str:
        return "" if output.split() == ["checked"] * len(self.names) else output

    def _rival_idle(self, output: str) -> str:
        total = re.search(r"Grand total +(\d+) +(\S+) +(\S+) +(\S+)", output)
        hosts = output.count("] Connected")
        return "" if total and total[4] == total[1] and hosts == len(self.names) else output

    def measure(self, variant: Variant, *, warm: bool = False) -> Timed:
        """Run a variant once on idle hosts; BenchError when it did not find them idle."""
        if not warm:
            fleet.close(self.workspace)
        done = timed(
            variant.argv,
            cwd=self.grounds.place.root,
            environment=variant.environment,
            groups=self.grounds.groups(self.names),
            allowed=range(256),
        )
        problem = variant.idle(done.output)
        if problem:
            raise BenchError(f"{variant.name} did not find idle hosts: {problem[-3000:]}")
        return done


def _playbook_idle(output: str) -> str:
    recap = re.findall(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output)
    good = recap and all(int(ok) and not any(map(int, rest)) for ok, *rest in recap)
    return "" if good else output


def prepare(grounds: Grounds, workspace: Workspace, program: Path) -> Field:
    """Render every host's document and write the variants' files from it."""
    state = workspace.out / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    manifest = release.manifest_of(workspace.release_archive())
    named = [manifest.engine.executable]
    named += [c.path if c.kind == "library" else c.executable for c in manifest.connectors]
    executables = {name: manifest.files[name] for name in named}
    documents = grounds.documents(workspace)
    for name, document in documents.items():
        (state / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        (state / f"{name}.sh").write_text(raw.script(document, executables), encoding="utf-8")
        special = raw.script(document, executables, ("only", *raw.SPECIALS))
        (state / f"{name}.special.sh").write_text(special, encoding="utf-8")
    _rival_inventory(grounds, workspace, state)
    return Field(grounds, workspace, state, program)


def _rival_inventory(grounds: Grounds, workspace: Workspace, state: Path) -> None:
    hosts = workspace.inventory().hosts
    known = [
        f"{inventory.address_of(hosts[name])} {key}"
        for line in workspace.known_hosts.read_text(encoding="utf-8").splitlines()
        for name, _, key in [line.partition(" ")]
    ]
    (state / "known_hosts").write_text("\n".join(known) + "\n", encoding="utf-8")
    data = {
        "ssh_config_file": str(workspace.ssh_config),
        "ssh_known_hosts_file": str(state / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
        "ssh_user": next(iter(hosts.values())).plan.login,
        "ssh_key": str(grounds.document.ssh_key),
        "_sudo": True,
    }
    (state / "inventory.py").write_text(f"hosts = ({list(hosts)!r}, {data!r})\n", encoding="utf-8")


def fresh(grounds: Grounds, workspace: Workspace, board: Board | None, label: str) -> None:
    """Converge hosts that are bare."""
    done = timed(grounds.converge_argv(workspace), cwd=grounds.place.root, environment=grounds.environment())
    if board is not None:
        board.add("converge", f"fresh converge, {label}, slipway", done.wall)
    again = timed(grounds.converge_argv(workspace), cwd=grounds.place.root, environment=grounds.environment())
    problem = _playbook_idle(again.output)
    if problem:
        raise BenchError(f"the second converge of {label} changed something: {problem[-3000:]}")


def prove(field: Field, board: Board) -> None:
    """Spoil one host in every way at once: the floor and the playbook must see it all; then repair it."""
    name = field.names[0]
    command = " && ".join(f"({line})" for line in DRIFTS.values())
    for answer in fleet.ask(field.workspace, [name], f"sudo -n sh -c {shlex.quote(command)}", timeout_s=60):
        if not answer.ok:
            raise BenchError(f"{name} could not be spoilt: {answer.error or answer.out}")
    floor = timed(field.raw().argv, cwd=field.grounds.place.root, environment=field.raw().environment)
    wanted = {
        "mode": "path /etc/nftables.conf",
        "content": "content",
        "account": "user slipway-engine",
        "credential": "credential /etc/credstore",
        "link": "release current",
        "unit": "unit slipway-egress.timer enabled",
        "rules": "unit nftables.service stamp",
        "stray": "only /etc/slipway/connectors/stray.json",
    }
    missed = [drift for drift, words in wanted.items() if words not in floor.output]
    if missed:
        raise BenchError(f"the floor did not see {missed} on a spoilt host; it said:\n{floor.output}")
    rival_run = field.rival()
    seen = timed(
        rival_run.argv,
        cwd=field.grounds.place.root,
        environment=rival_run.environment,
        allowed=range(256),
    )
    if not rival_run.idle(seen.output):
        raise BenchError(f"pyinfra called a spoilt host idle: {seen.output[-3000:]}")
    subprocess.run(
        ["ssh", "-F", str(field.workspace.ssh_config), name, "sudo nft delete table inet stray"],
        check=False,
        capture_output=True,
    )
    fresh(field.grounds, field.workspace, None, f"spoilt {name}")
    board.remarks.append(
        f"Before measuring, one host was spoilt in {len(DRIFTS)} ways ({', '.join(DRIFTS)}): the floor named "
        "each, pyinfra saw differences, and the playbook repaired them."
    )


def measure(field: Field, board: Board, runs: int, tell: Callable[[str], None]) -> None:
    """Measure all variants alternately on idle hosts."""
    count = len(field.names)
    label = f"idle converge, {count} host{'s' * (count > 1)}"
    with field.grounds.quiet():
        for run in range(runs):
            order = field.variants()
            for variant in order[run % 3 :] + order[: run % 3]:
                done = field.measure(variant)
                _note(board, f"{label}, {variant.name}", done, count)
                tell(f"{label}, {variant.name}: {done.wall:.2f} s")
            for variant in (field.raw(warm=True), field.ours()):
                fleet.ask(field.workspace, field.names, "true")
                done = field.measure(variant, warm=True)
                board.add("converge", f"{label}, {variant.name}, warm", done.wall)
                tell(f"{label}, {variant.name}, warm: {done.wall:.2f} s")
    goal = count == GOAL_HOSTS
    board.ratio(
        f"{label}: slipway / raw ssh",
        f"{label}, {OURS}",
        f"{label}, {RAW}",
        at_most=AT_MOST_RAW if goal else None,
    )
    board.ratio(f"{label}, warm: slipway / raw ssh", f"{label}, {OURS}, warm", f"{label}, {RAW}, warm")
    board.ratio(
        f"{label}: pyinfra / slipway",
        f"{label}, {PYINFRA}",
        f"{label}, {OURS}",
        at_least=AT_LEAST_PYINFRA,
    )


def _note(board: Board, name: str, done: Timed, hosts: int) -> None:
    board.add("converge", name, done.wall)
    board.add("converge", f"{name}: CPU of the control machine", done.cpu)
    board.add("converge", f"{name}: CPU of each host", done.hosts_cpu / hosts)


def far(field: Field, board: Board, runs: int, rtt_ms: float, tell: Callable[[str], None]) -> None:
    """Measure one host near and far through the same delay proxy; the slope is the number of round trips."""
    for rtt in (0.0, rtt_ms):
        with field.grounds.far(field.workspace, rtt) as workspace, field.grounds.quiet():
            there = prepare(field.grounds, workspace, field.pyinfra)
            for _ in range(runs):
                for variant in there.variants():
                    done = there.measure(variant)
                    board.add("converge", _far_name(variant.name, rtt), done.wall)
                    tell(f"{_far_name(variant.name, rtt)}: {done.wall:.2f} s")
    for name in (OURS, RAW, PYINFRA):
        slope = board.best(_far_name(name, rtt_ms)) - board.best(_far_name(name, 0.0))
        board.add(
            "converge", f"idle converge, round trips, {name}", max(0.0, slope / (rtt_ms / 1e3)), "count"
        )
    board.ratio(
        f"idle converge, 1 host at {rtt_ms:g} ms: slipway / raw ssh",
        _far_name(OURS, rtt_ms),
        _far_name(RAW, rtt_ms),
    )
    board.ratio(
        f"idle converge, 1 host at {rtt_ms:g} ms: pyinfra / slipway",
        _far_name(PYINFRA, rtt_ms),
        _far_name(OURS, rtt_ms),
        at_least=AT_LEAST_PYINFRA,
    )


def _far_name(variant: str, rtt_ms: float) -> str:
    return f"idle converge, 1 host at {rtt_ms:g} ms round trip, {variant}"


def section(
    grounds: Grounds, board: Board, names: Sequence[str], runs: int, tell: Callable[[str], None]
) -> Field:
    """Bring ``names`` to the plan if they are bare, and measure them idle."""
    program = rival.ensure(
        grounds.lab.settings.cache, Path(__file__).resolve().parents[2] / ".uv" / "bin" / "uv"
    )
    bare = [name for name in names if name not in grounds.converged]
    if bare:
        label = f"{len(bare)} host{'s' * (len(bare) > 1)}"
        fresh(grounds, grounds.workspace(bare, "fresh"), board, label)
        grounds.converged |= set(bare)
        tell(f"fresh converge, {label}: done")
    field = prepare(grounds, grounds.workspace(names, f"{len(names)}"), program)
    if len(grounds.converged) == len(bare):
        prove(field, board)
        field = prepare(grounds, field.workspace, program)
    if runs:
        measure(field, board, runs, tell)
    return field
