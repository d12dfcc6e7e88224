"""A connection that reaches no host: keeps the document that the state action would have sent there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: capture
short_description: Keeps the document that would have been sent
description: Writes the last line of standard input to SLIPWAY_CAPTURE/ADDRESS.json.
options: {}
"""

ANSWER = {"changed": False, "changes": [], "missing_packages": [], "held": {}, "checkpoints": 0}


class Connection(ConnectionBase):
    """The connection."""

    transport = "capture"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Keep the document and answer that nothing had to be done."""
        if in_data:
            place = Path(os.environ["SLIPWAY_CAPTURE"]) / f"{self._play_context.remote_addr}.json"
            place.write_bytes(in_data.rpartition(b"\n")[2])
        return 0, f"SLIPWAY-STATE {json.dumps(ANSWER)}\n".encode(), b""

    def put_file(self, in_path: str, out_path: str) -> Any:
        """Refuse: an idle converge copies nothing."""
        raise AssertionError(in_path, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        """Refuse: an idle converge copies nothing."""
        raise AssertionError(in_path, out_path)

    def close(self) -> None:
        """Nothing is open."""
