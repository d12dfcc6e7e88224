"""slipway: from a trading engine's release archive to verified, armed hosts near seven venues."""
