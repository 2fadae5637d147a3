"""Reasons in what ksmd did: how far it came, what it could not look at, what its tunables made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmdedup.report.compare.figures import Figures, Value
from vmdedup.report.compare.reason import Finder, Reason, each, named
from vmdedup.result.columns import SHOWN_KNOBS

_NO_KNOBS: Final = ("page_cost", "prices")  # of the section [ksm], but of the emulator's clock
NOT_SAID: Final = "not stated"


def volatile(first: Figures, other: Figures) -> Iterator[Reason]:
    """Pages that changed between two looks are neither shared nor unshared."""
    one, two = first.end("pages_volatile"), other.end("pages_volatile")
    if one is None or two is None or one == two:
        return
    text = f"pages too volatile to be compared at the end: {each(first, other, one, two)}; they wait for a quiet scan"
    yield Reason("volatile", text, abs(int(two - one)), {"pages_volatile": [one, two]})


def sharing_limit(first: Figures, other: Figures) -> Iterator[Reason]:
    """max_page_sharing splits a content of many sharers over several KSM pages."""
    one, two = _further_copies(first), _further_copies(other)
    if one is None or two is None or one == two:
        return
    text = (
        f"KSM pages kept besides the first of their content because max_page_sharing was reached: "
        f"{each(first, other, one, two)}; each is one page less saved"
    )
    yield Reason("max_page_sharing", text, abs(int(two - one)), {"further_copies": [one, two]})


def _further_copies(figures: Figures) -> Value | None:
    """A chain of n copies of one content holds n - 1 KSM pages more than one without a limit."""
    dups, chains = figures.end("stable_node_dups"), figures.end("stable_node_chains")
    return None if dups is None or chains is None else dups - chains


def zero_counting(first: Figures, other: Figures) -> Iterator[Reason]:
    """With use_zero_pages, zero pages are counted in ksm_zero_pages and no more in pages_sharing."""
    settings = [knob(figures, "use_zero_pages") for figures in (first, other)]
    if NOT_SAID in settings or settings[0] == settings[1]:
        return
    pages = [figures.end("ksm_zero_pages") or 0 for figures in (first, other)]
    text = (
        f"zero pages are counted apart in only one of both (use_zero_pages): ksm_zero_pages is "
        f"{each(first, other, *pages)}; the other counts such pages in pages_sharing"
    )
    yield Reason("use_zero_pages", text, abs(int(pages[1] - pages[0])), {"ksm_zero_pages": pages})


def skipped(first: Figures, other: Figures) -> Iterator[Reason]:
    """Smart scan passed over pages that did not merge before."""
    one, two = first.end("pages_skipped"), other.end("pages_skipped")
    if one is None or two is None or one == two:
        return
    text = f"looks at pages that smart scan left out: {each(first, other, one, two)}"
    yield Reason("smart_scan", text, None, {"pages_skipped": [one, two]})


def progress(first: Figures, other: Figures) -> Iterator[Reason]:
    """One ksmd has done more full scans than the other."""
    one, two = first.end("full_scans"), other.end("full_scans")
    if one is None or two is None or one == two:
        return
    scanned = [figures.end("pages_scanned") for figures in (first, other)]
    pages = "" if None in scanned else f", and {each(first, other, scanned[0] or 0, scanned[1] or 0)} pages scanned"
    text = f"ksmd did not come equally far: full scans {each(first, other, one, two)}{pages}; see --by scans"
    yield Reason("full_scans", text, None, {"full_scans": [one, two]})


def knobs(first: Figures, other: Figures) -> Iterator[Reason]:
    """Tunables of KSM that were not alike, as far as both say."""
    if not first.run or not other.run:
        return
    names = sorted({*SHOWN_KNOBS, *_section(first), *_section(other)} - set(_NO_KNOBS))
    pairs = {name: (knob(first, name), knob(other, name)) for name in names}
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if different:
        text = f"tunables of KSM differ ({first.label} / {other.label}): {named(different)}"
        yield Reason("knobs", text, None, {name: list(pair) for name, pair in different.items()})


def knob(figures: Figures, name: str) -> str:
    """A tunable's value as text: at the end of the series, else as the scenario has it, else NOT_SAID."""
    value = figures.end(name)
    stated = _section(figures).get(name, NOT_SAID)
    return stated if value is None else str(value)


def _section(figures: Figures) -> dict[str, str]:
    scenario = figures.run.get("scenario") or {}
    return dict(scenario.get("ksm") or {}) | dict(figures.run.get("knobs") or {})


def zero_frames(first: Figures, other: Figures) -> Iterator[Reason]:
    """What was possible is not the same figure where zeros cost nothing."""
    possible = [figures.end("possible_pages") for figures in (first, other)]
    settings = [knob(figures, "use_zero_pages") for figures in (first, other)]
    if None not in possible and NOT_SAID not in settings and settings[0] != settings[1]:
        text = f"possible_pages keeps one page of zeros, or none with use_zero_pages: {each(first, other, *settings)}"
        yield Reason("possible_zeros", text, 1)


FINDERS: Final[tuple[Finder, ...]] = (
    volatile,
    sharing_limit,
    zero_counting,
    skipped,
    progress,
    knobs,
    zero_frames,
)
