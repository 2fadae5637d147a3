"""What stands where in a recording: guests, steps, and the records of each, found when it is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vmdedup.dump.base import Region
from vmdedup.errors import DumpError
from vmdedup.recording.layout import (
    CHANGES,
    COUNT,
    DIGEST_BYTES,
    GUEST,
    GUEST_COUNT,
    HEAD,
    MOST_BATCH,
    MOST_CREATED,
    MOST_NS,
    MOST_PACKED,
    PAGES,
    REGIONS,
    STEP,
    VERSION,
)
from vmdedup.recording.log import Log, Record
from vmdedup.recording.places import Places
from vmdedup.recording.snapshot import Snapshot
from vmdedup.units import PAGE_SIZE

_MOST_LETTERS = 40  # of a name in messages


@dataclass(frozen=True)
class RecordedGuest:
    """A guest. source: what it was read from. places: of all pages that it had at any step."""

    name: str
    source: str
    places: Places

    @property
    def label(self) -> str:
        """Its name as messages have it: the name in the file may be of any length."""
        return self.name if len(self.name) <= _MOST_LETTERS else f"{self.name[:_MOST_LETTERS]}…"

    @property
    def pages(self) -> int:
        """Pages of all its regions, present or not."""
        return self.places.pages


@dataclass(frozen=True)
class Step:
    """A step. time_ns: since the first one. guests: what was taken of each, by number; one may be missing."""

    time_ns: int
    guests: dict[int, Snapshot]


@dataclass
class _Unfinished:
    """What was read since the last whole step."""

    guests: list[tuple[str, str]] = field(default_factory=list)
    regions: list[tuple[int, list[Region], Record]] = field(default_factory=list)
    batches: list[tuple[int, Record]] = field(default_factory=list)
    changes: list[tuple[int, Record]] = field(default_factory=list)


class Index:
    """guests, steps: as Recording has them. distinct: different page contents. created: seconds since 1970.

    firsts, batches: the first content of each batch, and its record. changes: by step, by guest, the records.
    whole: the byte after the last whole step. Raises DumpError.
    """

    def __init__(self, log: Log) -> None:
        self.guests: list[RecordedGuest] = []
        self.steps: list[Step] = []
        self.distinct = 0
        self.firsts: list[int] = []
        self.batches: list[Record] = []
        self.changes: list[dict[int, list[Record]]] = []
        self.whole = 0
        self._log = log
        self._regions_of: list[list[Region]] = []  # of each guest, in the order of their places
        self._read()
        for guest, regions in zip(self.guests, self._regions_of, strict=True):
            guest.places.take(regions, log.path)

    def _read(self) -> None:
        records = self._log.records()
        first = next(records, None)
        if first is None or first.kind != HEAD:
            raise DumpError(f"{self._log.path} has no whole head; it was cut off, record again")
        self._read_head(first)
        unfinished = _Unfinished()
        for record in records:
            self._gather(record, unfinished)
            if record.kind == STEP:
                self._finish(record, unfinished)
                unfinished, self.whole = _Unfinished(), record.end
        if not self.steps:
            raise DumpError(f"{self._log.path} has no whole step; it was cut off, record again")

    def _read_head(self, record: Record) -> None:
        head = self._log.document(record)
        if head.get("version") != VERSION or head.get("page_size") != PAGE_SIZE:
            version, size = (str(head.get(key))[:20] for key in ("version", "page_size"))
            told = f"version {version} with pages of {size} bytes"
            raise DumpError(f"{self._log.path} has {told}; this program reads version {VERSION} of {PAGE_SIZE} bytes")
        created = self._value(record, head, "created", int, float)
        if not 0 <= created <= MOST_CREATED:  # as of NaN
            self._log.damaged(record, "its created cannot be")
        self.created = float(created)

    def _gather(self, record: Record, into: _Unfinished) -> None:
        if record.kind == GUEST:
            guest = self._log.document(record)
            into.guests.append((self._value(record, guest, "name", str), self._value(record, guest, "source", str)))
        elif record.kind == REGIONS:
            content = self._log.document(record)
            into.regions.append((self._value(record, content, "guest", int), self._regions(record, content), record))
        elif record.kind == PAGES:
            self._check_packed(record)
            (count,) = self._log.numbers(record, COUNT)
            if not 1 <= count <= MOST_BATCH or COUNT.size + count * DIGEST_BYTES > record.length:
                self._log.damaged(record, "so many pages cannot be")
            into.batches.append((count, record))
        elif record.kind == CHANGES:
            self._check_packed(record)
            into.changes.append((self._log.numbers(record, GUEST_COUNT)[0], record))

    def _check_packed(self, record: Record) -> None:
        if record.length > MOST_PACKED:
            self._log.damaged(record, "it is too long")

    def _value(self, record: Record, content: dict[str, Any], key: str, *kinds: type) -> Any:
        value = content.get(key)
        if isinstance(value, bool) or not isinstance(value, kinds):
            self._log.damaged(record, f"its {key} cannot be")
        return value

    def _regions(self, record: Record, content: dict[str, Any]) -> list[Region]:
        try:
            regions = [Region(name, first, pages) for name, first, pages in content["regions"]]
        except (KeyError, TypeError, ValueError):
            self._log.damaged(record, "its regions cannot be")
        if not all(_is_region(region) for region in regions):
            self._log.damaged(record, "its regions cannot be")
        return regions

    def _finish(self, record: Record, part: _Unfinished) -> None:
        """Take in what belongs to a whole step."""
        self.guests += [RecordedGuest(name, source, Places()) for name, source in part.guests]
        self._regions_of += [[] for _ in part.guests]
        for number, regions, where in part.regions:
            self._guest(where, number)
            self._regions_of[number] += regions
        for count, where in part.batches:
            self.firsts.append(self.distinct + 1)
            self.batches.append(where)
            self.distinct += count
        by_guest: dict[int, list[Record]] = {}
        for number, where in part.changes:
            self._guest(where, number)
            by_guest.setdefault(number, []).append(where)
        self.changes.append(by_guest)
        self.steps.append(self._step(record))

    def _guest(self, record: Record, number: int) -> RecordedGuest:
        if not 0 <= number < len(self.guests):
            self._log.damaged(record, f"there is no guest {str(number)[:20]}")
        return self.guests[number]

    def _step(self, record: Record) -> Step:
        content = self._log.document(record)
        time_ns = self._value(record, content, "time_ns", int)
        if time_ns < (self.steps[-1].time_ns if self.steps else 0):
            self._log.damaged(record, "time runs backwards")
        if time_ns > MOST_NS:
            self._log.damaged(record, "its time_ns cannot be")
        try:
            taken = {int(number): Snapshot.read(snapshot) for number, snapshot in content["guests"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            self._log.damaged(record, "its guests cannot be")
        for number in taken:
            self._guest(record, number)
        return Step(time_ns, taken)


def _is_region(region: Region) -> bool:
    """Whether what was read for a region can be one."""
    numbers = (region.first, region.pages)
    return isinstance(region.name, str) and all(type(number) is int and 0 <= number < 1 << 62 for number in numbers)
