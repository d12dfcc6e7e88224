"""The same end state in pyinfra's own operations; runs in pyinfra's environment, never in ours.

One operation for each declared thing, as its documentation shows. What pyinfra has no operation for
(credentials, trust store, release, what a unit was started with) it is given the floor's own script for,
run as one command a host: that is in its favour.
"""

import json
import os
from io import StringIO
from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

PLACE = Path(os.environ["SLIPWAY_BENCH_STATE"])
fragments = json.loads((PLACE / f"{host.name}.json").read_text())["fragments"]


def declared(kind):
    return [item for fragment in fragments for item in fragment.get(kind) or []]


for name in declared("hostname"):
    server.hostname(hostname=name, name="hostname")
if declared("packages"):
    apt.packages(packages=sorted(set(declared("packages"))), name="packages")
for item in declared("groups"):
    server.group(group=item["name"], gid=item["gid"], system=True, name=f"group {item['name']}")
for item in declared("users"):
    server.user(
        user=item["name"],
        uid=item["uid"],
        group=item["group"],
        groups=item["groups"],
        home=item["home"],
        shell=item["shell"],
        ensure_home=False,
        system=True,
        name=f"user {item['name']}",
    )
for item in declared("directories"):
    files.directory(
        path=item["path"],
        user=item["owner"],
        group=item["group"],
        mode=item["mode"],
        name=f"directory {item['path']}",
    )
for item in declared("files"):
    files.put(
        src=StringIO(item["content"]),
        dest=item["path"],
        user=item["owner"],
        group=item["group"],
        mode=item["mode"],
        create_remote_dir=False,
        name=f"file {item['path']}",
    )
for path in declared("absent"):
    files.file(path=path, present=False, name=f"absent {path}")
for item in declared("links"):
    files.link(path=item["path"], target=item["target"], name=f"link {item['path']}")
for item in declared("units"):
    if item["state"] == "started":
        systemd.service(
            service=item["name"], running=True, enabled=item["enabled"], name=f"unit {item['name']}"
        )

seen = host.get_fact(Command, command=(PLACE / f"{host.name}.special.sh").read_text())
if seen.strip() != "checked":
    server.shell(commands=["true"], name="special: " + seen.replace("\n", "; "))
