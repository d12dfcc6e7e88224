"""The core as one program on standard input: its modules by name, then the document."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

MARK = "SLIPWAY-STATE "
PACKAGE = "slipway_state"
FOLDER = Path(__file__).resolve().parent.parent / "module_utils" / "state"

# The first line of standard input holds two lengths: of the loader and of the modules' sources.
COMMAND = (
    "/usr/bin/python3 -I -S -c "
    '\'import sys;i=sys.stdin.buffer;n=int(i.readline());exec(compile(i.read(n),"slipway","exec"))\''
)

LOADER = """
import sys, json, types
sources = json.loads(i.readline())
package = types.ModuleType("{package}")
package.__path__ = []
sys.modules["{package}"] = package
def load(name):
    module = types.ModuleType("{package}." + name)
    module.__package__ = "{package}"
    sys.modules[module.__name__] = module
    exec(compile(sources[name], name + ".py", "exec"), module.__dict__)
    return module
for name in {order!r}:
    load(name)
print(sys.modules["{package}.converge"].main(json.loads(i.read())))
"""

ORDER = ("host", "plan", "accounts", "files", "credentials", "trust", "release", "units", "converge")
"""The modules in the order in which they import each other."""


@lru_cache(maxsize=1)
def program() -> bytes:
    """Return what goes before the document on standard input."""
    import json  # noqa: PLC0415 (only where a program is built)

    sources = {name: (FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    loader = LOADER.format(package=PACKAGE, order=ORDER).encode()
    return b"%d\n" % len(loader) + loader + json.dumps(sources).encode() + b"\n"
