"""How long what Difference Engine has patched or compressed is left alone by its guest. OSDI 2008, figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import Data, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.lives import Lives, estimated_within, share_within
from vmdedup.papers.difference_engine.loads import ALIKE_SCALE, BATCH, UNLIKE_SCALE, alike, engine, unlike
from vmdedup.papers.difference_engine.stage import TICK_MS, Stage
from vmdedup.result.published import Published

_TIMES: Final = {"100ms": 100, "1s": 1_000, "10s": 10_000, "100s": 100_000, "1000s": 1_000_000}
# What the paper says of its curve at these times: between which percentages ours has to lie to have it, too.
_CLAIMS: Final = {
    "100ms": ("next to nothing is used within 100 ms", 0.0, 2.0),
    "1s": ("under a tenth is used within 1 s", 0.0, 10.0),
    "10s": ("most are left alone for 10 s", 0.0, 50.0),
    "100s": ("about half are left alone for 100 s", 35.0, 65.0),
}
_STEPS: Final = 4  # points of a curve for each power of ten


def clock_quality(bench: Bench, published: Published) -> Finding:
    """Shares used again within some times, on guests that are alike and on others."""
    rows: list[Row] = []
    curves: list[Curve] = []
    notes = [f"Times are exact to a tick of {TICK_MS} ms."]
    seconds = 40 if bench.quick else 900
    times = {name: time for name, time in _TIMES.items() if time < 1000 * seconds}
    points = [10 ** (2 + step / _STEPS) for step in range(4 * _STEPS) if 10 ** (2 + step / _STEPS) <= 1000 * seconds]
    one, other = (1.0, 1.0) if bench.quick else (ALIKE_SCALE, UNLIKE_SCALE)
    guests = {
        "homogeneous": (alike(2 if bench.quick else 4, "compile", slow=one), one),
        "mixed": (unlike(slow=other), other),
    }
    for kind, (groups, scale) in guests.items():
        data = scenario(f"clock-{kind}", seconds, engine(scale), groups, pages=round(BATCH * scale))
        lives, now_ms = _watched(bench, data, seconds)
        used, unused = lives.used(), lives.unused(now_ms)
        for name, ours in zip(times, share_within(used, list(times.values())), strict=True):
            claim, low, high = _CLAIMS[name]
            paper = published.levels[f"{kind}_within_{name}_percent"]
            rows.append(Row(f"{kind}: within {name}", "%", paper, ours, claim, low <= ours <= high))
        last = list(times)[-1]
        all_stored = estimated_within(used, unused, [times[last]])[0]
        rows.append(Row(f"{kind}: within {last}, of all stored", "%", None, all_stored))
        curves += [
            _curve(kind, "", points, share_within(used, points)),
            _curve(kind, PAPER, list(_TIMES.values()), _published(published, kind)),
        ]
        notes.append(f"{kind.capitalize()}: {len(used):,} were used again, {len(unused):,} were not until the end.")
    notes.append(
        f"Runs of {seconds} s of virtual time: what is used again later than that is not seen, so the shares are too "
        "high at long times, and there is no figure for 1,000 s. The rows without a figure of the paper's count in, "
        "by Kaplan and Meier, pages that were not used again; the paper does not say what it did with those."
    )
    return Finding(rows, " ".join(notes), ("time to next use, s", "used again by then, %"), curves, log="x")


def _watched(bench: Bench, data: Data, seconds: int) -> tuple[Lives, int]:
    """What was observed in a run, and how long it was in milliseconds."""
    with Stage(bench.seeded(data)) as stage:
        lives = Lives(stage.host)
        while stage.now_ms < 1000 * seconds:
            if stage.now_ms % 1000 == 0:
                bench.say(f"{data['name']}, {stage.now_ms // 1000} s")
            stage.live()
            lives.end(stage.now_ms)
            stage.scan()
            lives.begin(stage.now_ms)
        return lives, stage.now_ms


def _curve(panel: str, kind: str, times_ms: Sequence[float], percent: Sequence[float]) -> Curve:
    return Curve("used again", [time / 1000 for time in times_ms], percent, panel, kind)


def _published(published: Published, kind: str) -> list[float]:
    return [published.levels[f"{kind}_within_{name}_percent"].value for name in _TIMES]


EXPERIMENTS = (
    Experiment(
        "de-clock",
        "Difference Engine: how long packed pages are left alone",
        "difference_engine_clock",
        "Four alike guests that compile, in place of the homogeneous ones of 256 MB, and a web server with database, a "
        "builder and a file server on three disks in place of MIXED-1 with 512 MB each. Ours have 32 MiB, do as much "
        "less a second, and are scanned as much more slowly than at the paper's 10,000 pages a second, so that a pass "
        "takes as long as there and a page rests as long (not with --quick). Fair: the clock is the paper's, and an "
        "access is an access, whoever counts it. Less so: how soon a page is used again is a matter of the workload's "
        "laws (a web server of ours uses a page either all the time or never, and so is no stand-in here), and our "
        "systems have no daemons that look through memory now and then.",
        clock_quality,
    ),
)
