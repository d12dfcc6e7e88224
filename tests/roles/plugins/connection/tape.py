"""A connection that reaches no host: it keeps what would have been sent, and answers that nothing changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: tape
short_description: Keeps what would have been sent
description: Writes standard input of each command to the folder that SLIPWAY_TAPE names.
options: {}
"""

ANSWER = {"changed": False, "changes": [], "missing_packages": [], "held": {}, "checkpoints": 0}


class Connection(ConnectionBase):
    """The connection."""

    transport = "tape"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Keep what was sent."""
        if in_data:
            (Path(os.environ["SLIPWAY_TAPE"]) / "sent").write_bytes(in_data)
        return 0, f"SLIPWAY-STATE {json.dumps(ANSWER)}\n".encode(), b""

    def put_file(self, in_path: str, out_path: str) -> Any:
        """Refuse: nothing in an idle converge copies a file."""
        raise AssertionError(in_path, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        """Refuse: nothing in an idle converge copies a file."""
        raise AssertionError(in_path, out_path)

    def close(self) -> None:
        """Nothing is open."""
