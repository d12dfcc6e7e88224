"""``slipway``: a thin face on the plan, the lab and what an operator does.

Every command prints the ``pulumi``, ``ansible-playbook``, ``pytest`` or ``ssh`` line that does the same.
Each imports what it needs when it runs: ``slipway kill`` must not wait for what draws plots.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.operate.workspace import Workspace, WorkspaceError, checkout

if TYPE_CHECKING:
    from infra.operate.command import Command

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=__doc__)
lab_app = typer.Typer(
    no_args_is_help=True, help="A cloud on this machine, with venue simulators: no account needed."
)
release_app = typer.Typer(no_args_is_help=True, help="Make, sign and check engine releases.")
app.add_typer(lab_app, name="lab")
app.add_typer(release_app, name="release")

console = Console()
errors = Console(stderr=True)

Stack = Annotated[str, typer.Argument(help="Stack name: phase1.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]


def _show(data: Any, shown: Table, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
    else:
        console.print(shown)


def _workspace(stack: str) -> Workspace:
    return Workspace(checkout(), stack)


def _run(workspace: Workspace, name: str, command: Command) -> None:
    errors.print(f"[dim]$ {escape(command.shown())}[/]")
    command.run(
        workspace.logs / f"{name}.log", cwd=workspace.root, line=lambda text: console.print(escape(text))
    )


@app.command()
def venues(*, as_json: AsJson = False) -> None:
    """Print the connection matrix: every venue of the catalogue, and how it is reached and stopped."""
    from infra.catalogue.load import load_catalogue
    from infra.catalogue.matrix import SCREEN, connection_matrix

    rows = connection_matrix(load_catalogue())
    shown = Table(title="venues (--json shows every column)")
    for heading in SCREEN:
        shown.add_column(heading.replace("_", " "), no_wrap=heading == "venue", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(str(row[heading])) for heading in SCREEN))
    _show(rows, shown, as_json=as_json)


@app.command()
def plan(
    stack: Stack,
    *,
    mode: Annotated[str | None, typer.Option(help="simulated, test or live; default: the stack's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a stack deploys, without touching anything (plain: pulumi preview)."""
    from infra.catalogue.load import load_catalogue
    from infra.plan.build import build_plan
    from infra.plan.settings import load_settings

    planned = build_plan(load_catalogue(), load_settings(stack, mode=mode))
    shown = Table(title=f"{planned.stack}, mode {planned.mode}")
    for heading in ("host", "where", "machine", "venues", "speaks to", "may lose a day"):
        shown.add_column(heading, no_wrap=heading == "host", overflow="fold")
    for host in planned.hosts:
        shown.add_row(
            host.name,
            f"{host.region} {host.zone_id}",
            host.instance_type,
            ", ".join(c.venue for c in host.connectors),
            "\n".join(sorted({f"{r.hostname}:{r.port}" for r in host.egress if r.hostname})),
            str(host.total_limits.max_daily_loss),
        )
    _show(planned.model_dump(mode="json"), shown, as_json=as_json)


@app.command()
def up(stack: Stack) -> None:
    """Deploy a stack into the lab and write its inventory (on AWS: pulumi up, then slipway inventory)."""
    from infra.lab.life import Lab
    from infra.rehearsal import deploy

    workspace = _workspace(stack)
    deploy(workspace, Lab(), _tell)
    console.print(f"{workspace.inventory_file}: {len(workspace.inventory().hosts)} hosts", soft_wrap=True)


@app.command()
def inventory(
    stack: Stack,
    document: Annotated[Path, typer.Argument(help="pulumi stack output inventory --json > FILE")],
    *,
    identity: Annotated[Path | None, typer.Option(help="SSH private key; default: ssh's own choice.")] = None,
) -> None:
    """Write what Ansible and ssh read, from the document that the stack exported."""
    from infra.operate import inventory as writing
    from infra.operate.host_keys import from_console

    workspace = _workspace(stack)
    writing.write(workspace, workspace.read(document), from_console, identity=identity)
    console.print(f"{workspace.hosts_file}: {len(workspace.inventory().hosts)} hosts", soft_wrap=True)


@app.command()
def converge(
    stack: Stack,
    *,
    check: Annotated[bool, typer.Option("--check", help="Say what would change; change nothing.")] = False,
) -> None:
    """Bring the hosts to the plan with Ansible. A second run changes nothing."""
    from infra.lab.life import Lab
    from infra.operate import release as releases
    from infra.rehearsal import converge_command, enter

    workspace = _workspace(stack)
    # Also where every host has this release already: what lies here must be what was signed.
    releases.check(workspace.release_archive(), workspace.release_public_key)
    document = Lab().document() if workspace.inventory().mode == "simulated" else None
    if document is not None:
        enter(document)
    _run(workspace, "converge", converge_command(workspace, document, ("--check", "--diff") if check else ()))


