"""The lab's cloud as a daemon: moto's server in this process, with real hosts behind RunInstances.

    python -m infra.lab.cloud.server --directory DIR --prefix PREFIX --port PORT --image TREE

It speaks AWS's protocols on 127.0.0.1. Requests pass one at a time (moto's state has no locks). After a
call that changes EC2's state the firewall is brought up to date before the call returns, and hosts are
brought up to date behind it (see reconcile.py), so an instance is ``pending`` until its sshd answers, as
on AWS.

Beside the AWS API: ``GET /_slipway/status`` and ``POST /_slipway/settle``.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

# moto reads these when it is imported: be as strict as AWS, and load no catalogue of public images.
os.environ.setdefault("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")
os.environ.setdefault("MOTO_ENABLE_AMI_VALIDATION", "true")
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from infra.lab.cloud import view
from infra.lab.cloud.extras import ApiError, Form, PlacementGroups, console_output, image_ids
from infra.lab.cloud.reconcile import Reconciler, set_state
from infra.lab.commands import replace_text
from infra.lab.fabric import ELASTIC_POOL, Fabric
from infra.lab.nspawn import Hosts
from infra.lab.settings import LabError, LabSettings

log = logging.getLogger("infra.lab.cloud")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

READS = ("Describe", "Get", "List", "Search")
"""Calls that begin so change nothing."""

DEBIAN_OWNER = "136693071363"
"""The account that publishes Debian's machine images."""

POWER = {
    "RunInstances": ("running", "pending"),
    "StartInstances": ("running", "pending"),
    "StopInstances": ("stopped", "stopping"),
    "TerminateInstances": ("terminated", "shutting-down"),
}
"""The state that moto jumps to, and the one that the instance is in until its host has followed."""


