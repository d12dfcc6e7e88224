"""Simulator of Binance spot: REST, WebSocket API and market streams, as the venue documents them."""
