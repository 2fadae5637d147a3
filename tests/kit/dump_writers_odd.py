"""Dumps as tools write them where they go beyond what the formats' descriptions say, or fall short of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import cramjam

from kit.dump_writers import PAGE, Memory

NOWHERE = (1 << 64) - 1
# Virtual and physical address, contents in the file, bytes in memory, where in the file (None: after what came before).
Segment = tuple[int, int, bytes, int, int | None]


def core(segments: Sequence[Segment], flags: int = 0, end: int | None = None) -> bytes:
    """An ELF core of any segments, contents unaligned. end: where a full disk cut it."""
    at = 64 + 56 * (len(segments) + 1)
    table = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, 20, 20, 4)
    body = struct.pack("<III8s", 5, 0, 0, b"CORE")
    for virtual, physical, data, size, place in segments:
        offset = at + len(body) if place is None else place
        table += struct.pack("<IIQQQQQQ", 1, 7, offset, virtual, physical, len(data), size, PAGE)
        body += data if place is None else b""
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, flags, 64, 56, len(segments) + 1, 0, 0, 0)
    return (head + table + body)[:end]


def xen(memory: Memory, order: str = "<", machine_numbers: bool = False, padding: int = 0, form: int = 1) -> bytes:
    """A core of `xl dump-core`, the last page first. machine_numbers: of a paravirtualized guest. form: its version."""
    numbers = sorted(memory, reverse=True) + [NOWHERE] * padding
    pages = b"".join(memory.get(number) or bytes(PAGE) for number in numbers)
    rows = [(number, number ^ 0x5000) if machine_numbers else (number,) for number in numbers]
    table = b"".join(struct.pack(f"{order}{len(row)}Q", *row) for row in rows)
    note = struct.pack(order + "III4s4Q", 4, 32, 0x2000001, b"Xen", 0xF00FEBEE, 1, len(numbers), PAGE)
    note += struct.pack(order + "III4sQ", 4, 8, 0x2000003, b"Xen", form)
    bodies = {".note.Xen": note, ".xen_prstatus": bytes(100), ".xen_pages": pages}
    bodies[".xen_p2m" if machine_numbers else ".xen_pfn"] = table
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*bodies, ".shstrtab"])
    bodies[".shstrtab"] = names
    at = -(-(64 + 64 * (len(bodies) + 1)) // PAGE) * PAGE
    headers, body = bytes(64), b""
    for name, data in bodies.items():
        where = names.index(name.encode() + b"\0")
        headers += struct.pack(order + "IIQQQQIIQQ", where, 1, 0, 0, at + len(body), len(data), 0, 0, 0, 0)
        body += data + bytes(-len(data) % PAGE)
    head = b"\x7fELF\x02" + bytes([1 if order == "<" else 2, 1]) + bytes(9)
    layout = (4, 62, 1, 0, 0, 64, 0, 64, 56, 0, 64, len(bodies) + 1, len(bodies))
    head += struct.pack(order + "HHIQQQIHHHHHH", *layout)
    return (head + headers).ljust(at, b"\0") + body


def avml(blocks: Iterable[tuple[int, int, bytes | None]], magic: bytes = b"AVML") -> bytes:
    """Blocks (first address, bytes, contents): frames in AVML's version 2, plain under LiME's magic.

    No contents: a block of zeros of which the header alone was written.
    """
    out = b""
    for first, size, data in blocks:
        out += struct.pack("<4sIQQQ", magic, 2 if magic == b"AVML" else 1, first, first + size - 1, 0)
        if data is None:
            continue
        assert len(data) == size
        if magic != b"AVML":
            out += data
            continue
        stream = b"\xff\x06\x00\x00sNaPpY"
        for at in range(0, size, 65536):
            packed = bytes(cramjam.snappy.compress_raw(data[at : at + 65536]))
            stream += struct.pack("<I", (len(packed) + 4) << 8) + bytes(4) + packed
        out += stream + struct.pack("<Q", len(stream))
    return out


def dirty_bitmap(*chunks: bytes) -> bytes:
    """A round of the section dirty-bitmap, with its end."""
    return b"".join(chunks) + b"\x01"


def bitmap_begins(node: bytes, bitmap: bytes) -> bytes:
    """The chunk with which a bitmap of a block device begins."""
    names = bytes([len(node)]) + node + bytes([len(bitmap)]) + bitmap
    return b"\x1c" + names + struct.pack(">IB", 65536, 3)


def bitmap_bits(sector: int, sectors: int, data: bytes | None) -> bytes:
    """A chunk of a bitmap; None: nothing is set."""
    if data is None:
        return b"\x42" + struct.pack(">QI", sector, sectors)
    return b"\x40" + struct.pack(">QIQ", sector, sectors, len(data)) + data
