"""The steps of a KSM script, one frozen class a kind; ranges are lo..hi with both ends included.

`line` is the line number in the script, counted from 1; names and ranges have been checked by the parser.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.replay.content import Content


@dataclass(frozen=True, slots=True)
class Vm:
    """A new process with one private anonymous mergeable mapping of `pages` pages, nothing touched."""

    line: int
    name: str
    pages: int


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
)
