"""Reasons in how the runs were made: other guests, another seed or program, other sampling, a figure's source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmdedup.report.compare.figures import BACKENDS, Figures, Value, number
from vmdedup.report.compare.measures import COUNTERS, SIZES
from vmdedup.report.compare.reason import Finder, Reason, each, named, show

_ASIDE: Final = ("name", "title", "ksm")  # names mean nothing, and tunables are told apart
_WORTH_KNOWING: Final = (*(f"{size}_pages" for size in SIZES), *COUNTERS, "cow_breaks", "ksmd_cpu_s")


def scenario(first: Figures, other: Figures) -> Iterator[Reason]:
    """Keys of the scenario that were not alike: guests, memory, content, duration, seed."""
    if not first.run.get("scenario") or not other.run.get("scenario"):
        return
    one, two = (dict(flat(_without(figures.run["scenario"]))) for figures in (first, other))
    keys = sorted({*one, *two})
    pairs = {key: (str(one.get(key, "not stated")), str(two.get(key, "not stated"))) for key in keys}
    different = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    if different:
        text = f"the scenarios differ ({first.label} / {other.label}): {named(different)}"
        yield Reason("scenario", text, None, {key: list(pair) for key, pair in different.items()})


def _without(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in _ASIDE}


def flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of nested tables and lists with its path: guests[0].disk.path."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from flat(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, below in enumerate(value):
            yield from flat(below, f"{path}[{position}]")
    else:
        yield path, value


def sampling(first: Figures, other: Figures) -> Iterator[Reason]:
    """The last samples were taken at different times, and the savings were changing about then."""
    if not first.rows or not other.rows or first.seconds == other.seconds:
        return
    last = f"the last samples are of different times: {first.seconds:g} s in {first.label}, {other.seconds:g} s"
    changes = [_last_change(figures) for figures in (first, other)]
    known = [change for change in changes if change is not None]
    text = f"{last} in {other.label}"
    if known:
        text += f"; the savings changed by up to {show(max(known))} pages from the last sample but one to the last"
    yield Reason("sampling", text, int(max(known)) if known else None, {"seconds": [first.seconds, other.seconds]})


def unsettled(first: Figures, other: Figures) -> Iterator[Reason]:
    """Savings that were still changing when the run ended: a little later the figure would be another."""
    saved = [figures.end("saved_pages") for figures in (first, other)]
    if first.seconds != other.seconds or saved[0] == saved[1]:
        return  # sampling says it, or there is nothing to explain
    for figures in (first, other):
        change = _last_change(figures)
        if change:
            text = f"{figures.label} had not settled: its savings changed by {show(change)} pages up to the last sample"
            yield Reason("unsettled", text, int(change), {"run": figures.label})


def _last_change(figures: Figures) -> Value | None:
    """How much the savings changed between the last two samples, or None if there are no two."""
    saved = [number(row.get("saved_pages")) for row in figures.rows[-2:]]
    if len(saved) < 2 or saved[0] is None or saved[1] is None:
        return None
    return abs(saved[1] - saved[0])


def ended(first: Figures, other: Figures) -> Iterator[Reason]:
    """A run that did not end as it was meant to."""
    for figures in (first, other):
        how = figures.run.get("ended", "complete")
        if how != "complete":
            yield Reason("ended", f"{figures.label} ended early: {how}", None, {"run": figures.label, "ended": how})


def clocks(first: Figures, other: Figures) -> Iterator[Reason]:
    """Processor time that was modelled beside processor time that was measured."""
    kinds = [_cpu_kind(figures) for figures in (first, other)]
    if "" not in kinds and kinds[0] != kinds[1]:
        yield Reason("clock", f"ksmd's CPU time is {each(first, other, *kinds)}", None, {"kinds": kinds})


def _cpu_kind(figures: Figures) -> str:
    """In lockstep it is modelled, unless it is a kernel's ksmd that was not told what a page costs."""
    if figures.end("ksmd_cpu_s") is None:
        return ""
    prices = figures.run.get("prices") or {}
    is_measured = figures.run.get("clock") != "lockstep" or prices.get("source") == "measured"
    return "measured" if is_measured else "modelled"


def makers(first: Figures, other: Figures) -> Iterator[Reason]:
    """Another version of the program, or of the kernel that was measured."""
    if not first.run or not other.run:
        return
    versions = [str((figures.run.get("versions") or {}).get("vmdedup", "unknown")) for figures in (first, other)]
    if versions[0] != versions[1]:
        yield Reason("program", f"made by different versions of vmdedup: {each(first, other, *versions)}")
    kernels = [str((figures.run.get("machine") or {}).get("kernel", "unknown")) for figures in (first, other)]
    if first.is_measured and other.is_measured and kernels[0] != kernels[1]:
        yield Reason("kernel", f"measured on different kernels: {each(first, other, *kernels)}")


def unknown(first: Figures, other: Figures) -> Iterator[Reason]:
    """Figures that only one of both knows, so that nothing can be said of their difference."""
    for here, there in ((first, other), (other, first)):
        names = [name for name in _WORTH_KNOWING if here.end(name) is None and there.end(name) is not None]
        if names:
            how = BACKENDS.get(here.backend, here.backend)
            text = f"not known of {here.label} ({how}): {', '.join(names)}"
            yield Reason("unknown", text, None, {"run": here.label, "figures": names})


def sources(first: Figures, other: Figures) -> Iterator[Reason]:
    """Where published figures come from, and how sure they are."""
    for figures in (first, other):
        if figures.source:
            text = f"{figures.label} is published: {figures.source} ({figures.certainty})"
            yield Reason("published", text, None, {"run": figures.label, "certainty": figures.certainty})


FINDERS: Final[tuple[Finder, ...]] = (scenario, sampling, unsettled, ended, clocks, makers, unknown, sources)
