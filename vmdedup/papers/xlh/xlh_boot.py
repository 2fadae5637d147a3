"""XLH against KSM while guests boot one after another. Miller et al., XLH, USENIX ATC 2013, section 5."""

from __future__ import annotations

from vmdedup.papers.bench.base import POSSIBLE, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import Data, column, generated, mib
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.xlh.hints import found, hinted, pages_of
from vmdedup.result.published import Published

_PAPERS_PAGES = 25 * 512 * 256
_PAPERS_SECONDS, _PAPERS_DELAY = 530, 10
_PAPERS_STACK = 40_960


def boots(bench: Bench, published: Published) -> Finding:
    """Both runs; times and the stack are as much smaller than the paper's as memory is."""
    guests = 8 if bench.quick else 25
    group: Data = {
        "count": guests,
        "memory": "16MiB",
        "workload": "idle",
        "boot": {"read_mib_s": 20.0},
        "disk": generated(64),
        "kernel_mib": 2,
        "start": "one_after_another",
    }
    scale = pages_of([{**group, "count": 25}]) / _PAPERS_PAGES
    group["delay"] = f"{int(1000 * scale * _PAPERS_DELAY)}ms"
    seconds = round(scale * _PAPERS_SECONDS * guests / 25)
    stack = int(scale * _PAPERS_STACK)
    ksm, xlh = (hinted(bench, seconds, [group], name, stack=stack) for name in ("KSM", "XLH RO"))
    share = 100 * found(ksm) / max(1.0, found(xlh))
    claim = "KSM merges less"
    rows = [Row("KSM's merges of XLH's", "%", published.levels["merged_percent"], share, claim, share < 100)]
    names = {"KSM": ksm, "XLH": xlh}
    curves = [Curve(name, column(run, "time_s"), mib(column(run, "saved_pages"))) for name, run in names.items()]
    curves.append(Curve("XLH", column(xlh, "time_s"), mib(column(xlh, "possible_pages")), kind=POSSIBLE))
    merged = f"KSM merged {found(ksm):,.0f} pages, XLH {found(xlh):,.0f}"
    note = f"{guests} guests, {group['delay']} apart, {seconds} s: {merged}."
    return Finding(rows, note, ("time, s", "saved, MiB"), curves)


EXPERIMENTS = (
    Experiment(
        "xlh-boot",
        "XLH and KSM: guests that boot one after another",
        "xlh_boot",
        "25 guests of 16 MiB in place of 25 of 512, 5,000 pages a second as there; all times, and the stack of hints, "
        "are as much shorter as memory is smaller, a thirty-second: 0.3 s from one boot to the next for 10, 17 s for "
        "530. So a full scan of all guests takes as large a part of the run as in the paper.",
        boots,
    ),
)
