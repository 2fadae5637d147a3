"""ksmd's CPU time as runs state it, over what the kernel's own ksmd takes for the same pages.

    python -m benchmarks.price
    python -m benchmarks.price --scenario mixed --guests 4 --duration 40s --rounds 5

A round calibrates this host, then runs the scenario twice: emulated, and under the kernel's ksmd (`run --on kernel`),
whose CPU time is measured. Both scan the very same pages in the same virtual time, which is checked row by row. first
is up to the end of the first full scan, merging the next two, steady all after them. Needs root and an idle KSM.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from vmdedup.ksm.host_prices import VARIABLE
from vmdedup.ksm.prices import BUILT_IN
from vmdedup.live.prices import calibrated
from vmdedup.result.tables import records
from vmdedup.run.measure.rows import Silent
from vmdedup.run.run import run_scenario
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides

PHASES = ("first", "merging", "steady")
_ENDS = {"first": 1, "merging": 3}  # full scans
Rows = list[dict[str, Any]]


def rows_of(scenario: Scenario, backend: str) -> Rows:
    """The series of one run."""
    return records(run_scenario(scenario, Silent(), logging.NullHandler(), backend=backend).series)


def spent(rows: Rows) -> dict[str, float]:
    """CPU seconds in each phase."""
    ends = [next((i for i, row in enumerate(rows) if row["full_scans"] >= scans), -1) for scans in _ENDS.values()]
    if -1 in ends:
        raise SystemExit("the run ends before ksmd is done with merging; give it a longer --duration")
    at = [0.0, *(float(rows[i]["ksmd_cpu_s"]) for i in (*ends, -1))]
    return {phase: after - before for phase, before, after in zip(PHASES, at, at[1:], strict=False)}


def one_round(scenario: Scenario, pages: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Stated over measured, phase by phase; and the calibration."""
    document = calibrated.measure(pages, 3, lambda what: None)
    calibrated.keep(document, None)
    stated, measured = rows_of(scenario, "emulator"), rows_of(scenario, "kernel")
    for ours, theirs in zip(stated, measured, strict=True):
        differ = [name for name in ours if name != "ksmd_cpu_s" and ours[name] != theirs[name]]
        if differ:
            raise SystemExit(f"at {ours['time_s']} s the runs differ in {', '.join(differ)}")
    kernel = spent(measured)
    return {phase: seconds / kernel[phase] for phase, seconds in spent(stated).items()}, document


def show(ratios: list[dict[str, float]], documents: list[dict[str, Any]]) -> None:
    """Two tables in Markdown: ratios, and prices with what the built-in ones say of the contents of calibration."""
    print("| stated / measured | median | lowest | highest |\n|---|---:|---:|---:|")
    for phase in PHASES:
        values = [ratio[phase] for ratio in ratios]
        print(f"| {phase} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    print("\n| ns | median | lowest | highest | built-in |\n|---|---:|---:|---:|---:|")
    for operation, built_in in BUILT_IN.items():
        values = [document["prices_ns"][operation] for document in documents]
        figures = " | ".join(f"{value:,.3g}" if value < 10 else f"{value:,.0f}" for value in _three(values))
        print(f"| {operation} | {figures} | {built_in:g} |")


def _three(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="identical")
    parser.add_argument("--guests", type=int, default=3)
    parser.add_argument("--duration", default="30s")
    parser.add_argument("--pages", type=int, default=32768, help="pages of each content of the calibration")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    scenario = load_scenario(options.scenario, Overrides(guests=options.guests, duration=options.duration))
    ratios, documents = [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = str(Path(folder) / "prices.json")
        for turn in range(options.rounds):
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
            ratio, document = one_round(scenario, options.pages)
            ratios.append(ratio)
            documents.append(document)
    show(ratios, documents)


if __name__ == "__main__":
    main()
