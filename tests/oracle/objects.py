"""The things that exist: frames, address spaces, rmap items, stable nodes, chains, ksmd's state.

Source: mm/ksm.c (v6.18), behaviour only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from oracle.knobs import Knobs
from oracle.rbtree import Node, Tree

PAGE_SIZE = 4096
ZEROS = bytes(PAGE_SIZE)
HUGE = 512  # pages of a huge page


@dataclass(eq=False)
class Frame:
    """A physical page. node: its stable node, once ksm; a ksm frame without one is never merged.

    nid: the NUMA node that it lies on.
    """

    data: bytes = ZEROS
    nid: int = 0
    mapcount: int = 0
    ksm: bool = False
    node: StableNode | None = None
    folio: Folio | None = None  # the huge page that it is part of
    slot: Slot | None = None  # the swap slot in whose cache it is


@dataclass(eq=False)
class Slot:
    """A page on the swap device. cached: the frame in which it is, too; owner: family and page of that."""

    data: bytes
    cached: Frame | None
    owner: tuple[Mm, int]
    entries: int = 0  # page table entries that name it

    def leave_cache(self) -> None:
        """Not be in memory any more."""
        if self.cached is not None:
            self.cached.slot = None
            self.cached = None


@dataclass(eq=False)
class Folio:
    """A huge page: its frames, and the processes that have had it, in the order of their birth."""

    frames: list[Frame]
    mms: list[Mm] = field(default_factory=list)


class RmapItem(Node):
    """What ksmd remembers of one virtual page. seq is set while UNSTABLE, node while STABLE, else neither.

    nid: in which NUMA node's unstable tree it is.
    """

    def __init__(self, mm: Mm, page: int) -> None:
        super().__init__()
        self.mm = mm
        self.page = page
        self.oldchecksum = 0
        self.age = 0
        self.remaining_skips = 0
        self.seq: int | None = None
        self.nid = 0
        self.node: StableNode | None = None

    def forget(self) -> None:
        """Know no more of the page than of one that was never seen."""
        self.oldchecksum = self.age = self.remaining_skips = 0


class StableNode(Node):
    """A merged page, in the stable tree of a NUMA node, or among the dups of a chain there, or on the migrate list.

    items: newest first. nid: whose tree.
    """

    def __init__(self, frame: Frame, nid: int) -> None:
        super().__init__()
        self.frame = frame
        self.nid = nid
        self.items: list[RmapItem] = []
        self.chain: Chain | None = None

    @property
    def stale(self) -> bool:
        """Whether the page was freed behind the node's back."""
        return self.frame.mapcount == 0 and self.frame.slot is None


class Chain(Node):
    """Several stable nodes of equal content at one place of a NUMA node's tree. dups: newest first."""

    def __init__(self, prune_time: int, nid: int) -> None:
        super().__init__()
        self.prune_time = prune_time
        self.nid = nid
        self.dups: list[StableNode] = []


class Mm:
    """One address space: one mapping of pages 0..pages-1, or what is left of it.

    ptes: page to frame; swapped: page to swap slot; kin: the oldest that it shares pages with by forks; writable:
    pages that may be stored to without a fault; ksm_zeros: pages whose zero page
    ksmd placed; mapped, mergeable, huge, nohuge: pages that have a VMA, and the advice; pmds: two megabytes that
    are mapped as a whole, by a huge page or (None) the huge zero page; tables: those that are mapped page by page;
    items: the rmap items by page, ascending.
    """

    def __init__(self, name: str, pages: int, zero: Frame, home: int = 0, parent: Mm | None = None) -> None:
        """home: the NUMA node that its frames come from. parent: whose fork it is."""
        self.name = name
        self.home = home
        self.parent = parent
        self.zero = zero
        self.ptes: dict[int, Frame] = {}
        self.swapped: dict[int, Slot] = {}
        self.kin: Mm = parent.kin if parent is not None and parent.has_stored else self
        self.ksm_zeros: set[int] = set()
        self.pages = pages
        self.mapped = set(range(pages))
        self.mergeable: set[int] = set()
        self.huge: set[int] = set()
        self.nohuge: set[int] = set()
        self.writable: set[int] = set()
        self.pmds: dict[int, Folio | None] = {}
        self.tables: set[int] = set()
        self.has_stored: bool = False
        self.alive = True
        self.on_list = False
        self.merges_all = False  # PR_SET_MEMORY_MERGE
        self.items: list[RmapItem] = []
        self.surplus = (0, 0)  # items and merging pages that are shown beyond what there is

    def map(self, page: int, frame: Frame) -> None:
        """Let a page map a frame instead of what it maps now."""
        self.unmap(page)
        self.ptes[page] = frame
        self.tables.add(page // HUGE)
        frame.mapcount += 1

    def unmap(self, page: int) -> None:
        """Clear a page table entry."""
        old = self.ptes.pop(page, None)
        if old is not None:
            old.mapcount -= 1
        slot = self.swapped.pop(page, None)
        if slot is not None:
            slot.entries -= 1
            if slot.entries == 0:
                slot.leave_cache()
        self.ksm_zeros.discard(page)
        self.writable.discard(page)

    def kind(self, page: int) -> tuple[bool, ...]:
        """What tells mappings apart: pages beside each other that are of one kind lie in one."""
        return page in self.mapped, page in self.mergeable, page in self.huge, page in self.nohuge

    def candidate(self, page: int) -> Frame | None:
        """Return the frame that ksmd may look at there, if any: advised, present, not the zero page."""
        frame = self.ptes.get(page) if self.alive and page in self.mergeable else None
        return None if frame is self.zero else frame


@dataclass(eq=False)
class Ksm:
    """ksmd: its list of address spaces, its cursor, its trees. cursor None: before the first, a scan is over.

    next_page: where ksmd goes on in the cursor's address space; None: it has found no advised page there yet.
    list_pos: index of the next item to look at in the cursor's items. clock: milliseconds. version: of Linux.
    stable, unstable: a tree for each NUMA node; migrated: the migrate list, front first.
    """

    clock: Callable[[], int]
    version: tuple[int, int] = (6, 18)
    knobs: Knobs = field(default_factory=Knobs)
    zero: Frame = field(default_factory=Frame)
    mms: list[Mm] = field(default_factory=list)
    cursor: Mm | None = None
    next_page: int | None = None
    list_pos: int = 0
    seqnr: int = 0
    nodes: int = 1
    stable: list[Tree] = field(init=False)
    unstable: list[Tree] = field(init=False)
    migrated: list[StableNode] = field(default_factory=list)
    pages_scanned: int = 0
    pages_skipped: int = 0
    vmstat: Counter[str] = field(default_factory=Counter)
    thp: str = "madvise"
    swap: str = ""  # the device; none
    khugepaged: dict[str, int] = field(default_factory=lambda: {"max_ptes_none": 511, "max_ptes_shared": 256})

    def __post_init__(self) -> None:
        self.stable = [Tree() for _ in range(self.nodes)]
        self.unstable = [Tree() for _ in range(self.nodes)]

    def nid(self, frame: Frame) -> int:
        """Return whose trees a frame belongs to."""
        return 0 if self.knobs.merge_across_nodes else frame.nid

    def items(self) -> Iterator[RmapItem]:
        """Yield every rmap item, those of the dead included."""
        for mm in self.mms:
            yield from mm.items
