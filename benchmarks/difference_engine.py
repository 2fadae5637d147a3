"""What Difference Engine's scanning costs beside our ksmd's, and what each of its operations costs beside the paper's.

    python -m benchmarks.difference_engine
    python -m benchmarks.difference_engine --pages 65536 --json

Scanning: pages a second of CPU time on the same bytes, each scanner with its defaults but without patching and
compression: the first scan that looks at contents, and the mean of the sharing cycle that follows (ksmd: as many
scans, smart scan off). Operations: microseconds of CPU time for a page; the paper's are from its Table 2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.contents import CONTENTS, PAGE, Pages
from vmdedup.host.memory import Host, Memory
from vmdedup.policy.base import Policy
from vmdedup.policy.table import load_policy

CYCLE = 5
OPERATIONS = 2000
KNOBS = {"ksm": {"smart_scan": 0}, "difference_engine": {"patching": 0, "compression": 0}}
PAPER_US = {"patch": 338.1, "unpatch": 18.6, "compress": 29.7, "uncompress": 10.4}


def attached(rows: Pages, name: str, **knobs: int) -> tuple[Host, Memory, Policy]:
    """A host with one guest whose pages these are, and a policy that has seen it once."""
    host = Host.create(len(rows) + 64, mms=4, swap=True)
    memory = host.add(len(rows))
    memory.write_pages(np.arange(len(rows)), rows)
    policy = load_policy(name)(host, 0)
    for knob, value in {**KNOBS.get(name, {}), **knobs}.items():
        policy.set(knob, str(value))
    policy.enter(memory.mm)
    return host, memory, policy


def full_scan(policy: Policy, pages: int) -> float:
    """One scan of all memory, in batches. Returns seconds of CPU time."""
    policy.charge(policy.now_ms + 4000, 0)
    start, left = time.process_time(), pages
    while left and (looked := policy.scan(min(left, 5000))):
        left -= looked
    return time.process_time() - start


def rates(rows: Pages, name: str) -> dict[str, float]:
    """Pages a second: in the first scan that looks at contents, and after it."""
    host, _, policy = attached(rows, name)
    if name == "difference_engine":
        full_scan(policy, len(rows))  # all pages are as good as just stored to
    first = full_scan(policy, len(rows))
    later = [full_scan(policy, len(rows)) for _ in range(CYCLE)]
    host.close()
    return {"first": len(rows) / first, "later": CYCLE * len(rows) / sum(later)}


def operation(rows: Pages, done: str, rebuilt: str, **knobs: int) -> dict[str, float]:
    """Microseconds for keeping a page in another form, and for its guest to get it back."""
    host, memory, policy = attached(rows, "difference_engine", **knobs)
    spent = 0.0
    while not (count := policy.counters()[done]):
        spent = full_scan(policy, len(rows))
    start = time.process_time()
    memory.read_pages(np.arange(len(rows)))
    back = time.process_time() - start
    host.close()
    return {done.removeprefix("total_").removesuffix("ed"): spent * 1e6 / count, rebuilt: back * 1e6 / count}


def similar(count: int) -> Pages:
    """Pages that differ in a quarter of their bytes from one page of noise."""
    random = np.random.default_rng(1)
    rows = np.repeat(random.integers(0, 256, (1, PAGE), dtype=np.uint8), count, axis=0)
    rows[1:, PAGE // 2 : 3 * PAGE // 4] = random.integers(0, 256, (count - 1, PAGE // 4), dtype=np.uint8)
    return rows


def compressible(count: int) -> Pages:
    """Pages of which a third is noise."""
    rows = np.zeros((count, PAGE), np.uint8)
    rows[:, : PAGE // 3] = np.random.default_rng(2).integers(0, 256, (count, PAGE // 3), dtype=np.uint8)
    return rows


def measure(pages: int) -> dict[str, Any]:
    """All figures."""
    contents: Mapping[str, Callable[[int], Pages]] = CONTENTS
    for name in KNOBS:
        rates(similar(16), name)  # kernels are loaded now
    scanning = {kind: {name: rates(make(pages)[:pages], name) for name in KNOBS} for kind, make in contents.items()}
    operation(similar(16), "total_patched", "unpatch", patching=1)
    operations = operation(similar(OPERATIONS), "total_patched", "unpatch", patching=1)
    operations |= operation(compressible(OPERATIONS), "total_compressed", "uncompress", compression=1)
    return {"pages": pages, "scanning": scanning, "operations_us": operations, "paper_us": PAPER_US}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.difference_engine", description=__doc__)
    parser.add_argument("--pages", type=int, default=32768, help="of each content")
    parser.add_argument("--json", action="store_true", help="one document")
    options = parser.parse_args()
    figures = measure(options.pages)
    if options.json:
        print(json.dumps({"schema_version": 1, **figures}, sort_keys=True))
        return
    for kind, names in figures["scanning"].items():
        for name, rate in names.items():
            print(f"{kind:8} {name:18} first {rate['first'] / 1e6:6.2f}  later {rate['later'] / 1e6:6.2f} M pages/s")
    for name, spent in figures["operations_us"].items():
        print(f"{name:12} {spent:7.1f} us   paper {PAPER_US[name]:7.1f} us")


if __name__ == "__main__":
    main()