class Cloud:
    """The WSGI application."""

    def __init__(self, hosts: Hosts, fabric: Fabric) -> None:
        self._hosts = hosts
        self._lock = threading.RLock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._groups = PlacementGroups()
        self.reconciler = Reconciler(hosts, fabric, self._lock)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_slipway/"):
            return self._own(path, start_response)
        scope = _scope(environ)
        if scope is None or scope[1] != "ec2":
            with self._lock:
                return list(self._moto(environ, start_response))
        try:
            return self._ec2(scope[0], environ, start_response)
        except ApiError as error:
            return _reply(start_response, "400 Bad Request", "text/xml", error.xml())

    def _own(self, path: str, start_response: StartResponse) -> Iterable[bytes]:
        settled = self.reconciler.settle(120.0) if path.endswith("/settle") else self.reconciler.settled()
        document = {
            "pid": os.getpid(),
            "settled": settled,
            "failures": self.reconciler.failures,
            "hosts": self._host_list(),
        }
        return _reply(start_response, "200 OK", "application/json", json.dumps(document))

    def _host_list(self) -> list[dict[str, str | None]]:
        with self._lock:
            return [
                {
                    "instance_id": one.spec.instance,
                    "name": one.spec.name,
                    "region": one.region,
                    "state": one.state,
                    "private_address": str(one.spec.address.ip),
                    "public_address": str(one.policy.public) if one.policy.public else None,
                }
                for one in view.instances()
            ]

    def _ec2(self, region: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        form = _take_form(environ)
        action = form.get("Action", "")
        with self._lock:
            self._register_images(region, form)
            served = self._serve_ourselves(action, region, form)
            if served is not None:
                return _reply(start_response, "200 OK", "text/xml", served)
            before = {one.instance.id: one.state for one in view.instances()} if action in POWER else {}
            self._prepare(action, region, form)
            _put_form(environ, form)
            status: list[str] = []

            def remember(code: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                status.append(code)
                return start_response(code, headers, *rest)

            body = list(self._moto(environ, remember))
            if status[0].startswith("200") and not action.startswith(READS):
                self._follow(action, form, before)
        return body

    def _serve_ourselves(self, action: str, region: str, form: Form) -> str | None:
        if action == "CreatePlacementGroup":
            return self._groups.create(region, form)
        if action == "DescribePlacementGroups":
            return self._groups.describe(region, form)
        if action == "DeletePlacementGroup":
            in_use = {
                one.instance.placement.group_name
                for one in view.instances()
                if one.region == region and one.state not in {"shutting-down", "terminated"}
            }
            return self._groups.delete(region, form, in_use)
        if action == "GetConsoleOutput" and view.find(form.get("InstanceId", "")) is not None:
            return console_output(form["InstanceId"], self._hosts.host_keys(form["InstanceId"]))
        return None

    def _prepare(self, action: str, region: str, form: dict[str, str]) -> None:
        """Refuse what moto would let pass, and choose what moto would make up."""
        group = form.get("Placement.GroupName")
        if action == "RunInstances" and group:
            self._groups.require(region, group)
        if action == "AllocateAddress":
            wanted = form.get("Address")
            used = view.used_addresses()
            if wanted is None:
                free = (address for address in ELASTIC_POOL.hosts() if address not in used)
                address = next(free, None)
                if address is None:
                    raise ApiError("AddressLimitExceeded", f"every address of {ELASTIC_POOL} is allocated")
                form["Address"] = str(address)

    def _follow(self, action: str, form: Form, before: dict[str, str]) -> None:
        """Let hosts and firewall follow what moto has just noted."""
        if action in POWER:
            jumped, real = POWER[action]
            for one in view.instances():
                former = before.get(one.instance.id)
                if one.state == jumped and former not in {jumped, real}:
                    set_state(one.instance, real)
                    if action == "RunInstances":
                        one.instance.placement.group_name = form.get("Placement.GroupName", "")
                        one.instance.placement.zone = one.instance.nics[0].subnet.availability_zone
                elif former == real:
                    set_state(one.instance, real)
        if action == "RebootInstances":
            for key, instance_id in form.items():
                if key.startswith("InstanceId."):
                    self.reconciler.reboot(instance_id)
        self.reconciler.apply_rules()
        self.reconciler.wake()

    def _register_images(self, region: str, form: Form) -> None:
        """Know every well-formed image id that is asked for: all of them are the lab's one image."""
        wanted = image_ids(form)
        if not wanted:
            return
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
        for name in wanted:
            if name not in backend.amis:
                backend.amis[name] = Ami(
                    backend,
                    ami_id=name,
                    name="debian-12-amd64-lab",
                    description="Debian 12 (the lab's host image)",
                    owner_id=DEBIAN_OWNER,
                    public=True,
                    virtualization_type="hvm",
                    architecture="x86_64",
                    root_device_type="ebs",
                    root_device_name="/dev/xvda",
                    hypervisor="xen",
                    region_name=f"{region}a",
                )


def _scope(environ: Environ) -> tuple[str, str] | None:
    """Return region and service from the request's signature."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    _, found, credential = header.partition("Credential=")
    parts = credential.split(",")[0].strip().split("/")
    return (parts[2], parts[3]) if found and len(parts) == 5 else None


def _take_form(environ: Environ) -> dict[str, str]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    raw = environ["wsgi.input"].read(length).decode() if length else environ.get("QUERY_STRING", "")
    return dict(parse_qsl(raw, keep_blank_values=True))


def _put_form(environ: Environ, form: Form) -> None:
    body = urlencode(form).encode()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded; charset=utf-8"
    environ["REQUEST_METHOD"] = "POST"
    environ["QUERY_STRING"] = ""


def _reply(start_response: StartResponse, status: str, kind: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


class _QuietHandler(MotoRequestHandler):
    """Log nothing for a request: the daemon's log is for what happened to hosts."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave the request out of the log."""


def lock(settings: LabSettings) -> int:
    """Take the lab's cloud for this process; raises LabError when another daemon has it."""
    directory = settings.directory / "cloud"
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise LabError(f"another cloud daemon already serves the lab in {settings.directory}") from None
    return handle


def endpoint_file(settings: LabSettings) -> Path:
    """Return the file that holds the URL of the running daemon."""
    return settings.directory / "cloud" / "endpoint"


def serve(settings: LabSettings, image: Path) -> None:
    """Serve until SIGTERM. Hosts live on: taking them away is the work of ``down``."""
    held = lock(settings)
    fabric = Fabric(settings)
    cloud = Cloud(Hosts(settings, image, fabric), fabric)
    server = make_server(
        "127.0.0.1",
        settings.port,
        cloud,
        threaded=True,
        request_handler=_QuietHandler,
    )
    cloud.reconciler.begin()
    replace_text(endpoint_file(settings), f"http://127.0.0.1:{server.server_port}\n")
    log.info("serving on 127.0.0.1:%d", server.server_port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever()
    finally:
        endpoint_file(settings).unlink(missing_ok=True)
        cloud.reconciler.finish()
        os.close(held)


def main() -> None:
    """Run the daemon from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--image", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    settings = LabSettings(directory=arguments.directory, prefix=arguments.prefix, port=arguments.port)
    try:
        serve(settings, arguments.image)
    except (LabError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the reason is the message; a trace says nothing more
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
