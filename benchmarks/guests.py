"""One to six real guests alike, beside the same ones emulated, and beside ESX's analytic line: docs/guests.md.

    python -m benchmarks.guests
    python -m benchmarks.guests --most 3 --keep runs/guests --document guests.md

For each number of guests: real ones are started (vmdedup live run --direct), merged by the host's ksmd and paused;
and as many emulated ones, whose disk is the same image, run on the emulated ksmd with the same tunables. Root, an idle
KSM, QEMU and libvirt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmdedup.report.plot import Frame, Kind, Line, plot_lines
from vmdedup.result.opening import open_result

SCENARIO = "alike"
# Of ten identical guests of 40 MB about 60 % were reclaimed, of one about 5 MB. Source: Waldspurger, OSDI 2002.
ESX_OWN = 5 / 40
ESX_COMMON = (0.60 - ESX_OWN) / (1 - 1 / 10)


@dataclass(frozen=True)
class Level:
    """What so many guests settled at, MiB."""

    guests: int
    allocated: float
    saved: float
    zero: float
    within: float
    between: float

    @property
    def percent(self) -> float:
        """Saved, in per cent of what guests hold."""
        return 100.0 * self.saved / self.allocated


def level(guests: int, on: Sequence[str], folder: Path) -> Level:
    """Run the scenario with so many guests, unless that has been done, and read off where it settled."""
    command = [sys.executable, "-m", "vmdedup", *on, SCENARIO, "--guests", str(guests), "--output", str(folder)]
    if not folder.exists() and (status := subprocess.run(command, stdout=subprocess.DEVNULL).returncode):
        sys.exit(status)
    summary = open_result(folder).summary
    names = ("allocated", "saved", "zero", "within_guest", "between_guests")
    return Level(guests, *(float(summary[f"{name}_mib"]) for name in names))


def esx(common: float, own: float, guests: int) -> float:
    """Reclaimed share of n identical guests, per cent: f (1 - 1/n) + s. Source: Waldspurger, OSDI 2002, figure 4."""
    return 100.0 * (common * (1 - 1 / guests) + own)


def fit(levels: Sequence[Level]) -> tuple[float, float]:
    """f and s of ESX's line, from one guest and from the most."""
    own, last = levels[0].percent / 100.0, levels[-1]
    return (last.percent / 100.0 - own) / (1 - 1 / last.guests) if last.guests > 1 else 0.0, own


def table(real: Sequence[Level], emulated: Sequence[Level]) -> str:
    """The levels side by side, in Markdown."""
    common, own = fit(real)
    lines = [
        "| guests | real: held | saved | zero | within | between | added | % | emulated: held | saved | added | % | "
        "ESX's line % |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for place, (r, e) in enumerate(zip(real, emulated, strict=True)):
        added = [one[place].saved - (one[place - 1].saved if place else 0.0) for one in (real, emulated)]
        lines.append(
            f"| {r.guests} | {r.allocated:.1f} | {r.saved:.1f} | {r.zero:.1f} | {r.within:.1f} | {r.between:.1f} | "
            f"{added[0]:.1f} | {r.percent:.1f} | {e.allocated:.1f} | {e.saved:.1f} | {added[1]:.1f} | "
            f"{e.percent:.1f} | {esx(common, own, r.guests):.1f} |"
        )
    return "\n".join(lines)


def document(real: Sequence[Level], emulated: Sequence[Level], plot: str) -> str:
    """docs/guests.md."""
    common, own = fit(real)
    ours, ours_own = fit(emulated)
    return f"""# Guests from one image: real, emulated, and ESX's line

Made by `python -m benchmarks.guests`; the table, and f and s of our guests, are of that run. MiB.

Real guests are QEMU's, from the image `tiny`, 128 MiB each, merged by the host's ksmd and paused; huge pages are split
before. Emulated guests have the same image as their disk. Both have the tunables of the scenario `{SCENARIO}`. *Held*
is memory with content of its own; *added* is what the last guest added to the saving.

{table(real, emulated)}

![saved share by number of guests]({plot})

ESX's line is f (1 − 1/n) + s for n identical guests of which a share f is common to all and a share s is saved inside
each one (Waldspurger, OSDI 2002). Fitted to the real guests, from one and from {real[-1].guests} of them:
f = {common:.2f}, s = {own:.2f}; to the emulated ones: f = {ours:.2f}, s = {ours_own:.2f}. ESX's own guests had
f = {ESX_COMMON:.2f}, s = {ESX_OWN:.2f}: about 60 % of ten guests were reclaimed, and about 5 of the 40 MB of one.

Why the emulated level differs: what an idle real guest of 128 MiB holds is its kernel (text, data, page structures),
what its boot left behind, and poison: `vmdedup scan pid:N:largest` of such a guest's QEMU shows thousands of pages of
0xCC, which Linux writes over freed init sections and the freed initial disk; they are most of what is shared *within*.
The emulated guest's kernel and heaps are a model, without that. What the emulator does with the *same* pages is
another question, and its answer is exact: `vmdedup live verify`. The shape is what can be compared here: what each
further guest adds stays about the same after the second.
"""


def main() -> int:
    """Run all, write the document and its plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guests", description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=6, help="guests in the largest run (default: %(default)s)")
    parser.add_argument("--document", type=Path, default=Path("docs/guests.md"), help="what is written")
    parser.add_argument("--keep", type=Path, help="folder to keep each run's results in; those there are not run again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        numbers = range(1, options.most + 1)
        on = ["live", "run", "--direct", "--pause", "--wait", "10min"]
        real = [level(n, on, folder / f"real-{n}") for n in numbers]
        emulated = [level(n, ["run"], folder / f"emulated-{n}") for n in numbers]
    plot = options.document.with_suffix(".svg")
    options.document.write_text(document(real, emulated, plot.name))
    common, own = fit(real)
    fitted = [esx(common, own, n) for n in numbers]
    lines = [
        Line("real guests (QEMU, Linux's KSM)", list(numbers), [one.percent for one in real]),
        Line("emulated guests, same image as disk", list(numbers), [one.percent for one in emulated]),
        Line("ESX's line, fitted to the real ones", list(numbers), fitted, marked=False),
        Line("ESX's line, f = 2/3, s = 0", list(numbers), [esx(ESX_COMMON, 0.0, n) for n in numbers], kind=Kind.PAPER),
    ]
    plot_lines(lines, plot, Frame("identical guests", "saved, % of what they hold", "Guests from one image"))
    print(f"{options.document} and {plot} are written", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
