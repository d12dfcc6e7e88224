"""Configuration that all simulators share."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from infra.plan.model import Closed


class Listen(Closed):
    """One address to listen on; port 0 takes any free one, and the READY line tells which."""

    address: IPv4Address = IPv4Address("127.0.0.1")
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    tls: bool = False


class ServerConfig(Closed):
    """Where a simulator listens. A TLS listener needs ``certificate`` (with its chain) and ``key`` (PEM)."""

    listen: Annotated[tuple[Listen, ...], Field(min_length=1)]
    certificate: Path | None = None
    key: Path | None = None
    admin_socket: Path
    seed: int = 1

    @model_validator(mode="after")
    def _tls_has_certificate(self) -> Self:
        if any(entry.tls for entry in self.listen) and not (self.certificate and self.key):
            raise ValueError("a listener has tls: give 'certificate' and 'key' (PEM files)")
        return self


C = TypeVar("C", bound=ServerConfig)


class ConfigError(Exception):
    """The configuration file cannot be used; the text names the file and the keys."""


def load(path: Path, model: type[C]) -> C:
    """Read a simulator's configuration file; ConfigError names the file and every bad key."""
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from error
