"""The Polymarket connector: broker_interface.h as a process of its own (broker_wire.h).

It speaks CLOB V2 to the venue through the official client and the venue's two WebSockets, and
answers one engine at a time over a local SEQPACKET socket.
"""

__version__ = "0.1.0"
