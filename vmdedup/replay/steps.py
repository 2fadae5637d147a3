"""The steps of a KSM script, one frozen class a kind; ranges are lo..hi with both ends included.

`line` is the line number in the script, counted from 1; names and ranges have been checked by the parser.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.replay.content import Content

SMALL, HUGE, ANY = "small", "huge", "any"  # pages of a mapping: never huge ones, huge where it can be, unadvised
DISK, ZRAM = "disk", "zram"  # what there is to swap to
MERGEABLE, PLAIN, MERGE_ANY = "mergeable", "plain", "merge_any"  # of a mapping, none, or all the process's memory


@dataclass(frozen=True, slots=True)
class Options:
    """What a new process's mapping is like, before it is touched."""

    node: int | None = None  # the NUMA node that it is bound to
    size: str = SMALL
    merge: str = MERGEABLE

    def text(self) -> str:
        """As it is written, without what is usual."""
        node = [] if self.node is None else [f"node={self.node}"]
        size = {HUGE: ["huge"], ANY: ["anysize"]}.get(self.size, [])
        return " ".join([*node, *size, *({self.merge} - {MERGEABLE})])


@dataclass(frozen=True, slots=True)
class Vm:
    """A new process with one private anonymous mapping of `pages` pages, nothing touched."""

    line: int
    name: str
    pages: int
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Fork:
    """Process `name` forks process `child`."""

    line: int
    name: str
    child: str


@dataclass(frozen=True, slots=True)
class Exit:
    """The process ends, and its memory is gone when the step is over."""

    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Fill:
    """Store a content in the pages lo..hi, in order."""

    line: int
    name: str
    lo: int
    hi: int
    content: Content


@dataclass(frozen=True, slots=True)
class Poke:
    """Store one byte, also when it already has that value."""

    line: int
    name: str
    page: int
    offset: int
    byte: int


@dataclass(frozen=True, slots=True)
class Read:
    """Load one byte of each page."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Discard:
    """madvise(MADV_DONTNEED)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Unmap:
    """munmap; no later step names these pages."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Mergeable:
    """madvise(MADV_MERGEABLE)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Unmergeable:
    """madvise(MADV_UNMERGEABLE)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Set:
    """Write a tunable; the value is text, as it would be written to the tunable's file."""

    line: int
    knob: str
    value: str


@dataclass(frozen=True, slots=True)
class Scan:
    """ksmd scans one batch of at most `pages` pages."""

    line: int
    pages: int


@dataclass(frozen=True, slots=True)
class Pass:
    """ksmd scans to the end of the current full scan, `times` times."""

    line: int
    times: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Print the counters."""

    line: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """Print which pages share one physical page."""

    line: int


@dataclass(frozen=True, slots=True)
class Digest:
    """Print a SHA-256 of each process's whole mapping."""

    line: int


@dataclass(frozen=True, slots=True)
class Hugepage:
    """madvise(MADV_HUGEPAGE)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Nohugepage:
    """madvise(MADV_NOHUGEPAGE)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Collapse:
    """madvise(MADV_COLLAPSE)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Pageout:
    """madvise(MADV_PAGEOUT)."""

    line: int
    name: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Node:
    """mbind: the whole mapping belongs on one NUMA node from now on."""

    line: int
    name: str
    node: int


@dataclass(frozen=True, slots=True)
class Migrate:
    """move_pages to a NUMA node; everyone: pages that others map, too (MPOL_MF_MOVE_ALL)."""

    line: int
    name: str
    lo: int
    hi: int
    node: int
    everyone: bool


@dataclass(frozen=True, slots=True)
class Prctl:
    """PR_SET_MEMORY_MERGE: all the process's memory may be merged, or none."""

    line: int
    name: str
    on: bool


@dataclass(frozen=True, slots=True)
class Exec:
    """The process runs its program anew, with a mapping of the size of the old one; mergeable: advised so."""

    line: int
    name: str
    mergeable: bool


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The process goes into the memory cgroup that is reclaimed from."""

    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """That many bytes are to be reclaimed from the cgroup."""

    line: int
    size: int


@dataclass(frozen=True, slots=True)
class Swapon:
    """There is swap from now on. device: DISK or ZRAM."""

    line: int
    device: str = DISK


@dataclass(frozen=True, slots=True)
class Swapoff:
    """There is none any more; what was swapped out comes back."""

    line: int


@dataclass(frozen=True, slots=True)
class Sys:
    """Write a file of the system."""

    line: int
    file: str
    value: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is done for that many milliseconds."""

    line: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Empty the per-CPU lists of pages; on: before each batch from now on, or (False) no more; None: once."""

    line: int
    on: bool | None


@dataclass(frozen=True, slots=True)
class Show:
    """Print what a file of the system says."""

    line: int
    file: str


@dataclass(frozen=True, slots=True)
class Kinds:
    """Print what each page is mapped by."""

    line: int


@dataclass(frozen=True, slots=True)
class Nodes:
    """Print the NUMA node of each page."""

    line: int


@dataclass(frozen=True, slots=True)
class Mem:
    """Print what has changed in /proc/vmstat, and what each mapping takes."""

    line: int


@dataclass(frozen=True, slots=True)
class Status:
    """Print a process's ksm_stat."""

    line: int
    name: str


Step = (
    Vm
    | Fork
    | Exit
    | Fill
    | Poke
    | Read
    | Discard
    | Unmap
    | Mergeable
    | Unmergeable
    | Set
    | Scan
    | Pass
    | Counters
    | Sharing
    | Digest
    | Hugepage
    | Nohugepage
    | Collapse
    | Pageout
    | Node
    | Migrate
    | Prctl
    | Exec
    | Cgroup
    | Reclaim
    | Swapon
    | Swapoff
    | Sys
    | Wait
    | Drain
    | Show
    | Kinds
    | Nodes
    | Mem
    | Status
)
