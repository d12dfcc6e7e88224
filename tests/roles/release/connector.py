#!/usr/bin/python3 -I
"""A stand-in for a process connector: it checks that its configuration is JSON, then reports to systemd."""

import json
import os
import socket
import sys
import time
from pathlib import Path

json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
if "--check-config" in sys.argv:
    raise SystemExit(0)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
    channel.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
    channel.send(b"READY=1")
    while True:
        channel.send(b"WATCHDOG=1")
        time.sleep(1)
