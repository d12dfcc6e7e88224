"""Every task's result as one JSON line in $SLIPWAY_RECORD, for tests to read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Results as JSON lines
description: Writes each task's result to the file that SLIPWAY_RECORD names.
"""


class CallbackModule(CallbackBase):
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"

    def _write(self, state: str, result: Any) -> None:
        line = {
            "host": result._host.get_name(),
            "task": result._task.get_name(),
            "state": state,
            "result": result._result,
        }
        with Path(os.environ["SLIPWAY_RECORD"]).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        """Record a success."""
        self._write("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Record a failure."""
        self._write("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Record a host that could not be reached."""
        self._write("unreachable", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Record a task that was left out."""
        self._write("skipped", result)
