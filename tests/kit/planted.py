"""Three memories whose structure is known page by page, as dumps of three formats, and what a policy made of them.

What is planted, spread over the guests' areas (a zygote's heap, two apps' heaps, a stack, files, graphics):

    equal     groups of 2, 3 and 17 pages of noise, within each guest and between guests
    zero      empty pages
    run       one word all over, the same in four neighbours
    word      one word all over, alone in its area
    near      as a base but for one byte in one block of 64 bytes, or apart: one byte in every block
    far       as a base but for 40 blocks that are new: no difference that is worth its page
    packable  a quarter of noise, then 64 bytes again and again
    base, noise, absent (in the dump's tables only, or not at all)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.dump_writers import PAGE, Memory, elf, kdump, lime
from vmdedup.guest.revived import RevivedGuest
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.host.layout import (
    ANONYMOUS,
    BACKGROUND,
    COMPRESSED,
    FILES,
    FILLED,
    FOREGROUND,
    FRAME_MASK,
    FRAME_SHIFT,
    GRAPHICS,
    GUARDED,
    PATCHED,
    PRESENT,
    STACK,
    UNKNOWN,
)
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all

BLOCK = 64
BLOCKS = PAGE // BLOCK
DOMAINS = (1, 1, 2)  # of the guests
# Kind, owner and state of a guest's areas, in order of its pages.
AREAS = (
    (ANONYMOUS, 0, UNKNOWN),
    (ANONYMOUS, 1, BACKGROUND),
    (ANONYMOUS, 2, FOREGROUND),
    (STACK, 1, BACKGROUND),
    (FILES, 0, UNKNOWN),
    (GRAPHICS, 1, BACKGROUND),
)
ZYGOTE, HEAP = 0, 1  # areas
IN_ZERO_PAGE, IN_PATCH, PACKED, IN_WORD, ABSENT = "zero page", "patched", "compressed", "filled", "absent"
_KINDS = {PATCHED: IN_PATCH, COMPRESSED: PACKED, FILLED: IN_WORD}


@dataclass(frozen=True)
class Planted:
    """One page. what: as in the module's list. content: a name; equal names are equal bytes."""

    guest: int
    area: int
    what: str
    content: str


def changed_blocks(page: bytes, blocks: Iterable[int], random: np.random.Generator) -> bytes:
    """The page with one byte of each of these blocks changed."""
    row = np.frombuffer(page, np.uint8).copy()
    for block in blocks:
        row[block * BLOCK + random.integers(BLOCK)] ^= random.integers(1, 256)
    return row.tobytes()


