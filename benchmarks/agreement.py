"""Do emulated guests save what real ones do? The same scenarios, run for real and emulated; docs/agreement.md.

    python -m benchmarks.agreement --list
    python -m benchmarks.agreement --only webdb --repeat 3 --keep runs/agreement
    python -m benchmarks.agreement --keep runs/agreement --docs

For each cell real guests are started under QEMU (vmdedup live run), --repeat times, so that it is known how far they
differ from each other; and emulated ones, told to keep to the pace of the first real run and no more than that
(vmdedup run --as-measured). Root, an idle KSM, QEMU, libvirt and Ansible; three minutes for each real run. With --keep
a run that is there already is not made again: what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from vmdedup.report.savings import plot_series
from vmdedup.result.opening import open_result
from vmdedup.result.run import Result

VMDEDUP: Final = (sys.executable, "-m", "vmdedup")
WORKLOADS: Final = ("idle", "webdb", "fileserver", "build", "phases")
WITHIN = 0.05  # of the measured median, or reality's own spread: what agrees


@dataclass(frozen=True)
class Cell:
    """One scenario: workloads by guest, the image of all, memory of each in MiB, use_zero_pages."""

    name: str
    workloads: Sequence[str]
    mib: int = 128
    image: str = "debian"
    zero: int = 0
    duration: str = "60s"

    def text(self) -> str:
        """The scenario, as a file holds it."""
        lines = [f'title = "{self.name}"', f'duration = "{self.duration}"', "[ksm]", "run = 1", "pages_to_scan = 1000"]
        lines += [f"use_zero_pages = {self.zero}"]
        for workload in dict.fromkeys(self.workloads):
            lines += ["[[guests]]", f'name = "{workload}"', f"count = {list(self.workloads).count(workload)}"]
            lines += [f'memory = "{self.mib}MiB"', f'workload = "{workload}"', f'disk = {{ image = "{self.image}" }}']
        return "\n".join(lines) + "\n"


def cells() -> Iterator[Cell]:
    """The matrix: each workload alone, then other numbers, sizes, zeros, and all of them mixed."""
    for workload in WORKLOADS:
        yield Cell(f"{workload}-4", [workload] * 4)
    yield Cell("mixed-4", ["idle", "webdb", "fileserver", "build"])
    for workload in ("webdb", "fileserver"):
        yield Cell(f"{workload}-4-zeros", [workload] * 4, zero=1)
        yield Cell(f"{workload}-2-large", [workload] * 2, mib=256)
        yield Cell(f"{workload}-1", [workload])
    yield Cell("idle-6", ["idle"] * 6)


@dataclass(frozen=True)
class Level:
    """What a run came to."""

    saved: float
    possible: float
    between: float
    within: float
    freed: float
    breaks: float
    volatile: float
    scans: float
    curve: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, result: Result) -> Level:
        """Read off a result."""
        told, counters = result.summary, result.summary["counters"]
        rows = result.series.rows(named=True)
        return cls(
            saved=float(told["saved_mib"]),
            possible=float(told["possible_mib"]),
            between=float(told["between_guests_mib"]),
            within=float(told["within_guest_mib"]) + float(told["zero_mib"] or 0),
            freed=float(told["freed_mib"] or told["saved_mib"]),
            breaks=float(told["cow_breaks"] or 0),
            volatile=float(counters["pages_volatile"]),
            scans=float(counters["full_scans"]),
            curve=[(float(row["time_s"]), float(row["saved_pages"]) / 256) for row in rows],
        )


def distance(real: Level, ours: Level) -> float:
    """Mean distance of two curves over the time that both have, as a share of what the real one ends with."""
    times, saved = zip(*real.curve, strict=True)
    own_times, own_saved = zip(*ours.curve, strict=True)
    inside = [time for time in times if time <= own_times[-1]]
    apart = np.abs(np.interp(inside, own_times, own_saved) - np.interp(inside, times, saved))
    return float(apart.mean() / max(1e-9, real.saved))


def run_cell(cell: Cell, repeat: int, folder: Path) -> tuple[list[Level], Level]:
    """All real runs of a cell, and the emulated one."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / "scenario.toml"
    scenario.write_text(cell.text())
    real = []
    for number in range(1, repeat + 1):
        place = folder / f"real-{number}"
        _run(["live", "run", str(scenario), "--output", str(place), "--quiet"], place)
        real.append(Level.of(open_result(place)))
    place = folder / "emulated"
    _run(["run", str(scenario), "--as-measured", str(folder / "real-1"), "-o", str(place), "--quiet"], place)
    plot_series(
        {"real guests": open_result(folder / "real-1"), "emulated": open_result(place)}, folder / "saved.svg", cell.name
    )
    return real, Level.of(open_result(place))


