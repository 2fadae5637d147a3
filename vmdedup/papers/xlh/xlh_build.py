"""XLH against KSM on guests that build, with duplicates as short-lived as the paper's. Miller et al., ATC 2013."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vmdedup.papers.bench.base import PAPER, POSSIBLE, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, generated, last, mib, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.xlh.hints import (
    PAPERS_SCAN,
    WAKE_UPS,
    found,
    full_scan,
    hinted,
    pages_of,
    percent_at,
    visits,
    visits_row,
    wait,
)
from vmdedup.result.published import Level, Published
from vmdedup.result.run import Result

SECONDS: Final = 42
ENOUGH: Final = 75 / 1024  # of memory that KSM has saved where the paper says how much more XLH has
# Sources of 143 MiB, and object files that push them out of the page cache; one guest is a little behind the other.
BUILDERS: Final[list[Data]] = [
    {
        "count": 2,
        "memory": "32MiB",
        "workload": "compile",
        "parameters": {"starts_s": 10.0, "life_ms": 150.0, "headers": 12, "object_pages": 36, "heap_share": 0.04},
        "boot": {"processes": 8, "heap_share": 0.05},
        "heap": {"common": 0.05},
        "disk": generated(1024),
        "kernel_mib": 2,
        "start": "one_after_another",
        "delay": "1s",
    }
]
_OBSERVER = Path(__file__).with_name("lifetimes.py")
Runs = dict[tuple[str, int], Result]


def build(bench: Bench, published: Published) -> Finding:
    """All runs and their ratios."""
    wake_ups, seconds = (WAKE_UPS[:1], 20) if bench.quick else (WAKE_UPS, SECONDS)
    runs = {(name, ms): hinted(bench, seconds, BUILDERS, name, ms) for ms in wake_ups for name in ("KSM", "XLH RO")}
    if not bench.quick:
        runs["XLH HT", 20] = hinted(bench, SECONDS, BUILDERS, "XLH HT")
    lives = [] if bench.quick else [_lives(bench, published)]
    levels = published.levels
    rows = lives + _ratios(runs, levels) + _levels(runs, levels) + _costs(runs, levels)
    return Finding(rows, _note(runs), ("time, s", "saved, MiB"), _curves(runs, levels))


def _curves(runs: Runs, levels: Mapping[str, Level]) -> list[Curve]:
    """A panel for each wake-up, with the paper's levels at its moments."""
    curves = []
    for (name, ms), run in runs.items():
        panel = f"a wake-up every {ms} ms"
        curves.append(Curve(name, column(run, "time_s"), mib(column(run, "saved_pages")), panel))
        if f"{name[:3].lower()}_{ms}ms_percent" in levels and name != "XLH HT":
            level = levels[f"{name[:3].lower()}_{ms}ms_percent"].value / 100 * pages_of(BUILDERS) / PAGES_PER_MIB
            when = levels[f"read_{ms}ms_s"].value * full_scan(BUILDERS) / PAPERS_SCAN
            curves.append(Curve(name, [when], [level], panel, PAPER))
    ksm = runs["KSM", 20]
    possible = mib(column(ksm, "possible_pages"))
    return [*curves, Curve("KSM", column(ksm, "time_s"), possible, "a wake-up every 20 ms", POSSIBLE)]


def _lives(bench: Bench, published: Published) -> Row:
    """How long equal pages stay so, in full scans."""
    scan = full_scan(BUILDERS)
    short, long = (int(1000 * scan * published.levels[f"lives_{end}_s"].value / PAPERS_SCAN) for end in ("from", "to"))
    observer = {"name": str(_OBSERVER), "tunables": {"short": short, "long": long, "until": 1000 * SECONDS - long}}
    run = bench.run(scenario("lifetimes", SECONDS, observer, BUILDERS))
    counted = {name: last(run, f"lives_{name}") for name in ("short", "between", "long")}
    share = 100 * counted["between"] / max(1.0, sum(counted.values()))
    most = "most live 0.7 to 7 full scans", share > 50
    name = f"equal pages that live {scan * 30 / 44:.1f} to {scan * 300 / 44:.1f} s"
    return Row(name, "%", published.levels["lives_percent"], share, *most, put_in=True)


def _ratios(runs: Runs, levels: Mapping[str, Level]) -> list[Row]:
    """At 20 ms: XLH beside KSM."""
    ksm, xlh = runs["KSM", 20], runs["XLH RO", 20]
    saved, most = _mean(xlh) / max(1.0, _mean(ksm)), _most(xlh, ksm)
    more = found(xlh) / max(1.0, found(ksm))
    earlier = (wait(ksm) - wait(xlh)) / full_scan(BUILDERS)
    rows = [
        Row("saved at most, XLH to KSM", "×", levels["most_saved_ratio"], most, "XLH saves more", most > 1),
        Row("saved on average, XLH to KSM", "×", None, saved, "XLH saves more", saved > 1),
        Row("sharing found, XLH to KSM", "×", levels["found_ratio"], more, "XLH finds more", more > 1),
        Row("found earlier", "full scans", levels["earlier_scans"], earlier, "XLH is sooner", earlier > 0),
    ]
    fewer = visits(ksm) > visits(xlh)
    for name, run in (("ksm", ksm), ("xlh", xlh)):
        rows.append(visits_row(f"visits a sharing, {name.upper()}", levels[f"visits_{name}"], run, fewer))
    return rows


