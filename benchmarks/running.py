"""Real guests that run, measured and emulated, over time: docs/running.md.

    python -m benchmarks.running
    python -m benchmarks.running --duration 40s --keep runs/running --document running.md

Real guests run while the host's ksmd merges them and their savings are measured (vmdedup live run --direct);
meanwhile their memory is recorded (vmdedup record). Then emulated guests live what was recorded, on the emulated ksmd
with the same tunables. Once with use_zero_pages off, once with it on. Root, an idle KSM, QEMU and libvirt.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vmdedup.report.savings import plot_series
from vmdedup.result.opening import open_result
from vmdedup.result.run import Result
from vmdedup.units import SECOND_NS, exact_duration, parse_duration

SCENARIO = "twins"
GUESTS = ("alike-0", "alike-1", "other")
RUN = Path("/sys/kernel/mm/ksm/run")
START_LIMIT_S = 900.0
VMDEDUP = [sys.executable, "-m", "vmdedup"]
EMULATED = """title = "What was recorded of running guests, lived again"
name = "replayed"
duration = "{duration}"

[host]
sample_interval = "2s"

[ksm]
run = 1
pages_to_scan = {pages_to_scan}
sleep_millisecs = 20
smart_scan = 0
use_zero_pages = {zero}
page_cost = "{page_cost}ns"
"""
REPLAYED = """
[[guests]]
name = "{name}"
replay = "{recording}"
guest = "{name}"
"""


def measured(duration: str, zero: int, folder: Path) -> Result:
    """Run real guests, and record them from the moment on in which ksmd starts."""
    command = [*VMDEDUP, "live", "run", SCENARIO, "--direct", "--wait", "10min", "--duration", duration]
    command += ["--set", f"use_zero_pages={zero}", "--set", "pages_to_scan=1000", "--output", str(folder / "measured")]
    with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL)) as run:
        wait_for_ksmd(run)
        sources = [f"{name}=domain:vmdedup-{SCENARIO}-{name}" for name in GUESTS]
        record = [*VMDEDUP, "record", *sources, "--output", str(folder / "life.rec"), "--duration", duration]
        check(subprocess.run([*record, "--interval", "2s"], stdout=subprocess.DEVNULL).returncode)
        check(run.wait())
    return open_result(folder / "measured")


@contextlib.contextmanager
def ended(run: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever happens inside, the run ends in order."""
    try:
        yield run
    finally:
        if run.poll() is None:
            run.terminate()
            run.wait()


def wait_for_ksmd(run: subprocess.Popen[bytes]) -> None:
    """Until the run has its guests up and has started ksmd with a batch of its own."""
    end = time.monotonic() + START_LIMIT_S
    while RUN.read_text().strip() != "1" or RUN.with_name("pages_to_scan").read_text().strip() != "1000":
        if run.poll() is not None or time.monotonic() > end:
            sys.exit(f"the real guests did not start (exit status {run.poll()})")
        time.sleep(0.02)


def check(status: int) -> None:
    """End with the status of a command that failed."""
    if status:
        sys.exit(status)


def emulated(real: Result, duration: str, zero: int, folder: Path) -> Result:
    """Let emulated guests live what was recorded. A page costs what it cost the kernel's ksmd."""
    last = real.series.row(-1, named=True)
    page_cost = round(last["ksmd_cpu_s"] * SECOND_NS / max(1, last["pages_scanned"]))
    text = EMULATED.format(duration=duration, zero=zero, page_cost=max(1, page_cost), pages_to_scan=1000)
    text += "".join(REPLAYED.format(name=name, recording="life.rec") for name in GUESTS)
    scenario = folder / "replayed.toml"
    scenario.write_text(text)
    command = [*VMDEDUP, "run", scenario.name, "--output", "emulated"]
    check(subprocess.run(command, stdout=subprocess.DEVNULL, cwd=folder).returncode)
    return open_result(folder / "emulated")


def section(zero: int, folder: Path, plot: Path) -> str:
    """A picture, and what `vmdedup compare` says."""
    command = [*VMDEDUP, "compare", str(folder / "measured"), str(folder / "emulated")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return f"## use_zero_pages={zero}\n\n![savings over time]({plot.name})\n\n```\n{said.strip()}\n```\n"


HEAD = """# Running guests: measured, and emulated from what they did

Made by `python -m benchmarks.running`; what `vmdedup compare` says below is of that run.

Three real guests under QEMU (scenario `twins`: two alike and one that keeps changing memory) run while the host's ksmd
merges them. Their savings are measured, and their memory is recorded every two seconds. Then emulated guests live what
was recorded, and the emulated ksmd merges them with the same tunables, a page costing what it cost the real one.

What must differ: a recording knows what a page held every two seconds, not in between; the real ksmd meets pages at
other moments; it also sees option ROMs and video memory, which are not recorded; and when it splits a huge page, the
kernel maps that page's zero subpages to the zero page without counting them, so that they are free memory in one
picture and pages still to be merged in the other. What `compare` finds of that is below each picture. With guests that
stand still none of it remains: `vmdedup live verify twins` compares every counter after every full scan, and they are
equal.

"""


def main() -> int:
    """Run both, write the document and its plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.running", description=__doc__.partition("\n")[0])
    parser.add_argument("--duration", default="40s", help="how long guests are measured (default: %(default)s)")
    parser.add_argument("--document", type=Path, default=Path("docs/running.md"), help="what is written")
    parser.add_argument("--keep", type=Path, help="folder to keep recordings and results in")
    options = parser.parse_args()
    duration = exact_duration(parse_duration(options.duration))
    text = HEAD
    with tempfile.TemporaryDirectory() as scratch:
        for zero in (0, 1):
            folder = (options.keep or Path(scratch)) / f"zero-{zero}"
            folder.mkdir(parents=True)
            real = measured(duration, zero, folder)
            ours = emulated(real, duration, zero, folder)
            plot = options.document.with_name(f"{options.document.stem}-{zero}.svg")
            plot_series({"real guests": real, "emulated": ours}, plot, f"twins, use_zero_pages={zero}")
            text += section(zero, folder, plot) + "\n"
    options.document.write_text(text.rstrip() + "\n")
    print(f"{options.document} is written", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
