"""Small dumps of every format, written by the formats' descriptions alone: nothing here shares code with the readers.

A memory is a dict of page number to page (4096 bytes), or to None for a page that the format should leave out.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

import cramjam
import zstandard
from lzallright import LZOCompressor

PAGE = 4096
Memory = dict[int, bytes | None]


def runs(memory: Memory) -> list[tuple[int, list[bytes | None]]]:
    """Neighbouring pages, as (first, pages)."""
    found: list[tuple[int, list[bytes | None]]] = []
    for number in sorted(memory):
        if found and found[-1][0] + len(found[-1][1]) == number:
            found[-1][1].append(memory[number])
        else:
            found.append((number, [memory[number]]))
    return found


def raw(memory: Memory) -> bytes:
    """All pages in order, from 0 on; missing ones are zeros."""
    return b"".join(memory.get(number) or bytes(PAGE) for number in range(max(memory) + 1))


def elf(memory: Memory, wide: bool = True, order: str = "<", virtual: bool = False, many: bool = False) -> bytes:
    """A core. Pages at the end of a run that are None are in memsz only; elsewhere None is not possible.

    virtual: as gcore has it, without physical addresses. many: the number of segments stands in a section header.
    """
    segments = []
    for first, pages in runs(memory):
        data = b"".join(page for page in pages if page is not None)
        segments.append((first * PAGE, data, len(pages) * PAGE))
    ehdr, phdr = (64, 56) if wide else (52, 32)
    extra = (64 if wide else 40) if many else 0
    at = ehdr + extra + phdr * (len(segments) + 1)
    table = bytearray(elf_row(wide, order, 4, at, 0, 0, 0, 0))  # a PT_NOTE without notes
    body = bytearray()
    for address, data, size in segments:
        place = (address, 0) if virtual else (0, address)
        table += elf_row(wide, order, 1, at + len(body), *place, len(data), size)
        body += data
    count = 0xFFFF if many else len(segments) + 1
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    numbers = (4, 62, 1, 0, ehdr + extra, ehdr if many else 0, 0, ehdr, phdr, count, extra, 1 if many else 0, 0)
    section = bytes(44 if wide else 28) + struct.pack(order + "I", len(segments) + 1)
    return ident + struct.pack(layout, *numbers) + section.ljust(extra, b"\0")[:extra] + table + body


def elf_row(wide: bool, order: str, kind: int, at: int, virtual: int, physical: int, filed: int, size: int) -> bytes:
    """One program header."""
    if wide:
        return struct.pack(order + "IIQQQQQQ", kind, 6, at, virtual, physical, filed, size, PAGE)
    return struct.pack(order + "IIIIIIII", kind, at, virtual, physical, filed, size, 6, PAGE)


KDUMP_CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "zlib": (1, zlib.compress),
    "lzo": (2, lambda data: bytes(LZOCompressor().compress(data))),
    "snappy": (4, lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "zstd": (0x20, lambda data: zstandard.ZstdCompressor().compress(data)),
}


def kdump(
    memory: Memory,
    codec: str = "zlib",
    block: int = PAGE,
    wide: bool = True,
    version: int = 6,
    order: str = "<",
    lost: Container[int] = (),
    part: tuple[int, int] | None = None,
) -> bytes:
    """A kdump-compressed file; None is a page that exists and was excluded. block: bytes of the machine's pages.

    lost: pages for which the disk had no room. part: of a split dump, the first page and that after the last.
    """
    each = block // PAGE
    top = (max(memory) // each + 1) if memory else 1
    bitmap_blocks = -(-top // (8 * block))
    exists, dumped = bytearray(bitmap_blocks * block), bytearray(bitmap_blocks * block)
    contents = []
    for number in sorted({number // each for number in memory}):
        parts = [memory.get(number * each + piece) for piece in range(each)]
        exists[number // 8] |= 1 << number % 8
        if all(piece is not None for piece in parts):
            dumped[number // 8] |= 1 << number % 8
            if part is None or part[0] <= number < part[1]:
                contents.append((number, b"".join(piece or b"" for piece in parts)))
    head = bytearray(block)
    head[:12] = b"KDUMP   " + struct.pack(order + "i", version)
    status, short = 8 if lost else 1, top if version < 6 else 0
    struct.pack_into(order + "IiiIII", head, 424 if wide else 412, status, block, 1, 2 * bitmap_blocks, short, 0)
    sub = bytearray(block)
    if version >= 6:
        struct.pack_into(order + "QQQ", sub, 80 if wide else 56, *(part or (0, 0)), top)
    if part is not None:
        struct.pack_into(order + ("iQQ" if wide else "iII"), sub, 12 if wide else 8, 1, *part)
    at = 2 * block + 2 * bitmap_blocks * block + 24 * len(contents)
    table, data = b"", b""
    flag, pack = KDUMP_CODECS[codec]
    places: dict[bytes, bytes] = {}
    for number, content in contents:
        if number in lost:
            table += bytes(24)
            continue
        if content not in places:  # one place for like pages, as QEMU does it for zeros
            packed = pack(content)
            kind, packed = (flag, packed) if len(packed) < block else (0, content)
            places[content] = struct.pack(order + "qIIQ", at + len(data), len(packed), kind, 0)
            data += packed
        table += places[content]
    return bytes(head) + bytes(sub) + bytes(exists) + bytes(dumped) + table + data


def flattened(data: bytes, sizes: Iterable[int] = (), again: bool = True) -> bytes:
    """A file as a flattened one, in writes of these sizes and then 1000 bytes; the last write comes first.

    again: the first bytes are written twice, the first time wrongly, as makedumpfile does with its header.
    """
    writes, at = [], 0
    for size in [*sizes, *[1000] * (len(data) // 1000 + 1)]:
        if data[at : at + size]:
            writes.append((at, data[at : at + size]))
        at += size
    writes.insert(0, writes.pop())
    if again:
        writes.insert(0, (0, b"\xee" * min(1500, len(data))))
    body = b"".join(struct.pack(">qq", at, len(part)) + part for at, part in writes)
    return (
        (b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", 1, 1)).ljust(4096, b"\0")
        + body
        + struct.pack(">qq", -1, -1)
    )


def lime(memory: Memory) -> bytes:
    """A LiME dump."""
    return b"".join(
        struct.pack("<IIQQQ", 0x4C694D45, 1, first * PAGE, (first + len(pages)) * PAGE - 1, 0)
        + b"".join(page or b"" for page in pages)
        for first, pages in runs(memory)
    )


def avml(memory: Memory, frame: int = 65536, plain: bool = False) -> bytes:
    """An AVML dump of version 2. frame: bytes in a snappy frame. plain: frames that are not compressed."""
    out = b""
    for first, pages in runs(memory):
        data = b"".join(page or b"" for page in pages)
        stream = b"\xff\x06\x00\x00sNaPpY" + b"\xfe\x03\x00\x00abc"
        for at in range(0, len(data), frame):
            part = data[at : at + frame]
            packed = part if plain else bytes(cramjam.snappy.compress_raw(part))
            stream += struct.pack("<I", (len(packed) + 4) << 8 | plain) + bytes(4) + packed
        out += struct.pack("<4sIQQQ", b"AVML", 2, first * PAGE, (first + len(pages)) * PAGE - 1, 0)
        out += stream + struct.pack("<Q", len(stream))
    return out


Send = tuple[str, int, bytes | int]  # block, page, content or fill byte


def qemu(
    blocks: dict[str, int],
    sends: Iterable[Send],
    machine: str = "pc-i440fx-7.2",
    rounds: int = 2,
    ended: bool = True,
    between: Sequence[bytes] = (),
) -> bytes:
    """A migration stream. blocks: pages of each. sends: in this order, over some rounds.

    between: other sections, the first after RAM's beginning, the next after the first round, …
    """
    sends = list(sends)
    out = b"QEVM" + struct.pack(">I", 3)
    out += b"\x07" + struct.pack(">I", len(machine)) + machine.encode()
    out += b"\x05" + text("configuration/uuid") + struct.pack(">I", 1) + bytes(16)
    out += b"\x08" + struct.pack(">HH", 1, 4) + b"ping"
    out += b"\x01" + struct.pack(">I", 2) + text("ram") + struct.pack(">II", 0, 4)
    out += struct.pack(">Q", sum(blocks.values()) * PAGE | 0x04)
    out += b"".join(text(name) + struct.pack(">Q", pages * PAGE) for name, pages in blocks.items())
    out += struct.pack(">Q", 0x10) + footer() + b"".join(between[:1])
    for number in range(rounds):
        part = sends[number * len(sends) // rounds : (number + 1) * len(sends) // rounds]
        last = number == rounds - 1
        out += (b"\x03" if last and ended else b"\x02") + struct.pack(">I", 2) + sent(part) + footer()
        out += b"".join(between[number + 1 : number + 2])
    return out + b"\x04" + struct.pack(">I", 7) + text("timer") + bytes(8) + b"what devices say\0"


def sent(sends: list[Send]) -> bytes:
    """One round of pages."""
    out, before = [], None
    for block, page, content in sends:
        flags = (0x02 if isinstance(content, int) else 0x08) | (0x20 if block == before else 0)
        out.append(struct.pack(">Q", page * PAGE | flags) + (b"" if block == before else text(block)))
        out.append(bytes([content]) if isinstance(content, int) else content)
        before = block
    return b"".join(out) + struct.pack(">Q", 0x10)


def section(kind: int, number: int, name: str, body: bytes, version: int = 1) -> bytes:
    """A section of a stream: 1 begins it, 2 goes on, 3 ends it; 4 is a whole one."""
    head = text(name) + struct.pack(">II", 0, version) if kind in (1, 4) else b""
    return bytes([kind]) + struct.pack(">I", number) + head + body + b"\x7e" + struct.pack(">I", number)


def text(value: str) -> bytes:
    """A name with its length before it."""
    return bytes([len(value)]) + value.encode()


def footer() -> bytes:
    """The end of a section of the number 2."""
    return b"\x7e" + struct.pack(">I", 2)


def mapped_ram(blocks: dict[str, list[bytes]]) -> bytes:
    """A stream with the capability mapped-ram: pages at fixed places, a bitmap of those that are not zero."""
    out = b"QEVM" + struct.pack(">I", 3) + b"\x07" + struct.pack(">I", 2) + b"pc"
    out += b"\x05" + text("configuration/capabilities") + struct.pack(">II", 1, 1) + text("mapped-ram")
    out += b"\x01" + struct.pack(">I", 2) + text("ram") + struct.pack(">II", 0, 4)
    out += struct.pack(">Q", sum(map(len, blocks.values())) * PAGE | 0x04)
    for name, pages in blocks.items():
        bits = sum((any(page) and 1) << number for number, page in enumerate(pages))
        out += text(name) + struct.pack(">Q", len(pages) * PAGE)
        bitmap = len(out) + 28
        place = -(-(bitmap + 64) // PAGE) * PAGE
        out += struct.pack(">IQQQ", 1, PAGE, bitmap, place) + bits.to_bytes(64, "little")
        out = out.ljust(place, b"\0") + b"".join(pages)
    out += struct.pack(">Q", 0x10) + footer()
    return out + b"\x03" + struct.pack(">I", 2) + struct.pack(">Q", 0x10) + footer() + b"\0"


SAVE_CODECS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: gzip.compress,
    2: bz2.compress,
    3: lzma.compress,
    5: lambda data: zstandard.ZstdCompressor().compress(data),
}


def libvirt_save(stream: bytes, memory_kib: int, codec: int = 0, magic: bytes = b"LibvirtQemudSave") -> bytes:
    """A file of `virsh save`."""
    xml = f"<domain type='qemu'><name>a</name><memory unit='KiB'>{memory_kib}</memory></domain>\0".encode()
    head = magic + struct.pack("<5I", 2, len(xml), 1, codec, 0) + bytes(56)
    return head + xml + SAVE_CODECS.get(codec, bytes)(stream)


def varint(value: int) -> bytes:
    """A number as protocol buffers have it."""
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def criu(directory: Path, memory: Memory, pid: int = 12, parent: Iterable[int] = (), pages_id: int = 3) -> None:
    """One process's images. None: a lazy page left behind. parent: pages that are in the parent image."""
    entries, body = [b"\x08" + varint(pages_id)], b""
    kinds = {**{number: 2 if page is None else 4 for number, page in memory.items()}, **dict.fromkeys(parent, 1)}
    merged: list[list[int]] = []
    for number in sorted(kinds):
        if merged and merged[-1][0] + merged[-1][1] == number and merged[-1][2] == kinds[number]:
            merged[-1][1] += 1
        else:
            merged.append([number, 1, kinds[number]])
    for first, count, kind in merged:
        entries.append(
            b"\x08"
            + varint(first * PAGE)
            + b"\x10"
            + varint(count)
            + (b"\x18\x01" if kind == 1 else b"")
            + b"\x20"
            + varint(kind)
        )
        body += b"".join(memory[number] or b"" for number in range(first, first + count)) if kind == 4 else b""
    directory.mkdir(exist_ok=True)
    image = struct.pack("<II", 0x54564319, 0x56084025)
    image += b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    (directory / f"pagemap-{pid}.img").write_bytes(image)
    (directory / f"pages-{pages_id}.img").write_bytes(body)


def sparse(path: Path, memory: Memory, pages: int) -> None:
    """A raw file of so many pages, of which only those of memory take room."""
    with path.open("wb") as file:
        file.truncate(pages * PAGE)
        for number, page in memory.items():
            file.seek(number * PAGE)
            file.write(page or b"")
