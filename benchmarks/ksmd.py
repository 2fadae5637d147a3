"""The emulated ksmd against the host kernel's, on the same bytes, in one run.

    python -m benchmarks.ksmd --json
    python -m benchmarks.ksmd --pages 65536 --rounds 3 --only prefix
    python -m benchmarks.ksmd --huge-pages

Both are given the same pages in one process's mergeable memory and do full scans, each in one batch: the
first (only checksums are taken), the second (everything is merged) and two more (nothing is left to do; their
mean is `steady`). Emulator and kernel take turns; a figure is the median over the rounds, in pages a second
of ksmd's own CPU time; a ratio is emulator over kernel. The emulated ksmd runs in a process that maps the
host's memory for the first time, as ksmd does in a run. With --huge-pages both have the pages in huge pages, which are
split while pages merge. Needs root and an idle KSM.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.contents import CONTENTS, Pages
from vmdedup.host.layout import CTL_THP, HUGE
from vmdedup.host.memory import Host
from vmdedup.host.thp import THP_MADVISE
from vmdedup.host.workers import fork_server
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.prices.timing import KernelTimer

PHASES = ("first_pass", "merging", "steady")
SCANS = 4
KNOBS = {"smart_scan": "0", "use_zero_pages": "0", "max_page_sharing": "256"}
BLOCK = 16384
WAIT = 300.0  # seconds that the kernel's KSM may be in use by somebody else
Rates = dict[str, float]


def _rates(times: list[tuple[int, float]]) -> Rates:
    """Pages a second in each phase, from (pages, seconds) of the four scans."""
    first, merging, *steady = times
    return {
        "first_pass": first[0] / first[1],
        "merging": merging[0] / merging[1],
        "steady": sum(n for n, _ in steady) / sum(s for _, s in steady),
    }


def _serve(host: Host, mm: int, answers: Connection) -> None:
    """In a process of its own: time the emulated ksmd's full scans; send times and counters."""
    _warm_up()
    ksmd = Ksmd(host)
    for knob, value in {"run": "1", **KNOBS}.items():
        ksmd.set(knob, value)
    ksmd.enter(mm)
    times = []
    for _ in range(SCANS):
        start = time.thread_time()
        scanned = ksmd.full_scan()
        times.append((scanned, time.thread_time() - start))
    answers.send((times, ksmd.counters(), ksmd.metadata_bytes()))


def _warm_up() -> None:
    """Have every kernel that is timed compiled, or loaded from the cache."""
    host = Host.create(8)
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    memory = host.add(8)
    memory.write_pages(np.arange(8), np.zeros((8, host.page_size), np.uint8))
    ksmd.enter(memory.mm)
    for _ in range(SCANS):
        ksmd.full_scan()
    host.close()


def emulator(pages: Pages, huge: bool) -> tuple[Rates, dict[str, int], float]:
    """Rates, counters, and bytes of metadata a guest page."""
    host = Host.create(len(pages))
    memory = host.add(len(pages))
    if huge:
        host.arrays.ctl[CTL_THP] = THP_MADVISE
        memory.advise_huge(0, len(pages) - 1, HUGE)
    for first in range(0, len(pages), BLOCK):
        block = pages[first : first + BLOCK]
        memory.write_pages(np.arange(first, first + len(block)), block)
    context = fork_server()
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(host, memory.mm, theirs))
    process.start()
    times, counters, metadata = mine.recv()
    process.join()
    host.check()
    host.close()
    page_tables = 2 * host.arrays.pte.itemsize
    return _rates(times), counters, page_tables + sum(metadata.values()) / len(pages)


def kernel(pages: Pages, huge: bool) -> tuple[Rates, dict[str, int]]:
    """Rates and counters of the host kernel's ksmd."""
    with closing(KsmSession(wait=WAIT)) as session, KernelTimer([pages], KNOBS, session, huge) as timer:
        scans = [timer.scan() for _ in range(SCANS)]
    return _rates([(s.pages_scanned, s.cpu_seconds) for s in scans]), scans[-1].counters


def measure(content: str, pages: int, rounds: int, huge: bool) -> dict[str, Any]:
    """Both sides, taking turns; medians over the rounds."""
    data = CONTENTS[content](pages)
    ours, theirs, size = [], [], 0.0
    for turn in range(rounds):
        print(f"{content}: round {turn + 1} of {rounds}", file=sys.stderr)
        rates, counted, size = emulator(data, huge)
        ours.append(rates)
        rates, expected = kernel(data, huge)
        theirs.append(rates)
        for name in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"):
            if counted[name] != expected[name]:
                raise SystemExit(f"{content}: {name} is {counted[name]} here and {expected[name]} in the kernel")
    medians = [{p: statistics.median(r[p] for r in side) for p in PHASES} for side in (ours, theirs)]
    return {
        "emulator": medians[0],
        "kernel": medians[1],
        "ratios": {p: round(medians[0][p] / medians[1][p], 2) for p in PHASES},
        "metadata_bytes_per_page": round(size, 1),
        "pages": len(data),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=262144, help="pages of random and prefix content (1 GiB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(CONTENTS), action="append")
    parser.add_argument("--huge-pages", action="store_true", help="both have the pages in huge pages")
    parser.add_argument("--json", action="store_true", help="print one document")
    options = parser.parse_args()
    results = {c: measure(c, options.pages, options.rounds, options.huge_pages) for c in options.only or CONTENTS}
    document = {"ratios": {c: r["ratios"] for c, r in results.items()}, "details": results}
    if options.json:
        print(json.dumps(document))
        return
    for content, result in results.items():
        for phase in PHASES:
            print(
                f"{content:8} {phase:11} emulator {result['emulator'][phase]:12,.0f}/s  "
                f"kernel {result['kernel'][phase]:12,.0f}/s  ratio {result['ratios'][phase]}"
            )


if __name__ == "__main__":
    main()
