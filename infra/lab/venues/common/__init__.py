"""What every simulator is made of: order book, market, event record, faults, admin socket, listeners."""
