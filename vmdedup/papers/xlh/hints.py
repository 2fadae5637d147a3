"""Runs of XLH and of plain KSM beside it, at the paper's wake-ups. Miller et al., XLH, USENIX ATC 2013, section 5."""

from __future__ import annotations

from typing import Final

from vmdedup.papers.bench.base import Bench
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Level
from vmdedup.result.run import Result

PAGES = 100  # a wake-up
WAKE_UPS: Final = (20, 100, 200)  # ms
PAPERS_SCAN: Final = 44.0  # seconds that a full scan takes at 20 ms
_PAPERS_SCAN_PAGES: Final = 220_000
_PAPERS_STACK: Final = {20: 40_960, 100: 8_192, 200: 4_096}
# What a hinted page waits in; none: KSM, step by step, but counted as XLH is.
VARIANTS: Final = {"KSM": None, "XLH RW": 0, "XLH RO": 1, "XLH HT": 2}


def rate(sleep: int) -> float:
    """Pages a second, as the paper counts them: a batch takes no time."""
    return 1000.0 * PAGES / sleep


def pages_of(groups: list[Data]) -> int:
    """Pages of all guests; memory is given in MiB."""
    return sum(int(group["count"]) * int(str(group["memory"]).removesuffix("MiB")) for group in groups) * PAGES_PER_MIB


def full_scan(groups: list[Data]) -> float:
    """Seconds in which plain KSM looks at all memory at 20 ms: what all times of the paper are compared by."""
    return pages_of(groups) / rate(WAKE_UPS[0])


def hinted(
    bench: Bench,
    seconds: int,
    groups: list[Data],
    variant: str,
    sleep: int = 20,
    reach: bool = False,
    stack: int = 0,
) -> Result:
    """One run. reach: measure what of the tree can be found.

    stack: hints that are kept; 0: as many as the paper keeps at that wake-up, by how much a full scan looks at.
    smart_scan is off: the kernel of the paper, Linux 3.4, had none.
    """
    kept = stack or max(64, _PAPERS_STACK[sleep] * pages_of(groups) // _PAPERS_SCAN_PAGES)
    tunables = {"hint_stack": kept, "measure_reachable": int(reach)}
    kind = VARIANTS[variant]
    tunables |= {"hint_runs": 0} if kind is None else {"variant": kind}
    data = scenario("hints", seconds, {"name": "xlh", "tunables": tunables}, groups, PAGES)
    data["ksm"] |= {"sleep_millisecs": sleep, "smart_scan": 0, "page_cost": "1us"}
    return bench.run(data)


def found(result: Result) -> float:
    """Pages merged so far: the sharing opportunities that were found."""
    return last(result, "found_by_hint") + last(result, "found_by_scan")


def visits(result: Result) -> float:
    """Pages visited for each that was merged."""
    return last(result, "pages_scanned") / max(1.0, found(result))


def visits_row(figure: str, paper: Level, result: Result, fewer: bool) -> Row:
    """visits() beside the range that the paper has. fewer: whether XLH's are fewer than KSM's."""
    low, high = paper.value - paper.error, paper.value + paper.error
    name = f"{figure} ({low:g} to {high:g})"
    return Row(name, "pages", paper, visits(result), "XLH visits fewer", fewer)


def wait(result: Result) -> float:
    """Seconds on average from the hint, which plain KSM ignores, to the merge: of pages hinted and merged."""
    return last(result, "found_hinted_wait_ms") / max(1.0, last(result, "found_hinted")) / 1000


def at(result: Result, name: str, seconds: float) -> float:
    """A column's value at a time, or at the end if that comes first."""
    pairs = zip(column(result, "time_s"), column(result, name), strict=True)
    return [value for time, value in pairs if time <= seconds][-1]


def percent_at(result: Result, name: str, seconds: float, groups: list[Data]) -> float:
    """A column of pages at a time, per cent of all memory."""
    return 100 * at(result, name, seconds) / pages_of(groups)