class Plan:
    """What is planted. pages: of each guest, in order. contents: bytes by name."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.contents: dict[str, bytes] = {}
        self._areas: dict[tuple[int, int], list[Planted]] = {(g, a): [] for g in range(3) for a in range(len(AREAS))}

    def noise(self, size: int = PAGE) -> bytes:
        """Random bytes."""
        return self.random.bytes(size)

    def put(self, what: str, content: str, data: bytes, guest: int, area: int) -> None:
        """One page more."""
        self.contents[content] = data
        self._areas[guest, area].append(Planted(guest, area, what, content))

    def anywhere(self, first_area: int = 0, guest: int | None = None) -> tuple[int, int]:
        """A guest, any if none is given, and one of its areas."""
        chosen = int(self.random.integers(3)) if guest is None else guest
        return chosen, int(self.random.integers(first_area, len(AREAS)))

    @property
    def pages(self) -> list[list[Planted]]:
        """Areas one behind the other, then what is absent; lime has a place for no page that it has not."""
        absent = [[Planted(g, len(AREAS), ABSENT, ABSENT)] * 5 for g in range(2)] + [[]]
        return [[page for area in range(len(AREAS)) for page in self._areas[g, area]] + absent[g] for g in range(3)]


def plant(seed: int = 1) -> Plan:
    """The whole structure."""
    plan = Plan(seed)
    for number in range(3):
        plan.put("base", f"base {number}", plan.noise(), 0, ZYGOTE)  # first of all, so that it is seen first
    for guest in (0, 1, 2, None, None, None):
        for copies in (2, 3, 17):
            data = plan.noise()
            for _ in range(copies):
                plan.put("equal", f"{copies} in guest {guest} {data[:4].hex()}", data, *plan.anywhere(guest=guest))
    for number in range(20):
        plan.put("zero", "zero", bytes(PAGE), *plan.anywhere())
        plan.put("noise", f"noise {number}", plan.noise(), *plan.anywhere())
    for number in range(15):
        plan.put("packable", f"packable {number}", plan.noise(1024) + plan.noise(BLOCK) * 48, *plan.anywhere())
    _plant_words(plan)
    _plant_similar(plan)
    return plan


def _plant_words(plan: Plan) -> None:
    for guest in range(3):
        word = plan.noise(8) * (PAGE // 8)
        for _ in range(4):
            plan.put("run", f"run {guest}", word, guest, HEAP)
    for number in range(8):
        plan.put("word", f"word {number}", plan.noise(8) * (PAGE // 8), *plan.anywhere())
    word = plan.noise(8) * (PAGE // 8)
    for guest in range(2):
        plan.put("word", "word of two", word, guest, HEAP)


def _plant_similar(plan: Plan) -> None:
    """All behind the bases, and none among what apps inherit."""
    for number in range(24):
        base = plan.contents[f"base {number % 3}"]
        block = int(plan.random.integers(BLOCKS))
        near = changed_blocks(base, [block], plan.random)
        plan.put("near", f"near {number}", near, *plan.anywhere(HEAP))
        apart = changed_blocks(base, range(BLOCKS), plan.random)
        plan.put("apart", f"apart {number}", apart, *plan.anywhere(HEAP))
        row = np.frombuffer(base, np.uint8).copy().reshape(BLOCKS, BLOCK)
        row[plan.random.choice(BLOCKS, 40, replace=False)] = plan.random.integers(0, 256, (40, BLOCK))
        plan.put("far", f"far {number}", row.tobytes(), *plan.anywhere(HEAP))


def write_dumps(plan: Plan, folder: Path) -> list[Path]:
    """Each guest's dump, in a format of its own."""
    paths = []
    forms: list[Callable[[Memory], bytes]] = [kdump, elf, lime]
    for number, (pages, form) in enumerate(zip(plan.pages, forms, strict=True)):
        memory: Memory = {n: plan.contents.get(page.content) for n, page in enumerate(pages)}
        paths.append(folder / f"{number}.dump")
        paths[-1].write_bytes(form(memory))
    return paths


@dataclass
class Guests:
    """Guests that were made from dumps, on one host."""

    host: Host
    plan: Plan
    revived: list[RevivedGuest]
    mms: list[int]

    def verify(self) -> int:
        """Each reads back what its dump holds. Returns pages."""
        return sum(guest.verify() for guest in self.revived)

    def seen(self) -> list[Hashable]:
        """Where each guest's pages are, guest after guest: how it is kept, or its frame."""
        found: list[Hashable] = []
        for mm in self.mms:
            entries = self.host.memory(mm).entries
            for entry, kind in zip(entries.tolist(), kind_of_all(entries).tolist(), strict=True):
                pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
                present = (IN_ZERO_PAGE if pfn == 0 else ("frame", pfn)) if entry & PRESENT else ABSENT
                whole = ("frame", pfn) if kind == GUARDED else present
                found.append(_KINDS[kind] if kind not in (0, GUARDED) else whole)
        return found

    def planted(self) -> list[Planted]:
        """In the same order."""
        return [page for pages in self.plan.pages for page in pages]


@contextmanager
def guests_of(plan: Plan, paths: Sequence[Path], declared: bool) -> Iterator[Guests]:
    """Guests that boot from the dumps. declared: whether they say what their areas are."""
    sizes = [len(pages) for pages in plan.pages]
    host = Host.create(sum(sizes), mms=len(sizes), swap=True)
    try:
        memories = [host.add(size, f"g{n}", domain=DOMAINS[n]) for n, size in enumerate(sizes)]
        revived = []
        for memory, path, pages in zip(memories, paths, plan.pages, strict=True):
            spec = GuestSpec(memory.name, memory.pages, image=ImageSpec(str(path)))
            revived.append(RevivedGuest(spec, memory))
            revived[-1].boot()
            for area, said in enumerate(AREAS) if declared else ():
                numbers = [n for n, page in enumerate(pages) if page.area == area]
                if numbers:
                    memory.declare(area, numbers[0], len(numbers), *said)
        yield Guests(host, plan, revived, [memory.mm for memory in memories])
        for guest in revived:
            guest.leave()
    finally:
        host.close()


def canonical(labels: Iterable[Hashable]) -> list[Hashable]:
    """Ways of keeping as they are; frames, or what should be in one, by the first page that has it."""
    first: dict[Hashable, int] = {}
    return [label if isinstance(label, str) else first.setdefault(label, number) for number, label in enumerate(labels)]
