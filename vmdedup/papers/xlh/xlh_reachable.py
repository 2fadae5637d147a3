"""How much of the unstable tree a search can still find when a full scan ends. Miller et al., ATC 2013, Table 4."""

from __future__ import annotations

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import column, last
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.xlh.hints import hinted
from vmdedup.papers.xlh.xlh_build import BUILDERS
from vmdedup.result.published import Published
from vmdedup.result.run import Result


def reachable(bench: Bench, published: Published) -> Finding:
    """KSM, and XLH with hinted pages writable and read-only."""
    seconds = 16 if bench.quick else 42
    runs = {name: hinted(bench, seconds, BUILDERS, name, reach=True) for name in ("KSM", "XLH RW", "XLH RO")}
    series = {name: _shares(run) for name, run in runs.items()}
    ours = {name: sum(shares) / max(1, len(shares)) for name, (_, shares) in series.items()}
    levels = published.levels
    ksm = levels["ksm_percent"]
    low, high = ksm.value - ksm.error, ksm.value + ksm.error
    most = ours["XLH RO"] > max(ours["KSM"], ours["XLH RW"])
    decays, worse = ours["KSM"] < 90, ours["XLH RW"] < ours["KSM"]
    rows = [
        Row(f"KSM ({low:g} to {high:g})", "%", ksm, ours["KSM"], "much is lost", decays),
        Row("XLH RW", "%", levels["rw_percent"], ours["XLH RW"], "less than KSM", worse),
        Row("XLH RO", "%", levels["ro_percent"], ours["XLH RO"], "more than both others", most),
    ]
    curves = [Curve(name, times, shares) for name, (times, shares) in series.items()]
    papers = {"KSM": (low, high), "XLH RW": (levels["rw_percent"].value,), "XLH RO": (levels["ro_percent"].value,)}
    curves += [Curve(name, (), [level], kind=PAPER) for name, found in papers.items() for level in found]
    return Finding(rows, _note(runs), ("time, s", "reachable, %"), curves)


def _shares(run: Result) -> tuple[list[float], list[float]]:
    """When full scans ended, to the second, and what could be found then, per cent of what waited."""
    waiting, found = column(run, "waiting_pages"), column(run, "waiting_reachable")
    scans, times = column(run, "full_scans"), column(run, "time_s")
    ended = [i for i in range(1, len(scans)) if scans[i] > scans[i - 1] and waiting[i] > 0]
    return [times[i] for i in ended], [100 * found[i] / waiting[i] for i in ended]


def _note(runs: dict[str, Result]) -> str:
    run = runs["XLH RO"]
    changed = 100 * last(run, "pages_changed") / max(1.0, last(run, "pages_protected"))
    return (
        "Means over the full scans. Why our writable tree keeps more: a guest here writes a page of a file once and "
        "whole, so that a hinted page stays as it is until its frame is used for another. Of the pages that XLH RO "
        f"protected when they were inserted, {changed:.0f} % were stored to while they waited."
    )


EXPERIMENTS = (
    Experiment(
        "xlh-reachable",
        "XLH and KSM: what of the unstable tree can be found",
        "xlh_reachable",
        "The two guests of xlh-build in place of the paper's. A page counts as reachable if a search for what it holds "
        "now ends at it or at one equal to it, measured when each full scan ends.",
        reachable,
    ),
)
