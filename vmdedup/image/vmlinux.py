"""A Linux kernel as it lies in memory: unpacked from its bzImage, and moved to where it runs (KASLR).

Source: the ELF-64 object file format. A kernel's relocations stand behind its ELF file, in three lists of 32-bit
addresses, each after a zero: of 64-bit words and of 32-bit words to which the distance is added, and between these two
of 32-bit words from which it is taken away.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.image.bzimage import loaded, unpacked
from vmdedup.units import MIB, PAGE_SIZE

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Span = tuple[int, int]

ALIGN = 2 * MIB  # of the distances by which a kernel is moved
_MOST = 256 * MIB
_LOAD, _ALLOCATED = 1, 2
_NOWHERE: Numbers = np.empty(0, dtype=np.int64)
_WRITTEN = (".data", ".bss", ".brk")
# Sections that are of no use once the kernel runs; their memory is given back.
_FOR_THE_START = (
    *(".init", ".exit", ".alt", ".x86_cpu_dev", ".parainstructions", ".retpoline_sites", ".return_sites"),
    *(".apicdrivers", ".data..percpu", ".call_sites", ".ibt_endbr_seal"),
)


@dataclass(frozen=True)
class Vmlinux:
    """content: (bytes,) from the kernel's first byte to its last, whole pages. address: where it asks to be mapped.

    given_back: byte spans that the kernel does not keep once it runs: gaps, and what was for its start alone. own:
    spans that it writes into while it runs: data, and what is zeros at first. Both ascending. moved: places in content
    of 64-bit words, of 32-bit words that shrink, and of 32-bit words that grow, with the distance it is moved by.
    """

    content: Bytes
    address: int
    given_back: tuple[Span, ...]
    own: tuple[Span, ...]
    moved: tuple[Numbers, Numbers, Numbers]

    @property
    def pages(self) -> int:
        """Pages that it lies in, with those that it gives back."""
        return len(self.content) // PAGE_SIZE

    def relocated(self, distance: int) -> Bytes:
        """The content, moved by so many bytes, a multiple of ALIGN."""
        out = self.content.copy()
        for places, size, by in zip(self.moved, (8, 4, 4), (distance, -distance, distance), strict=True):
            where = places[:, None] + np.arange(size)
            words = np.ascontiguousarray(out[where]).view(np.uint64 if size == 8 else np.uint32)[:, 0]
            with np.errstate(over="ignore"):
                words = words + np.array(by).astype(words.dtype)
            out[where] = words[:, None].view(np.uint8)
        return out


def read_vmlinux(path: Path) -> Vmlinux:
    """The kernel in a bzImage. UsageError: it is none, or packed in a way that is not known."""
    try:
        return _parsed(unpacked(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"kernel {path} cannot be read: {error.strerror}; build its image again") from None
    except (UsageError, ValueError, IndexError, struct.error) as error:
        raise UsageError(f"kernel {path} is no bzImage of x86-64 that vmdedup can unpack ({error})") from None


def _parsed(elf: bytes) -> Vmlinux:
    if elf[4:6] != b"\x02\x01":
        raise ValueError("its payload is no ELF file of 64 bit")
    segments = list(_segments(elf))
    if not segments:
        raise ValueError("nothing in it is loaded")
    address, first = segments[0][:2]
    size = -(-max(place + memory - first for _, place, memory, _ in segments) // PAGE_SIZE) * PAGE_SIZE
    if not 0 < size <= _MOST:
        raise ValueError(f"it would take {size} bytes")
    content = np.zeros(size, dtype=np.uint8)
    for _, place, _, data in segments:
        content[place - first : place - first + len(data)] = np.frombuffer(data, dtype=np.uint8)
    sections, end = _sections(elf)
    spans = [
        (name, (start - address, end - address))
        for name, (start, end) in sections
        if not name.startswith(_FOR_THE_START) and 0 <= start - address < size
    ]
    own = tuple(span for name, span in spans if name.startswith(_WRITTEN))
    return Vmlinux(content, address, _gaps([span for _, span in spans], size), own, _moved(elf[end:], address, size))


def _segments(elf: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Of what is loaded: virtual and physical address, bytes in memory, bytes in the file. Ascending."""
    (table,), (count,) = struct.unpack_from("<Q", elf, 32), struct.unpack_from("<H", elf, 56)
    for number in range(count):
        kind, _, offset, virtual, place, length, memory, _ = struct.unpack_from("<IIQQQQQQ", elf, table + 56 * number)
        if kind == _LOAD:
            yield virtual, place, memory, elf[offset : offset + length]


def _sections(elf: bytes) -> tuple[list[tuple[str, Span]], int]:
    """Name and addresses of each section that lies in memory; and where the ELF file ends."""
    (table,), (count, names) = struct.unpack_from("<Q", elf, 40), struct.unpack_from("<HH", elf, 60)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + 64 * number) for number in range(count)]
    texts = headers[names][4]
    found = []
    for name, _, flags, address, _, size in headers:
        if flags & _ALLOCATED and size:
            begin = texts + name
            text = elf[begin : elf.index(b"\0", begin)].decode("ascii", "replace")
            found.append((text, (address, address + size)))
    return found, table + 64 * count


def _gaps(kept: list[Span], size: int) -> tuple[Span, ...]:
    """Whole pages that none of the spans touches."""
    used = np.zeros(size // PAGE_SIZE + 2, dtype=np.int8)
    for start, end in kept:
        used[1 + start // PAGE_SIZE : 1 + -(-min(end, size) // PAGE_SIZE)] = 1
    used[0] = used[-1] = 1
    edges = PAGE_SIZE * np.flatnonzero(np.diff(used))
    return tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _moved(table: bytes, address: int, size: int) -> tuple[Numbers, Numbers, Numbers]:
    """Places of what depends on where the kernel lies; none, if it cannot be moved."""
    words = np.frombuffer(table[: len(table) // 4 * 4], dtype=np.uint32)
    zeros = np.flatnonzero(words == 0)
    if len(zeros) < 3:
        return _NOWHERE, _NOWHERE, _NOWHERE
    first, second, third = zeros[-3:]
    lists = words[first + 1 : second], words[second + 1 : third], words[third + 1 :]
    places = [some.astype(np.int64) - (address & 0xFFFF_FFFF) for some in lists]
    if any(len(some) and not 0 <= some.min() <= some.max() <= size - 8 for some in places):
        raise ValueError("its relocations lie beyond it")
    return places[0], places[1], places[2]


def packed_pages(path: Path) -> NDArray[np.uint8]:
    """The part of a bzImage that a boot loader puts into memory: (pages, 4096) bytes, the last filled with zeros."""
    data = np.frombuffer(loaded(path.read_bytes()), dtype=np.uint8)
    out = np.zeros(-(-len(data) // PAGE_SIZE) * PAGE_SIZE, dtype=np.uint8)
    out[: len(data)] = data
    return out.reshape(-1, PAGE_SIZE)
