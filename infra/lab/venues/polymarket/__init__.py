"""Simulator of the Polymarket CLOB: REST, heartbeats, geoblock, market and user channels, as documented."""
