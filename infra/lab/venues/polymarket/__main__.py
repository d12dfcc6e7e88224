"""Command line: ``python -m infra.lab.venues.polymarket --config FILE``."""

import sys

from infra.lab.venues.common.server import main
from infra.lab.venues.polymarket.config import PolymarketConfig
from infra.lab.venues.polymarket.simulator import PolymarketSimulator

sys.exit(main("polymarket", PolymarketConfig, PolymarketSimulator))