def _levels(runs: Runs, levels: Mapping[str, Level]) -> list[Row]:
    """Saved memory at the paper's moments, by wake-up."""
    scan = full_scan(BUILDERS) / PAPERS_SCAN
    rows = []
    possible = percent_at(runs["KSM", 20], "possible_pages", 300 * scan, BUILDERS)
    rows.append(Row("opportunity", "% of memory", levels["opportunity_percent"], possible))
    for ms in sorted({ms for _, ms in runs}):
        when = levels[f"read_{ms}ms_s"].value * scan
        ours = {name: percent_at(runs[name, ms], "saved_pages", when, BUILDERS) for name in ("KSM", "XLH RO")}
        more = ours["XLH RO"] > ours["KSM"]
        for name, key in (("KSM", "ksm"), ("XLH RO", "xlh")):
            label, paper = f"{name}, {ms} ms, after {when:.1f} s", levels[f"{key}_{ms}ms_percent"]
            rows.append(Row(label, "% of memory", paper, ours[name], "XLH saves more", more))
    if ("XLH RO", 100) in runs:
        when = levels["read_100ms_s"].value * scan
        slow, fast = (percent_at(runs[key], "saved_pages", when, BUILDERS) for key in (("XLH RO", 100), ("KSM", 20)))
        label, claim = f"XLH at 100 ms to KSM at 20, after {when:.1f} s", "XLH saves more at a fifth of the rate"
        rows.append(Row(label, "×", levels["slow_ratio"], slow / max(0.1, fast), claim, slow > fast))
    return rows


def _costs(runs: Runs, levels: Mapping[str, Level]) -> list[Row]:
    """CPU time by our price list, XLH to KSM."""
    rows = []
    for name, ms in runs:
        if name != "KSM":
            ratio = last(runs[name, ms], "ksmd_cpu_s") / last(runs["KSM", ms], "ksmd_cpu_s")
            paper = levels[f"cpu_{name[4:].lower()}_{ms}ms"].value / levels[f"cpu_ksm_{ms}ms"].value
            label, about = f"CPU, {name} to KSM, {ms} ms", 0.75 < ratio < 1.25
            rows.append(Row(label, "×", Level(paper), ratio, "within a quarter of KSM's", about))
    return rows


def _note(runs: Runs) -> str:
    ksm, xlh = runs["KSM", 20], runs["XLH RO", 20]
    by_hint = 100 * last(xlh, "found_by_hint") / max(1.0, found(xlh))
    hints = 100 * last(xlh, "pages_hinted") / last(xlh, "pages_scanned")
    each = last(xlh, "pages_hinted") / max(1.0, last(xlh, "found_by_hint"))
    merges = (found(xlh) - found(ksm)) * 6.2e-6
    text = (
        f"At 20 ms KSM merged {found(ksm):,.0f} pages, XLH {found(xlh):,.0f}, {by_hint:.0f} % of them by hints, for "
        f"which it spent {hints:.0f} % of its visits, {each:.1f} for each. From the hint to the merge {wait(ksm):.1f} "
        f"and {wait(xlh):.1f} s on average (the paper: medians); KSM merges only what lives that long, so its mean is "
        f"not longer. A full scan of all memory takes {full_scan(BUILDERS):.1f} s. CPU by the price list: XLH takes "
        f"{last(xlh, 'ksmd_cpu_s') - last(ksm, 'ksmd_cpu_s'):+.2f} s at 20 ms, its further merges {merges:.2f}."
    )
    if ("XLH RO", 100) in runs:
        slow = _mean(runs["XLH RO", 100]) / max(1.0, _mean(ksm))
        text += f" On average over the whole run XLH at 100 ms saves {slow:.2f} times what KSM does at 20."
    if ("XLH HT", 20) in runs:
        text += f" The hash table saves {_mean(runs['XLH HT', 20]) / max(1.0, _mean(ksm)):.2f} times what KSM does."
    return text


def _most(xlh: Result, ksm: Result) -> float:
    """The largest ratio of what is saved over time, once KSM has as much of memory as in the paper's abstract."""
    pairs = zip(column(xlh, "saved_pages"), column(ksm, "saved_pages"), strict=True)
    return max((more / less for more, less in pairs if less >= ENOUGH * pages_of(BUILDERS)), default=0.0)


def _mean(result: Result) -> float:
    saved = column(result, "saved_pages")
    return sum(saved) / len(saved)


EXPERIMENTS = (
    Experiment(
        "xlh-build",
        "XLH and KSM: two guests that build",
        "xlh_build",
        "Two guests of 32 MiB that compile sources on one generated disk, one a second behind the other, in place "
        "of two of 512 MiB that build a kernel; 5,000 pages a second at 20 ms, as in the paper. Memory is a "
        "sixteenth, a full scan a thirteenth (the paper's guests have not used all theirs), and so is time: 42 s "
        "stand for 560. What a compiler reads and writes is chosen so that equal pages live as many full scans as "
        "the paper's do, which the first row measures: sources and objects are several times the guest's memory, "
        "and push each other out of its page cache. Hints come from the guests' own reads and writes. KSM is "
        "6.18's without smart scan, which 3.4 had not. Less fair: the paper's guests have run, and been scanned, "
        "before they build; ours boot.",
        build,
    ),
)