@app.command()
def verify(
    stack: Stack,
    *,
    select: Annotated[str, typer.Option("-m", help="Markers, e.g. 'venue_binance and firewall'.")] = "",
) -> None:
    """Prove the live hosts against the plan with testinfra."""
    from infra.operate import verify as verifying

    workspace = _workspace(stack)
    extra = ("-m", select) if select else ()
    _run(workspace, "verify", verifying.command(workspace, workspace.evidence / "verify.xml", extra))


@app.command()
def arm(
    stack: Stack,
    *,
    by: Annotated[str, typer.Option(help="Who arms: the name that goes into the permit.")],
    minutes: Annotated[int, typer.Option(help="Life of the permit.")] = 60,
) -> None:
    """Give all hosts their permit to trade, or none of them (plain: ansible-playbook playbooks/arm.yml)."""
    from infra.operate import arm as arming

    for host in arming.arm(_workspace(stack), arming.Permit(by, minutes)):
        console.print(f"{host}: [bold green]armed[/] for {minutes} minutes by {escape(by)}")


@app.command()
def kill(
    stack: Stack,
    *,
    reason: Annotated[str, typer.Option(help="Why; goes into the hosts' journals.")] = "operator",
    venue: Annotated[str | None, typer.Option(help="Only the hosts that trade at this venue.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything at once: revoke all permits, cancel all orders (plain: playbooks/kill.yml).

    Ends with 1 if any host is not proven flat; it says which, and the venue's own means must be used there.
    """
    from infra.operate import kill as killing

    killed = killing.kill(_workspace(stack), reason, venue=venue)
    shown = Table(title="kill")
    for heading in ("host", "permit gone after", "flat after", "open orders", "problem"):
        shown.add_column(heading)
    for host in killed.hosts:
        after = [
            "never" if at is None else f"{(at - killed.started_ns) / 1e6:.1f} ms"
            for at in (host.revoked_ns, host.flat_ns)
        ]
        shown.add_row(host.host, *after, str(host.open_orders), escape(host.problem))
    data = {"flat": killed.flat, "hosts": [vars(host) for host in killed.hosts]}
    _show(data, shown, as_json=as_json)
    if not killed.flat:
        raise typer.Exit(1)


@app.command()
def status(
    stack: Annotated[str, typer.Argument(help="Stack name.")] = "phase1", *, as_json: AsJson = False
) -> None:
    """Ask every engine how it is: state, venues, orders, P&L, latency."""
    from infra.operate import status as asking

    seen = asking.status(_workspace(stack))
    shown = Table(title=stack)
    for heading in ("host", "state", "venue", "connection"):
        shown.add_column(heading)
    for heading in (
        "open",
        "sent",
        "acked",
        "filled",
        "cancelled",
        "rejected",
        "position",
        "net P&L",
        "p50",
        "p99",
    ):
        shown.add_column(heading, justify="right")
    for host in seen:
        if host.engine is None:
            shown.add_row(host.host, "[red]UNREACHABLE[/]", escape(host.problem))
            continue
        for venue, at in host.engine["venues"].items():
            net = (at["realised_e8"] + at["unrealised_e8"] - at["fees_e8"]) / 1e8
            rtt = at["order_rtt_ns"]
            shown.add_row(
                host.host,
                host.state,
                venue,
                at["connection"],
                *(str(at[key]) for key in ("open_orders", "sent", "acked", "filled", "canceled", "rejected")),
                f"{at['position_e8'] / 1e8:g}",
                f"{net:.2f}",
                f"{rtt['p50'] / 1e6:.2f} ms",
                f"{rtt['p99'] / 1e6:.2f} ms",
            )
    _show([vars(host) for host in seen], shown, as_json=as_json)
    if any(host.engine is None for host in seen):
        raise typer.Exit(1)


@app.command()
def ssh(stack: Stack, host: Annotated[str, typer.Argument(help="Host name of the inventory.")]) -> None:
    """Print the ssh line that logs in to a host."""
    workspace = _workspace(stack)
    if host not in workspace.inventory().hosts:
        known = ", ".join(workspace.inventory().hosts)
        raise WorkspaceError(f"host {host} is not in {workspace.inventory_file}; it has: {known}")
    console.print(f"ssh -F {workspace.ssh_config} {host}", soft_wrap=True)


@lab_app.command("up")
def lab_up() -> None:
    """Start the lab: image, network, cloud, simulators. Starting it twice is harmless."""
    from infra.lab.life import Lab
    from infra.rehearsal import lab_line

    Lab().up(progress=lambda event: _tell(lab_line(event)))


@lab_app.command("down")
def lab_down() -> None:
    """Take the lab down, also a half-started one; nothing is left behind but the image cache."""
    from infra.lab.life import Lab
    from infra.operate import fleet
    from infra.rehearsal import lab_line

    root = checkout()
    for out in (root / "out").glob("*/ssh_config"):
        fleet.close(Workspace(root, out.parent.name))
    Lab().down(progress=lambda event: _tell(lab_line(event)))


@lab_app.command("status")
def lab_status() -> None:
    """Show what of the lab is up, as JSON."""
    from infra.lab.life import Lab

    sys.stdout.write(Lab().status().model_dump_json(indent=2) + "\n")


@lab_app.command("env")
def lab_env() -> None:
    """Print what sends boto3, pulumi and ansible-playbook to the lab: eval "$(slipway lab env)"."""
    from infra.lab.life import Lab
    from infra.lab.settings import LabError

    document = Lab().document()
    if document is None:
        raise LabError("no lab is up on this machine: slipway lab up")
    for key, value in document.environment.items():
        sys.stdout.write(f"export {key}={shlex.quote(value)}\n")


@lab_app.command("ssh")
def lab_ssh(host: Annotated[str, typer.Argument(help="Host name, instance id or private address.")]) -> None:
    """Log in to a lab host."""
    from infra.lab.life import Lab

    argv = Lab().ssh_command(host)
    os.execvp(argv[0], argv)  # noqa: S606  the shell is the operator's


@lab_app.command("run")
def lab_run(stack: Stack = "phase1") -> None:
    """Run a phase to its end: deploy, converge, verify, arm, trade, kill; the lab stays up."""
    from infra.operate.report import table
    from infra.operate.steps import Steps
    from infra.rehearsal import Rehearsal

    workspace = _workspace(stack)
    with Steps(console) as steps:
        record = Rehearsal(workspace, steps.begin, steps.tell).run()
    console.print(table(record))
    first = next(iter(workspace.inventory().hosts))
    for label, text in (
        ("report", str(workspace.report)),
        ("look at it", f".venv/bin/slipway status {stack}"),
        ("log in to a host", f"ssh -F {workspace.ssh_config} {first}"),
        ("take it down", "make lab-down"),
    ):
        console.print(f"{label:17} {escape(text)}", soft_wrap=True)
    if not record.passed:
        raise typer.Exit(1)


@release_app.command("keygen")
def release_keygen(directory: Path) -> None:
    """Make a signing key; keep the secret half off every machine that deploys."""
    from infra.operate import release as releases

    key = releases.generate_key(directory)
    console.print(f"secret: {key.secret}\npublic: {key.public}", soft_wrap=True)


@release_app.command("reference")
def release_reference(
    stack: Stack,
    *,
    key: Annotated[Path, typer.Option(help="Directory that slipway release keygen made.")],
) -> None:
    """Build and sign a release of the reference engine for a stack."""
    from infra.operate import reference
    from infra.operate import release as releases

    workspace = _workspace(stack)
    console.print(str(reference.build(workspace, releases.generate_key(key), _tell)), soft_wrap=True)


@release_app.command("build")
def release_build(
    tree: Annotated[Path, typer.Argument(help="Directory with release.json at its root.")],
    out: Annotated[Path, typer.Argument(help="Directory for the archive and its signature.")],
    *,
    key: Annotated[Path, typer.Option(help="Directory that slipway release keygen made.")],
) -> None:
    """Pack and sign a release of your own engine from its build tree."""
    from infra.operate import release as releases

    built = releases.build(tree, out, releases.generate_key(key))
    console.print(f"{built.archive}\n{built.signature}", soft_wrap=True)


@release_app.command("check")
def release_check(
    archive: Path,
    *,
    public_key: Annotated[Path, typer.Option(help="The minisign public key that hosts trust.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a release that is unsigned, altered, or not of the contract."""
    from infra.operate import release as releases

    manifest = releases.check(archive, public_key)
    shown = Table(title=f"{manifest.name} {manifest.version} {manifest.target}: good")
    shown.add_column("connector")
    shown.add_column("kind")
    for connector in manifest.connectors:
        shown.add_row(connector.venue, connector.kind)
    _show(manifest.model_dump(mode="json"), shown, as_json=as_json)


def _tell(text: str) -> None:
    errors.print(f"[dim]{escape(text)}[/]")


def main() -> None:
    """Run the command line. Errors of ours are written for the operator: one message, exit code 1."""
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("infra."):
            raise
        errors.print(f"[bold red]slipway:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
