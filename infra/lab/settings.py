"""Where a lab lives and how its things are named; two labs with different settings never meet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_VARIABLE = "SLIPWAY_LAB_DIR"
CACHE_VARIABLE = "SLIPWAY_CACHE_DIR"
PREFIX_VARIABLE = "SLIPWAY_LAB_PREFIX"
PORT_VARIABLE = "SLIPWAY_LAB_PORT"

DEFAULT_PORT = 15066


class LabError(Exception):
    """Something the lab cannot do; the message says what was found and what to do."""


@dataclass(frozen=True)
class LabSettings:
    """One lab: its directory, the shared image cache, the prefix of its names, the port of its cloud."""

    directory: Path = Path("/var/lib/slipway/lab")
    cache: Path = Path("/var/cache/slipway")
    prefix: str = "slw"
    """Begins every namespace and control group of this lab; at most 8 lower-case letters or digits."""

    port: int = DEFAULT_PORT
    """TCP port of the cloud on 127.0.0.1; 0 takes any free one."""

    def __post_init__(self) -> None:
        if not (self.prefix.isalnum() and self.prefix.islower() and len(self.prefix) <= 8):
            raise LabError(
                f"{PREFIX_VARIABLE} is {self.prefix!r}; allowed are 1 to 8 lower-case letters and digits"
            )
        if not self.directory.is_absolute():
            raise LabError(f"lab directory {self.directory} is not absolute: set {DIRECTORY_VARIABLE}")

    @classmethod
    def from_environment(cls) -> LabSettings:
        """Read the SLIPWAY_LAB_* variables; what is not set has its default."""
        port = os.environ.get(PORT_VARIABLE, str(DEFAULT_PORT))
        if not port.isdigit() or int(port) > 65535:
            raise LabError(f"{PORT_VARIABLE} is {port!r}; allowed is a port from 0 (any free one) to 65535")
        return cls(
            directory=Path(os.environ.get(DIRECTORY_VARIABLE, str(cls.directory))),
            cache=Path(os.environ.get(CACHE_VARIABLE, str(cls.cache))),
            prefix=os.environ.get(PREFIX_VARIABLE, cls.prefix),
            port=int(port),
        )

    def namespace(self, name: str) -> str:
        """Name the network namespace of ``name`` (``router``, ``venues`` or an instance id)."""
        return f"{self.prefix}-{name}"

    @property
    def router(self) -> str:
        """Name the namespace that is the region's router."""
        return self.namespace("router")

    @property
    def venues(self) -> str:
        """Name the namespace that the simulators live in."""
        return self.namespace("venues")

    @property
    def hosts(self) -> Path:
        """Directory that holds one directory a host."""
        return self.directory / "hosts"

    @property
    def document(self) -> Path:
        """Path of ``lab.json``."""
        return self.directory / "lab.json"

    @property
    def proxy_command(self) -> str:
        """The SSH ProxyCommand through which the control machine reaches a host."""
        return f"ip netns exec {self.router} nc %h %p"
