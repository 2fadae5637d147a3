"""Sharing within a machine against sharing between machines. Barker et al., USENIX ATC 2012."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmdedup.guest.workloads.desktop import DesktopParameters
from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.guests import MIX
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, generated, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Level, Published
from vmdedup.result.run import Result

MIB: Final = 48
MACHINES: Final = 4
DIFFERS: Final = 0.9  # of a release's files


@dataclass(frozen=True)
class Sharing:
    """Per cent of the machines' memory that exact sharing saves. zero: what zero pages would save."""

    zero: float
    within: float
    between: float

    @property
    def shared(self) -> float:
        """Zero pages apart."""
        return self.within + self.between

    @property
    def within_of_shared(self) -> float:
        """Per cent of what is shared."""
        return 100 * self.within / max(self.shared, 1e-9)


def self_sharing(bench: Bench, published: Published) -> Finding:
    """Exact sharing at each moment; other releases and one, with randomised addresses and without."""
    results = {
        (aslr, same): bench.run(
            scenario("machines", 4 if bench.quick else 15, {"name": "ideal"}, _machines(aslr, same, bench.seed))
        )
        for aslr in ("bytes", "off")
        for same in (False, True)
    }
    found = {key: _read(result) for key, result in results.items()}
    real, levels = results["bytes", False], published.levels
    curves = []
    for name in ("within", "between"):
        pages = column(real, f"{name}_guest{'s' * (name == 'between')}_pages")
        shares = [100 * count / (MACHINES * MIB * PAGES_PER_MIB) for count in pages]
        curves.append(Curve(f"{name} machines", column(real, "time_s"), shares))
        curves.append(Curve(f"{name} machines", (), [levels[f"{name}_percent"].value], kind=PAPER))
    return Finding(_main(found["bytes", False], levels) + _variants(found, levels), _note(found), _AXES, curves)


_AXES = ("time, s", "saved by exact sharing, % of memory")


def _main(real: Sharing, levels: Mapping[str, Level]) -> list[Row]:
    """Machines with randomised addresses that are not of one release."""
    most = levels["shared_percent"].value
    under = (f"under {most:g} %", real.shared < most)
    more = ("more within than between", real.within > real.between)
    return [
        Row("shared, with zero pages", "%", None, real.shared + real.zero),
        Row("shared, zero pages apart (mostly put in)", "%", None, real.shared, *under, put_in=True),
        Row("of that within one machine", "%", levels["within_of_shared_percent"], real.within_of_shared, *more),
        Row("within", "%", levels["within_percent"], real.within, *more, put_in=True),
        Row("between", "%", levels["between_percent"], real.between, *more),
    ]


def _variants(found: dict[tuple[str, bool], Sharing], levels: Mapping[str, Level]) -> list[Row]:
    """What randomised addresses take, and what one release for all gives."""
    real, fixed, same, both = found["bytes", False], found["off", False], found["bytes", True], found["off", True]
    less = 100 * (1 - real.within / max(fixed.within, 1e-9))
    fewer = ("ASLR takes some", real.within < fixed.within)
    release = "one release shares more between"
    return [
        Row("ASLR: less within", "%", levels["aslr_less_percent"], less, *fewer, put_in=True),
        Row("ASLR, one release: less between", "%", None, 100 * (1 - same.between / max(both.between, 1e-9)),
            "ASLR takes some", same.between < both.between),
        Row("one release, ASLR: between", "%", None, same.between, release, same.between > real.between),
        Row("one release, no ASLR: between", "%", None, both.between, release, both.between > fixed.between),
        Row("one release, no ASLR: of that within", "%", None, both.within_of_shared),
    ]  # fmt: skip


def _note(found: dict[tuple[str, bool], Sharing]) -> str:
    real = found["bytes", False]
    made, mix = DesktopParameters(), MIX
    return (
        f"How much is shared within a machine was put in: heaps take {100 * made.heap_share:g} % of memory, and "
        f"{100 * mix.common:g} % of what a process begins with is alike in its program's {made.processes} processes; "
        f"libraries' data take {100 * made.data_share:g} %, {100 * made.relocated:g} % of them addresses. "
        "Both follow the paper's split (over half in heaps, 43 % in libraries), and so does what ASLR takes within. "
        f"What follows from that, and was not put in, is that little is left between machines: {real.between:.1f} % of "
        "memory, mostly page cache of files that releases have in common."
    )


def _read(result: Result) -> Sharing:
    pages = MACHINES * MIB * PAGES_PER_MIB
    zero, within, between = (
        100 * last(result, name) / pages for name in ("zero_pages", "within_guest_pages", "between_guests_pages")
    )
    return Sharing(zero, within, between)


def _machines(aslr: str, same: bool, seed: int) -> list[Data]:
    """Four desktops. same: all of one release; else two releases of one system, which differ in most files, and two
    other systems.
    """
    common = {"memory": f"{MIB}MiB", "kernel_mib": 2, "aslr": aslr, "workload": "desktop"}
    first = MACHINES * (seed - 1)  # other systems with each seed, as what is shared is files and programs
    return [
        {
            **common,
            "name": f"machine{number}",
            "disk": generated(64, first + (0 if same else max(0, number - 1))),
            "variant": {"differs": 0.0 if same else DIFFERS, "seed": first + number},
        }
        for number in range(MACHINES)
    ]


EXPERIMENTS = (
    Experiment(
        "barker",
        "Barker: sharing within and between machines",
        "barker",
        "Four emulated desktops of 48 MiB, six programs of four processes each, with ASLR, on three unlike generated "
        "disks and two releases of one, in place of traces of people's desktops and servers, which are not to be had "
        "in full. Fair as to sharing between machines, which follows from what files and programs they have in common, "
        "and to what ASLR and releases do to it; how much is alike within a machine is a parameter, taken from the "
        "paper's own split.",
        self_sharing,
    ),
)
