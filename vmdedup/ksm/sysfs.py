"""Every tunable and counter of /sys/kernel/mm/ksm and of /proc/PID/ksm_stat, declared once.

The command line, scenario files, results and documents are made from these tables; so is whatever else is asked of a
tunable: when it is written, what it waits for, what a script starts with. Names, defaults, ranges
and errors are those of Linux 6.18. Values are text on the way in and out, as in sysfs; ksm.ksmd holds them as
integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vmdedup.errors import KnobError

U32 = 2**32 - 1
I32 = 2**31 - 1
U64 = 2**64 - 1
_MOST_FIGURES = 20  # of any value that a tunable can have
_LONGEST_CHOICE = 200
_HUGE = 2**70  # stands for every longer number: it is out of all ranges
ADVISOR_MODES = ("none", "scan-time")
# When a tunable is written, of several. Nothing may be merged where the first are (EBUSY); the advisor takes its start
# value as it is turned on, and overwrites pages_to_scan; run starts ksmd.
UNMERGED, ANY_TIME, ADVISOR, STARTS = range(4)


@dataclass(frozen=True)
class Tunable:
    """A writable file: how its text is read, what it starts as, what it refuses.

    turn: when it is written, of several. state: the field of ksmd's state record (ksm.layout) in which kernels look at
    it, if they do. start: what a script starts with, where that is not the default. is_stepped: whoever steps the
    kernel's ksmd needs it otherwise meanwhile (live.ksm.knobs). is_optional: kernels may be built without it.
    """

    name: str
    default: int
    meaning: str
    unit: str = ""
    kind: str = "unsigned"  # unsigned; long (64 bits); truncated to 32 bits; integer (signed); boolean; mode
    low: int = 0
    high: int = U32
    turn: int = ANY_TIME
    state: str = ""
    start: int | None = None
    is_stepped: bool = False
    is_optional: bool = False

    def parse(self, text: str) -> int:
        """The integer that a write of text sets. Raises KnobError (EINVAL, ERANGE) as the kernel's file does."""
        word = text.removesuffix("\n")
        if self.kind == "boolean":
            return self._parse_boolean(word)
        if self.kind == "mode":
            if word not in ADVISOR_MODES:
                raise KnobError(self.name, text, "EINVAL")
            return ADVISOR_MODES.index(word)
        return self._parse_number(word)

    def _parse_boolean(self, word: str) -> int:
        # The kernel looks at one letter, or at two of "on" and "off".
        if word[:1] in ("1", "y", "Y", "t", "T") or word[:2].lower() == "on":
            return 1
        if word[:1] in ("0", "n", "N", "f", "F") or word[:2].lower() == "of":
            return 0
        raise KnobError(self.name, word, "EINVAL")

    def _parse_number(self, word: str) -> int:
        signed = self.kind == "integer"
        digits = word[1:] if word[:1] == "+" or (word[:1] == "-" and signed) else word
        if not digits.isascii() or not digits.isdigit():
            raise KnobError(self.name, word, "EINVAL")
        figures = digits.lstrip("0") or "0"
        number = int(figures) if len(figures) <= _MOST_FIGURES else _HUGE
        value = -number if word[:1] == "-" else number
        if (signed and not -I32 - 1 <= value <= I32) or (self.kind == "long" and value > U64):
            raise KnobError(self.name, word, "ERANGE")
        if not self.low <= value <= self.high:
            raise KnobError(self.name, word, "EINVAL")
        return value & U32 if self.kind == "truncated" else value

    def show(self, value: int) -> str:
        """The text that reading the file gives."""
        if self.kind == "mode":
            return " ".join(f"[{m}]" if i == value else m for i, m in enumerate(ADVISOR_MODES))
        return str(value)


_CHOICE = re.compile(r"(?:[\w-]+ )*\[([\w-]+)\](?: [\w-]+)*")


def as_written(text: str) -> str:
    """Text that was read from a tunable's file, as it is written to it: of words to choose from, that in brackets."""
    choice = _CHOICE.fullmatch(text) if len(text) <= _LONGEST_CHOICE else None
    return choice[1] if choice else text


@dataclass(frozen=True)
class Counter:
    """A read-only file. is_lasting: the kernel never sets it back, so it is shown from where it stood at first."""

    name: str
    meaning: str
    unit: str = "pages"
    is_lasting: bool = False


