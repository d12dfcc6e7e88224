"""engine/include/broker_wire.h at fixed offsets, little-endian, one message a packet.

``LAYOUTS`` is the whole of it; a test compiles the C header and compares every offset and size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

VERSION = 1
SYMBOL_MAX = 96
VENUE_ID_MAX = 80
TEXT_MAX = 160
HEADER = Struct("<HHI")


class Type(IntEnum):
    """wire_type: what a message is."""

    HELLO = 1
    SUBMIT = 2
    CANCEL = 3
    CANCEL_ALL = 4
    STATE = 32
    QUOTE = 33
    ACK = 34
    FILL = 35
    CANCELED = 36
    REJECT = 37
    ORPHAN = 38
    LOG = 39


class State(IntEnum):
    """broker_state."""

    DISCONNECTED = 0
    CONNECTING = 1
    READY = 2
    REFUSED = 3


class Side(IntEnum):
    """broker_side."""

    BUY = 1
    SELL = 2


class Tif(IntEnum):
    """broker_tif: how long an order lives."""

    GTC = 1
    IOC = 2


@dataclass(frozen=True)
class Layout:
    """One C struct behind the header: the name in C, its fields in order, their packing."""

    name: str
    fields: tuple[str, ...]
    packing: Struct


LAYOUTS = {
    Type.HELLO: Layout("wire_hello", ("version", "instrument_count"), Struct("<HHIII")),
    Type.SUBMIT: Layout(
        "wire_submit",
        ("client_id", "price_e8", "quantity_e8", "instrument", "side", "tif", "zero"),
        Struct("<HHIQqqHBBI"),
    ),
    Type.CANCEL: Layout("wire_cancel", ("client_id",), Struct("<HHIQ")),
    Type.CANCEL_ALL: Layout("wire_header", (), HEADER),
    Type.STATE: Layout("wire_state", ("state", "zero", "reason"), Struct(f"<HHIII{TEXT_MAX}s")),
    Type.QUOTE: Layout(
        "wire_quote",
        (
            "bid_e8",
            "bid_quantity_e8",
            "ask_e8",
            "ask_quantity_e8",
            "received_mono_ns",
            "instrument",
            "zero16",
            "zero32",
        ),
        Struct("<HHIqqqqqHHI"),
    ),
    Type.ACK: Layout("wire_ack", ("client_id", "venue_id"), Struct(f"<HHIQ{VENUE_ID_MAX}s")),
    Type.FILL: Layout(
        "wire_fill",
        ("client_id", "price_e8", "quantity_e8", "fee_e8", "side", "final", "zero16", "zero32"),
        Struct("<HHIQqqqBBHI"),
    ),
    Type.CANCELED: Layout("wire_canceled", ("client_id", "left_e8"), Struct("<HHIQq")),
    Type.REJECT: Layout("wire_reject", ("client_id", "code", "zero", "text"), Struct(f"<HHIQiI{TEXT_MAX}s")),
    Type.ORPHAN: Layout(
        "wire_orphan", ("venue_id", "instrument", "zero16", "zero32"), Struct(f"<HHI{VENUE_ID_MAX}sHHI")
    ),
    Type.LOG: Layout("wire_log", ("level", "zero", "text"), Struct(f"<HHIiI{TEXT_MAX}s")),
}


class WireError(ValueError):
    """A packet that is not a message of this version."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The engine's first word."""

    version: int
    instrument_count: int


@dataclass(frozen=True, slots=True)
class Submit:
    """A new order; prices and quantities in 1e-8 units. ``side`` and ``tif`` are not yet checked."""

    client_id: int
    price_e8: int
    quantity_e8: int
    instrument: int
    side: int
    tif: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take one order back."""

    client_id: int


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Take everything back."""


Request = Hello | Submit | Cancel | CancelAll


def decode(packet: bytes) -> Request:
    """Read one packet from the engine; WireError says what is wrong with it."""
    if len(packet) < HEADER.size:
        raise WireError(f"packet of {len(packet)} bytes is shorter than a header ({HEADER.size})")
    kind, length, _ = HEADER.unpack_from(packet)
    if length != len(packet):
        raise WireError(f"header says {length} bytes, packet has {len(packet)}")
    if kind not in (Type.HELLO, Type.SUBMIT, Type.CANCEL, Type.CANCEL_ALL):
        raise WireError(f"message type {kind} is none that an engine sends (1 to 4)")
    layout = LAYOUTS[Type(kind)]
    if length != layout.packing.size:
        raise WireError(f"{layout.name} has {layout.packing.size} bytes, found {length}")
    values = layout.packing.unpack(packet)[3:]
    if kind == Type.HELLO:
        return Hello(*values)
    if kind == Type.SUBMIT:
        return Submit(*values[:6])
    if kind == Type.CANCEL:
        return Cancel(*values)
    return CancelAll()


def text(value: str, size: int) -> bytes:
    """UTF-8 in a NUL-terminated field of ``size`` bytes, cut at a whole character."""
    return value.replace("\0", " ").encode("utf-8", "replace")[: size - 1].decode("utf-8", "ignore").encode()


def _pack(kind: Type, *values: int | bytes) -> bytes:
    packing = LAYOUTS[kind].packing
    return packing.pack(kind, packing.size, 0, *values)


def state(value: State, reason: str) -> bytes:
    """wire_state."""
    return _pack(Type.STATE, value, 0, text(reason, TEXT_MAX))


def quote(instrument: int, bid: tuple[int, int], ask: tuple[int, int], received_mono_ns: int) -> bytes:
    """wire_quote: best bid and ask as (price, quantity); (0, 0) is an empty side."""
    return _pack(Type.QUOTE, *bid, *ask, received_mono_ns, instrument, 0, 0)


def ack(client_id: int, venue_id: str) -> bytes:
    """wire_ack."""
    return _pack(Type.ACK, client_id, text(venue_id, VENUE_ID_MAX))


def fill(client_id: int, price_e8: int, quantity_e8: int, fee_e8: int, side: Side, *, final: bool) -> bytes:
    """wire_fill."""
    return _pack(Type.FILL, client_id, price_e8, quantity_e8, fee_e8, side, int(final), 0, 0)


def canceled(client_id: int, left_e8: int) -> bytes:
    """wire_canceled."""
    return _pack(Type.CANCELED, client_id, left_e8)


def reject(client_id: int, code: int, reason: str) -> bytes:
    """wire_reject: ``code`` is the HTTP status, or negative where this connector refused."""
    return _pack(Type.REJECT, client_id, code, 0, text(reason, TEXT_MAX))


def orphan(venue_id: str, instrument: int) -> bytes:
    """wire_orphan."""
    return _pack(Type.ORPHAN, text(venue_id, VENUE_ID_MAX), instrument, 0, 0)


def log(level: int, message: str) -> bytes:
    """wire_log: ``level`` as in syslog(3)."""
    return _pack(Type.LOG, level, 0, text(message, TEXT_MAX))
