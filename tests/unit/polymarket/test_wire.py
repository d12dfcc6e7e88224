"""The wire's Python layout against the C header, as a C compiler lays it out."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_polymarket import wire

INCLUDE = Path(__file__).resolve().parents[3] / "engine/include"


@pytest.fixture(scope="module")
def c_layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes, offsets and constants as the C compiler sees them."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed (apt-get install gcc)"
    lines = []
    for layout in wire.LAYOUTS.values():
        lines.append(f'printf("{layout.name} %zu\\n", sizeof({layout.name}));')
        lines += [
            f'printf("{layout.name}.{field} %zu\\n", offsetof({layout.name}, {field}));'
            for field in layout.fields
        ]
    names = [f"WIRE_{kind.name}" for kind in wire.Type] + [f"BROKER_{state.name}" for state in wire.State]
    names += [f"BROKER_{member.name}" for member in (*wire.Side, *wire.Tif)]
    names += ["WIRE_VERSION", "SLIPWAY_SYMBOL_MAX", "SLIPWAY_VENUE_ID_MAX", "SLIPWAY_TEXT_MAX"]
    lines += [f'printf("{name} %d\\n", (int){name});' for name in names]
    body = "\n".join(lines)
    includes = '#include <stddef.h>\n#include <stdio.h>\n#include "broker_wire.h"\n'
    source = f"{includes}int main(void) {{ {body} return 0; }}\n"
    directory = tmp_path_factory.mktemp("c")
    (directory / "layout.c").write_text(source)
    program = directory / "layout"
    subprocess.run([compiler, "-std=c11", "-I", INCLUDE, directory / "layout.c", "-o", program], check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("kind", list(wire.LAYOUTS))
def test_every_offset_and_size_is_the_compilers(c_layout: dict[str, int], kind: wire.Type) -> None:
    layout = wire.LAYOUTS[kind]
    assert layout.packing.size == c_layout[layout.name]
    codes = _codes(layout.packing)[3:]
    assert len(codes) == len(layout.fields)
    for number, field in enumerate(layout.fields):
        offset = struct.calcsize("<HHI" + "".join(codes[:number]))
        assert offset == c_layout[f"{layout.name}.{field}"], field


def test_every_constant_is_the_headers(c_layout: dict[str, int]) -> None:
    for kind in wire.Type:
        assert c_layout[f"WIRE_{kind.name}"] == kind
    for member in (*wire.State, *wire.Side, *wire.Tif):
        assert c_layout[f"BROKER_{member.name}"] == member
    assert c_layout["WIRE_VERSION"] == wire.VERSION
    assert c_layout["SLIPWAY_SYMBOL_MAX"] == wire.SYMBOL_MAX
    assert c_layout["SLIPWAY_VENUE_ID_MAX"] == wire.VENUE_ID_MAX
    assert c_layout["SLIPWAY_TEXT_MAX"] == wire.TEXT_MAX


def _codes(packing: struct.Struct) -> list[str]:
    codes, count = [], ""
    for letter in packing.format[1:]:
        if letter.isdigit():
            count += letter
        else:
            codes.append(count + letter)
            count = ""
    return codes


def test_requests_are_read_as_they_are_written() -> None:
    packing = wire.LAYOUTS[wire.Type.SUBMIT].packing
    packet = packing.pack(wire.Type.SUBMIT, packing.size, 0, 2**64 - 1, 57_000_000, 10**9, 3, 2, 1, 0)
    assert wire.decode(packet) == wire.Submit(2**64 - 1, 57_000_000, 10**9, 3, 2, 1)
    assert wire.decode(wire.HEADER.pack(wire.Type.CANCEL_ALL, 8, 0)) == wire.CancelAll()


@given(st.binary(max_size=64))
def test_no_packet_does_more_than_be_refused(packet: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.decode(packet)


@given(st.integers(0, 60000), st.integers(0, 60000), st.binary(max_size=40))
def test_no_header_does_more_than_be_refused(kind: int, length: int, rest: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.decode(wire.HEADER.pack(kind, length, 0) + rest)


@given(st.text(max_size=400))
def test_texts_are_cut_at_whole_characters_and_end_with_nul(text: str) -> None:
    packet = wire.log(6, text)
    assert len(packet) == 176
    field = packet[16:]
    assert field[-1] == 0
    field.rstrip(b"\0").decode()


def test_an_order_hash_fits_the_venue_id() -> None:
    assert b"0x" + b"f" * 64 in wire.ack(1, "0x" + "f" * 64)
