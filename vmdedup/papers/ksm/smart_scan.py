"""Smart scan: how many pages fewer KSM looks at in a full scan, and what it costs in merging. Linux 6.7."""

from __future__ import annotations

from collections.abc import Mapping

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import column, last
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.ksm.workers import COUNT, MIB, run
from vmdedup.result.published import Level, Published
from vmdedup.result.run import Result
from vmdedup.units import MIB as MIB_BYTES
from vmdedup.units import PAGE_SIZE

_RECORDS = ("pages_sharing", "pages_shared", "pages_unshared", "pages_volatile")


def smart_scan(bench: Bench, published: Published) -> Finding:
    """Two runs, smart_scan 0 and 1: what memory is like, and the pages that each looked at for a full scan."""
    seconds, guests = (12, 8) if bench.quick else (20, COUNT)
    without, smart = (run(bench, seconds, guests, {"smart_scan": switch}) for switch in (0, 1))
    levels = published.levels
    fewer = 100 * (1 - _pages_a_scan(smart) / _pages_a_scan(without))
    merged = sum(column(smart, "saved_pages")) / max(1.0, sum(column(without, "saved_pages")))
    course = _course(without, smart)
    most = max(course[1], default=0.0)
    mail, blog = levels["fewer_pages_percent"], levels["fewer_pages_blog_percent"]
    rows = [
        Row("fewer pages a full scan", "%", mail, fewer, "fewer with it", fewer > 0),
        Row("the same, at most, in a later blog", "%", blog, most, "fewer with it", most > 0),
        Row("saved on average, with to without", "×", None, merged, "more is merged", merged > 1),
        *_memory(without, guests, levels),
    ]
    note = f"{guests} guests. {_note(without, smart, course, mail.value)}"
    curves = [Curve("fewer pages", *course)]
    curves += [
        Curve(name, (), [share.value], kind=PAPER) for name, share in (("patches' mail", mail), ("later blog", blog))
    ]
    return Finding(rows, note, ("full scans with it", "fewer pages so far, %"), curves)


def _memory(without: Result, guests: int, levels: Mapping[str, Level]) -> list[Row]:
    """What KSM finds without smart scan, beside what Meta published: after which the guests were made."""
    counts = {name: last(without, name) for name in _RECORDS}
    records = sum(counts.values())
    each = counts["pages_sharing"] / max(1.0, counts["pages_shared"])
    profit, records_profit = 100 * last(without, "general_profit"), levels["profit_records_percent"]
    rows = [
        Row(f"KSM's records: {name}", "%", levels[f"{name}_percent"], 100 * count / records, put_in=True)
        for name, count in counts.items()
    ]
    return [
        *rows,
        Row("pages that share one", "pages", levels["sharers"], each, put_in=True),
        Row("profit, of what it has records of", "%", records_profit, profit / records / PAGE_SIZE, put_in=True),
        Row("profit, of all memory", "%", levels["profit_percent"], profit / (guests * MIB * MIB_BYTES)),
    ]


def _pages_a_scan(result: Result) -> float:
    return last(result, "pages_scanned") / max(1.0, last(result, "full_scans"))


def _course(without: Result, smart: Result) -> tuple[list[float], list[float]]:
    """After so many full scans, how many pages fewer each took on average until then, per cent."""
    scans, pages = column(smart, "full_scans"), column(smart, "pages_scanned")
    ended = [i for i in range(1, len(scans)) if scans[i] > scans[i - 1]]
    whole = _pages_a_scan(without)
    return [scans[i] for i in ended], [100 * (1 - pages[i] / scans[i] / whole) for i in ended]


def _note(without: Result, smart: Result, course: tuple[list[float], list[float]], mail: float) -> str:
    scans = f"{last(without, 'full_scans'):g} without and {last(smart, 'full_scans'):g} with"
    reached = next((f"{scan:g}" for scan, share in zip(*course, strict=True) if share >= mail), "none")
    return (
        f"Full scans: {scans}. The rule skips a page for longer the more full scans it has seen, up to eight, so the "
        "share grows with the number of full scans that memory lives. Here it lives through all of them, and the "
        f"published share is reached after {reached}. The pages of a worker that replaces another have seen none; how "
        "often Meta's were replaced is not published. Profit: Meta's records are of 75 GiB in 64 GB, ours of less than "
        "all memory."
    )


EXPERIMENTS = (
    Experiment(
        "smart-scan",
        "Smart scan: pages that are skipped",
        "smart_scan",
        "36 guests of 6 MiB that are alike, of each of which 55 % is a heap that is stored to all over several "
        "times in a full scan, in place of 36 worker processes of a web server in 64 GB. Fair as to the "
        "mechanism, which is the kernel's own rule, and as to memory: how much of it merges, is unique, or "
        "changes is near to what was published of these workers, as the rows say. Less so: all live as long as "
        "the run.",
        smart_scan,
    ),
)
