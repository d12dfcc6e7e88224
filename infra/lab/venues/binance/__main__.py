"""Command line: ``python -m infra.lab.venues.binance --config FILE``."""

import sys

from infra.lab.venues.binance.config import BinanceConfig
from infra.lab.venues.binance.simulator import BinanceSimulator
from infra.lab.venues.common.server import main

sys.exit(main("binance", BinanceConfig, BinanceSimulator))
