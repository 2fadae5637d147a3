"""Every figure that is laid side by side: its name, its unit, where it comes from, and how it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vmdedup.report.compare.figures import Figures, Value
from vmdedup.result.summary import time_to

COUNTERS: Final = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "ksm_zero_pages",
    "stable_node_chains",
    "stable_node_dups",
    "general_profit",
    "full_scans",
    "pages_scanned",
    "pages_skipped",
)
SIZES: Final = ("allocated", "used", "saved", "zero", "within_guest", "between_guests", "possible")
_UNITS = {"general_profit": "bytes", "full_scans": "scans", "stable_node_chains": "chains", "stable_node_dups": "nodes"}


@dataclass(frozen=True)
class Measure:
    """A figure with a value in each run. group: savings, memory, counters, times or cost."""

    name: str
    group: str
    unit: str
    read: Callable[[Figures], Value | None]


@dataclass(frozen=True)
class Compared:
    """A measure's values, one a run; differences and per cent against the first, None where one is not known."""

    measure: Measure
    values: tuple[Value | None, ...]

    @property
    def differences(self) -> tuple[Value | None, ...]:
        """What each run has more than the first."""
        first = self.values[0]
        return tuple(None if first is None or value is None else value - first for value in self.values)

    @property
    def percents(self) -> tuple[float | None, ...]:
        """The same in per cent of the first; None where the first is 0 and the other is not."""
        return tuple(percent(self.values[0], value) for value in self.values)

    @property
    def is_known(self) -> bool:
        """Whether any run has a value."""
        return any(value is not None for value in self.values)


def percent(first: Value | None, value: Value | None) -> float | None:
    """How far a value is from the first, in per cent of the first's size, or None if that cannot be said."""
    if first is None or value is None:
        return None
    if first == 0:
        return 0.0 if value == 0 else None
    return 100.0 * (value - first) / abs(first)


def measures(percents: Sequence[int]) -> Iterator[Measure]:
    """All of them, in the order in which they are shown. percents: of what was possible, to be timed."""
    for size in ("saved", "zero", "within_guest", "between_guests", "possible", "allocated", "used"):
        yield Measure(f"{size}_pages", "savings", "pages", _end(f"{size}_pages"))
    yield Measure("split_zero_pages", "savings", "pages", _split)
    yield Measure("freed_pages", "savings", "pages", _freed)
    yield Measure("guest_memory_pages", "memory", "pages", _total("memory_pages"))
    yield Measure("visible_pages", "memory", "pages", visible_pages)
    for name in COUNTERS:
        yield Measure(name, "counters", _UNITS.get(name, "pages"), _end(name))
    yield Measure("cow_breaks", "counters", "breaks", _end("cow_breaks"))
    for share in percents:
        yield Measure(f"seconds_to_{share}_percent", "times", "s", _time_to(share))
    yield Measure("ksmd_cpu_s", "cost", "s", _end("ksmd_cpu_s"))
    yield Measure("scanned_per_saved_page", "cost", "pages", _scanned_per_saved)


def compare_ends(runs: Sequence[Figures], percents: Sequence[int]) -> list[Compared]:
    """Every measure that at least one run has a value of."""
    compared = (Compared(measure, tuple(map(measure.read, runs))) for measure in measures(percents))
    return [each for each in compared if each.is_known]


def visible_pages(figures: Figures) -> Value | None:
    """Pages that KSM keeps a record of: present in mergeable memory, and met by ksmd so far.

    Other policies keep none. Source: ksm_rmap_items of /proc/PID/ksm_stat, summed over all guests.
    """
    total = figures.total("ksm_rmap_items")
    return total if total or figures.run.get("policy", "ksm") == "ksm" else None


def _end(name: str) -> Callable[[Figures], Value | None]:
    return lambda figures: figures.end(name)


def _total(column: str) -> Callable[[Figures], Value | None]:
    return lambda figures: figures.total(column)


def _split(figures: Figures) -> Value | None:
    """As the series has it, which a run that was killed has too; runs of before it had it: as the guests do."""
    last = figures.end("split_zero_pages")
    return figures.total("split_zero_pages") if last is None else last


def _freed(figures: Figures) -> Value | None:
    """Saved, and freed by splits of huge pages: None where nobody has seen any, so that saved says it all."""
    split, saved = _split(figures), figures.end("saved_pages")
    return None if split is None or saved is None else saved + split


def _time_to(share: int) -> Callable[[Figures], Value | None]:
    def read(figures: Figures) -> Value | None:
        columns = ("possible_pages", "saved_pages")
        known = all(row.get(column) is not None for row in figures.rows for column in columns)
        return time_to(figures.rows, share) if figures.rows and known else None

    return read


def _scanned_per_saved(figures: Figures) -> Value | None:
    scanned, saved = figures.end("pages_scanned"), figures.end("saved_pages")
    return None if scanned is None or not saved or saved < 0 else scanned / saved
