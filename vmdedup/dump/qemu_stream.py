"""Where the pages of a QEMU migration stream are: one pass over its headers, which keeps the last place of every page.

A stream is sections; RAM's hold, in rounds, a header a page: its offset in a RAM block and flags, then the bytes, or
one byte that fills the page. Other devices' stand between them, and are passed over. Source: QEMU's
docs/devel/migration/main.rst; the flags: migration/ram.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vmdedup.dump.file import Source, check_pages, check_range
from vmdedup.dump.qemu_sections import skip_section
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

MAGIC, RAM = b"QEVM", "ram"
VERSION, RAM_VERSION = 3, 4
EOF, START, PART, END, FULL, SUBSECTION, CONFIGURATION, COMMAND, FOOTER = 0, 1, 2, 3, 4, 5, 7, 8, 0x7E
ZERO, MEM_SIZE, PAGE, EOS, CONTINUE, XBZRLE = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
HOOK, COMPRESSED, MULTIFD_FLUSH = 0x80, 0x100, 0x200
WINDOW, FIRST_LOOK = 1 << 20, 16  # bytes at hand; pages looked at first, in search of a run
MOST_BLOCKS = 1 << 12
PLAIN_RUN, ZERO_RUN = (PAGE | CONTINUE, 8 + PAGE_SIZE), (ZERO | CONTINUE, 9)  # flags, bytes a page takes
POSTCOPY_ADVISE = 3  # a command, after which RAM blocks may say how large their pages are
MOST_SECTIONS = 1 << 16
MANY = 1 << 22  # pages noted after which notes of one page are put together
REFUSED = {
    XBZRLE: "XBZRLE deltas; migrate with the capability xbzrle off",
    COMPRESSED: "pages compressed one by one; migrate with the capability compress off",
    MULTIFD_FLUSH: "its pages in other channels (multifd); migrate with the capability multifd off",
    HOOK: "its pages elsewhere (RDMA); migrate to a file",
}


@dataclass
class RamBlock:
    """One of the guest's RAM blocks. pages: its length. notes: page numbers and places, in order of the stream.

    A place is an offset in the file; -1 - n is a page filled with byte n.
    """

    name: str
    pages: int
    notes: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=list)
    noted: int = 0

    def note(self, numbers: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Remember where pages stand, in place of what was known of them."""
        self.notes.append((numbers, places))
        self.noted += len(numbers)
        if self.noted > MANY and len(self.notes) > 1 and self.noted > 2 * len(self.notes[0][0]):
            self.settled()

    def settled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Page numbers, rising, and the last place of each."""
        numbers = np.concatenate([np.zeros(0, np.int64), *(note[0] for note in self.notes)])
        places = np.concatenate([np.zeros(0, np.int64), *(note[1] for note in self.notes)])
        if not (numbers[1:] > numbers[:-1]).all():
            numbers, last = np.unique(numbers[::-1], return_index=True)
            places = places[::-1][last]
        self.notes, self.noted = [(numbers, places)], len(numbers)
        return self.notes[0]


class RamStream:
    """The RAM of a stream that begins at a byte of a file. machine: QEMU's machine type, "" in old streams."""

    def __init__(self, file: Source, start: int) -> None:
        self.file, self.at = file, start
        self.window, self.window_at = np.zeros(0, np.uint8), 0
        self.machine, self.capabilities, self.is_advised = "", set[str](), False
        self.names: dict[int, str] = {}  # of sections that have begun, by their number
        self.blocks: dict[str, RamBlock] = {}
        self.current: RamBlock | None = None
        if self._take(4) != MAGIC:
            self._damaged("no migration stream")
        version = self.number(4)
        if version != VERSION:
            raise DumpError(f"{file.name}: is a migration stream of version {version}; only {VERSION} can be read")
        self._sections()

    def _take(self, length: int) -> bytes:
        """The next bytes."""
        check_range(self.file, self.at, length)
        if not self.window_at <= self.at <= self.window_at + len(self.window) - length:
            self._fill(length)
        at = self.at - self.window_at
        self.at += length
        return self.window[at : at + length].tobytes()

    def _fill(self, least: int) -> None:
        """Have the bytes from here on at hand."""
        length = min(max(least, WINDOW), self.file.size - self.at)
        self.window, self.window_at = np.empty(length, np.uint8), self.at
        self.file.read_into(self.at, self.window)

    def _text(self, length: int) -> str:
        """The next bytes as a name."""
        return self._take(length).decode("ascii", "replace")

    def _damaged(self, what: str) -> None:
        raise DumpError(f"{self.file.name}: {what} before byte {self.at}: truncated or damaged; dump again")

    def number(self, length: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self._take(length), "big")

    def skip(self, length: int) -> None:
        """Pass over bytes. DumpError: the file ends before."""
        check_range(self.file, self.at, length)
        self.at += length

    def rewind(self, length: int) -> None:
        """Go back so many bytes."""
        self.at -= length

    def _sections(self) -> None:
        """All sections until RAM has ended."""
        while True:
            kind = self.number(1)
            if kind == CONFIGURATION:
                self._configuration()
            elif kind == COMMAND:
                self.is_advised |= self.number(2) == POSTCOPY_ADVISE
                self.skip(self.number(2))
            elif kind in (START, FULL, PART, END):
                number = self._section_start() if kind in (START, FULL) else self.number(4)
                name = self.names.get(number)
                if name is None:
                    self._damaged("a part of a section that never began")
                elif name == RAM:
                    self._pages()
                    if kind == END:
                        return
                elif not skip_section(self, name, kind):
                    self._cannot_skip(name)
                self._footer(number)
            elif kind == EOF:
                raise DumpError(f"{self.file.name}: ends before all RAM was sent: migration failed; migrate again")
            else:
                self._damaged(f"a section of unknown kind {kind:#x}")

    def _cannot_skip(self, name: str) -> None:
        what = f"state of {name[:80]!r} stands before the end of its RAM, and cannot be passed over"
        how = "QEMU's monitor: dump-guest-memory FILE; virsh dump --memory-only"
        raise DumpError(f"{self.file.name}: {what}; migrate without that device, or dump as ELF ({how})")

    def _footer(self, number: int) -> None:
        """The end of a section, which machine types before QEMU 2.4 leave out."""
        if self.at < self.file.size and self._peek() == FOOTER:
            self.skip(1)
            if self.number(4) != number:
                self._damaged("a section that another one ends")

    def _configuration(self) -> None:
        """Machine type, and what subsections say."""
        self.machine = self._text(min(self.number(4), 1 << 10))
        while self._peek() == SUBSECTION:
            self.skip(1)
            name = self._text(self.number(1))
            self.skip(4)
            if name == "configuration/capabilities":
                self.capabilities = {self._text(self.number(1)) for _ in range(min(self.number(4), 256))}
            elif name == "configuration/target-page-bits":
                if (bits := self.number(4)) != 12:
                    raise DumpError(f"{self.file.name}: pages of {1 << min(bits, 40)} bytes; only 4096 can be read")
            elif name == "configuration/uuid":
                self.skip(16)
            else:
                self._damaged(f"a subsection {name[:40]!r} that is not known")

    def _peek(self) -> int:
        """The next byte, which stays the next."""
        value = self.number(1)
        self.at -= 1
        return value

    def _section_start(self) -> int:
        """The beginning of a section: its number."""
        number, name = self.number(4), self._text(self.number(1))
        self.skip(4)
        version = self.number(4)
        if name == RAM and version != RAM_VERSION:
            raise DumpError(f"{self.file.name}: RAM of version {version}; only {RAM_VERSION} can be read")
        if len(self.names) == MOST_SECTIONS:
            self._damaged("very many sections")
        self.names[number] = name
        return number

    def _pages(self) -> None:
        """One round of RAM, up to its end mark."""
        while True:
            for flags, length in (PLAIN_RUN, ZERO_RUN):
                self._run(flags, length)
            word = self.number(8)
            flags = word & (PAGE_SIZE - 1)
            if flags & EOS:
                return
            if flags & MEM_SIZE:
                self._block_list(word & -PAGE_SIZE)
            elif flags & (ZERO | PAGE):
                self._page(word // PAGE_SIZE, flags)
            elif flags & MULTIFD_FLUSH and "mapped-ram" in self.capabilities:
                continue
            else:
                why = next((text for flag, text in REFUSED.items() if flags & flag), "")
                if why:
                    raise DumpError(f"{self.file.name}: the stream has {why}")
                self._damaged(f"a page of unknown flags {flags:#x}")

    def _block_list(self, total: int) -> None:
        """Names and lengths of the RAM blocks."""
        if self.blocks:
            self._damaged("a second list of RAM blocks")
        while total > 0:
            name, length = self._text(self.number(1)), self.number(8)
            if name in self.blocks or len(self.blocks) == MOST_BLOCKS or not 0 < length <= total:
                self._damaged(f"a RAM block {name[:40]!r} of {length} bytes")
            pages = check_pages(self.file.name, -(-length // PAGE_SIZE))
            self.blocks[name] = RamBlock(name, pages)
            total -= length
            if self.is_advised and self._says_page_size(total > 0):
                self.skip(8)
            if "x-ignore-shared" in self.capabilities:
                self.skip(8)
            if "mapped-ram" in self.capabilities:
                self._mapped(self.blocks[name])

    def _says_page_size(self, more: bool) -> bool:
        """Whether a page size follows a block, which it does of those whose pages are not the largest."""
        size = self.number(8)
        self.rewind(8)
        # What may follow instead is the next block's name, which is not empty, or a word of flags.
        return size >> 56 == 0 if more else size >= PAGE_SIZE and size & (size - 1) == 0

    def _mapped(self, block: RamBlock) -> None:
        """A block of a mapped-ram file: pages stand in order at one place, a bitmap says which are not zero."""
        version, page, bitmap, pages = struct.unpack(">IQQQ", self._take(28))
        if version != 1 or page != PAGE_SIZE:
            self._damaged(f"a mapped RAM block of version {version} and pages of {page} bytes")
        check_range(self.file, pages, block.pages * PAGE_SIZE)
        bits = np.frombuffer(self.file.read(bitmap, -(-block.pages // 8)), np.uint8)
        numbers = np.arange(block.pages)
        sent = np.unpackbits(bits, count=block.pages, bitorder="little")
        block.note(numbers, np.where(sent, pages + numbers * PAGE_SIZE, -1))
        if pages + block.pages * PAGE_SIZE < self.at:
            self._damaged("a mapped RAM block that stands before its own header")
        self.at = pages + block.pages * PAGE_SIZE

    def _page(self, number: int, flags: int) -> None:
        """One page, of the same block as that before or of a named one."""
        if not flags & CONTINUE:
            self.current = self.blocks.get(self._text(self.number(1)))
        block = self.current
        if block is None or number >= block.pages:
            self._damaged(f"page {number} of no RAM block")
            return
        if flags & ZERO:
            place = -1 - self.number(1)
        else:
            check_range(self.file, self.at, PAGE_SIZE)
            place, self.at = self.at, self.at + PAGE_SIZE
        block.note(np.array([number]), np.array([place]))

    def _run(self, flags: int, length: int) -> None:
        """As many pages with just these flags as are at hand here, each taking so many bytes."""
        most = FIRST_LOOK
        while self._some(flags, length, most) == most:
            most = min(4 * most, WINDOW // length)

    def _some(self, flags: int, length: int, most: int) -> int:
        """At most so many pages of a run: how many they were."""
        if self.file.size - self.at < 2 * length or self.current is None:
            return 0
        if self.at + 2 * length > self.window_at + len(self.window) or self.at < self.window_at:
            self._fill(0)
        at = self.at - self.window_at
        if int(self.window[at + 6]) << 8 & 0xF00 | int(self.window[at + 7]) != flags:
            return 0
        count = min((len(self.window) - at) // length, most)
        rows = as_strided(self.window[at:], (count, 8), (length, 1))
        words = np.ascontiguousarray(rows).view(">u8").reshape(-1)
        fits = ((words & np.uint64(PAGE_SIZE - 1)) == flags) & (words // PAGE_SIZE < self.current.pages)
        count = count if fits.all() else int(fits.argmin())
        if count:
            numbers = (words[:count] // PAGE_SIZE).astype(np.int64)
            fills = self.window[at + 8 : at + 8 + (count - 1) * length + 1 : length]
            places = self.at + 8 + np.arange(count) * length
            self.current.note(numbers, -1 - fills.astype(np.int64) if flags & ZERO else places)
            self.at += count * length
        return count