_TUNABLES = (
    Tunable(
        "run",
        0,
        "0: ksmd stops; 1: it runs; 2: it stops and everything merged is unmerged",
        high=2,
        turn=STARTS,
        start=1,
        is_stepped=True,
    ),
    Tunable("pages_to_scan", 100, "pages that ksmd scans before it sleeps", "pages", is_stepped=True),
    Tunable("sleep_millisecs", 20, "how long ksmd sleeps between two batches", "ms", is_stepped=True),
    Tunable(
        "merge_across_nodes",
        1,
        "whether pages of different NUMA nodes are merged",
        kind="long",
        high=1,
        turn=UNMERGED,
        state="merge_across_nodes",
        is_optional=True,
    ),
    Tunable(
        "use_zero_pages",
        0,
        "whether empty pages are replaced by the zero page",
        kind="boolean",
        state="use_zero_pages",
    ),
    Tunable(
        "max_page_sharing",
        256,
        "how many pages one KSM page may stand for",
        "pages",
        "integer",
        2,
        I32,
        turn=UNMERGED,
        state="max_page_sharing",
    ),
    Tunable(
        "stable_node_chains_prune_millisecs",
        2000,
        "how often a chain is searched for stale copies",
        "ms",
        state="prune_millisecs",
    ),
    Tunable(
        "smart_scan",
        1,
        "whether pages that did not merge before are skipped for a while",
        kind="boolean",
        state="smart_scan",
        start=0,
    ),
    Tunable(
        "advisor_mode", 0, "none, or scan-time: pages_to_scan is adapted", kind="mode", turn=ADVISOR, is_stepped=True
    ),
    Tunable("advisor_max_cpu", 70, "CPU that the advisor lets ksmd use", "%", "truncated", high=U64),
    Tunable("advisor_min_pages_to_scan", 500, "pages_to_scan that the advisor starts with", "pages", high=U64),
    Tunable("advisor_max_pages_to_scan", 30000, "pages_to_scan that the advisor never exceeds", "pages", high=U64),
    Tunable("advisor_target_scan_time", 200, "seconds that a full scan shall take", "s", low=1, high=U64),
)
TUNABLES: dict[str, Tunable] = {t.name: t for t in _TUNABLES}


def turn_of(name: str) -> int:
    """When a tunable is written, of several; one that a later kernel has, at any time."""
    return TUNABLES[name].turn if name in TUNABLES else ANY_TIME


def in_turn(names: Iterable[str]) -> list[str]:
    """Tunables in the order in which a kernel takes them; those of one turn stay as they are."""
    return sorted(names, key=turn_of)


def _start(tunable: Tunable) -> str:
    return as_written(tunable.show(tunable.default if tunable.start is None else tunable.start))


# What a script starts with, as text, in the order to write it.
START: dict[str, str] = {name: _start(TUNABLES[name]) for name in in_turn(TUNABLES)}

_COUNTERS = (
    Counter("pages_shared", "KSM pages in use"),
    Counter("pages_sharing", "further pages that share them: what is saved"),
    Counter("pages_unshared", "pages that are unique, but checked again and again"),
    Counter("pages_volatile", "pages that change too fast to be looked for"),
    Counter("ksm_zero_pages", "pages that KSM replaced by the zero page"),
    Counter("stable_node_chains", "KSM pages that have reached max_page_sharing, each with its copies", "chains"),
    Counter("stable_node_dups", "copies in those chains", "nodes"),
    Counter("general_profit", "saved memory less what KSM's records of it take", "bytes"),
    Counter("full_scans", "times that all mergeable memory has been scanned", "scans"),
    Counter("pages_scanned", "pages scanned since the start", is_lasting=True),
    Counter("pages_skipped", "pages skipped by smart scan since the start", is_lasting=True),
)
COUNTERS: dict[str, Counter] = {c.name: c for c in _COUNTERS}
LASTING = tuple(counter.name for counter in _COUNTERS if counter.is_lasting)

_PROCESS_COUNTERS = (
    Counter("ksm_rmap_items", "records that KSM keeps of this process's pages", "records"),
    Counter("ksm_zero_pages", "pages of this process that KSM replaced by the zero page"),
    Counter("ksm_merging_pages", "pages of this process that are merged"),
    Counter("ksm_process_profit", "saved memory less what KSM's records take", "bytes"),
)
PROCESS_COUNTERS: dict[str, Counter] = {c.name: c for c in _PROCESS_COUNTERS}

RMAP_ITEM_BYTES = 64  # sizeof(struct ksm_rmap_item) on 64-bit Linux: what general_profit charges for a page