def _run(command: Sequence[str], place: Path) -> None:
    if place.exists():
        return
    done = subprocess.run([*VMDEDUP, *command], stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.returncode)


def row_of(cell: Cell, real: Sequence[Level], ours: Level) -> dict[str, Any]:
    """What the table says of a cell."""
    saved, possible = median(level.saved for level in real), median(level.possible for level in real)
    spread = max(level.saved for level in real) - min(level.saved for level in real)
    off = ours.saved - saved
    return {
        "cell": cell.name,
        "real": [round(level.saved, 1) for level in real],
        "emulated": round(ours.saved, 1),
        "off": round(off / saved, 3),
        "agrees": abs(off) <= max(WITHIN * saved, spread),
        "possible": [round(possible, 1), round(ours.possible, 1)],
        "between": [round(median(level.between for level in real), 1), round(ours.between, 1)],
        "within": [round(median(level.within for level in real), 1), round(ours.within, 1)],
        "freed": [round(median(level.freed for level in real), 1), round(ours.freed, 1)],
        "breaks": [round(median(level.breaks for level in real)), round(ours.breaks)],
        "volatile": [round(median(level.volatile for level in real)), round(ours.volatile)],
        "scans": [round(median(level.scans for level in real)), round(ours.scans)],
        "curve": round(distance(real[0], ours), 3),
    }


HEAD = """# Real and emulated guests: how far they agree

Made by `python -m benchmarks.agreement --docs`. Each scenario runs with real guests under QEMU and with emulated ones;
cells hold real · emulated, MiB at the end unless it is said. *Real* lists every real run. *Agrees*: saved is within 5 %
of the median, or within the distance of the real runs from each other. *Curve*: mean distance of what is saved over
time, in per cent of what the real guests save at the end. Emulated guests do as much a second as the real ones of the
first run did, and ksmd looks at as many pages a second; nothing else is taken from the real run.

"""
COLUMNS: Final = ("possible", "between", "within", "freed", "breaks", "volatile", "scans")


def document(rows: Sequence[dict[str, Any]]) -> str:
    """docs/agreement.md."""
    names = ("cell", "real", "emulated", "off %", "agrees", *COLUMNS, "curve %")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        real = ", ".join(f"{value:.1f}" for value in row["real"])
        pairs = [" · ".join(f"{value:,}" for value in row[name]) for name in COLUMNS]
        told = (
            row["cell"],
            real,
            f"{row['emulated']:.1f}",
            f"{100 * row['off']:+.1f}",
            "yes" if row["agrees"] else "no",
        )
        lines.append("| " + " | ".join((*told, *pairs, f"{100 * row['curve']:.0f}")) + " |")
    agree = sum(row["agrees"] for row in rows)
    return HEAD + "\n".join(lines) + f"\n\n{agree} of {len(rows)} agree.\n"


def chosen(parts: Sequence[str]) -> list[Cell]:
    """The cells of these names; for what is no name, those that have it in theirs."""
    every = list(cells())
    names = {cell.name for cell in every}
    return [
        cell for cell in every if any(cell.name == part or (part not in names and part in cell.name) for part in parts)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agreement", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the cells and end")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="cells of that name, or that have it in theirs; several with commas"
    )
    parser.add_argument("--repeat", type=int, default=1, help="real runs of each cell (default: 1)")
    parser.add_argument("--keep", type=Path, default=Path("runs/agreement"), help="folder of the runs")
    parser.add_argument("--docs", action="store_true", help="write docs/agreement.md")
    parser.add_argument("--json", action="store_true", help="print one document")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for, and say how far it agrees."""
    given = _parser().parse_args(arguments)
    wanted = chosen(given.only.split(","))
    if given.list:
        print("\n".join(cell.name for cell in wanted))
        return
    rows = []
    for cell in wanted:
        print(cell.name, file=sys.stderr)
        rows.append(row_of(cell, *run_cell(cell, given.repeat, given.keep / cell.name)))
    if given.docs:
        Path("docs/agreement.md").write_text(document(rows))
    print(json.dumps(rows) if given.json else document(rows))


if __name__ == "__main__":
    main()
