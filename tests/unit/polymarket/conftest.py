"""Makes the connector's package importable: it is no part of ours, a host runs it in its own environment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "engine/connectors/polymarket"))
