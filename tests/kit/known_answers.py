"""What each policy has to make of planted memory, by the rules of its paper: for every page, with which it is to be.

A rule says of a page how it is to be kept (one of planted's words), or whom it shares a frame with: pages for which it
gives equal tuples, and no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from kit.planted import AREAS, DOMAINS, IN_PATCH, IN_WORD, IN_ZERO_PAGE, PACKED, Planted
from vmdedup.host.layout import ANONYMOUS, FILES, FOREGROUND, GRAPHICS

Rule = Callable[[Planted, int], Hashable]  # a page and its number among all

MISSED = 1e-9  # chance that ESX's drawings leave a page out


@dataclass(frozen=True)
class Case:
    """A policy with some tunables. rounds: scans of as many pages as there are, within which it has to be done.

    ms: that the clock goes on with each. declared: guests say what their areas are. hinted: they hint every page.
    """

    rule: Rule
    rounds: int
    knobs: Mapping[str, int] = field(default_factory=dict)
    ms: int = 100
    declared: bool = False
    hinted: bool = False


def alone(page: Planted, number: int) -> Hashable:
    """Nothing is shared."""
    return ("alone", number)


def by_content(page: Planted, number: int) -> Hashable:
    """Equal pages are shared, empty ones as any others."""
    return ("content", page.content)


def with_zero_page(page: Planted, number: int) -> Hashable:
    """Equal pages are shared; empty ones take no frame."""
    return IN_ZERO_PAGE if page.what == "zero" else by_content(page, number)


def zeros_alone(page: Planted, number: int) -> Hashable:
    """Empty pages take no frame; nothing else is shared."""
    return IN_ZERO_PAGE if page.what == "zero" else alone(page, number)


def within(group: Callable[[Planted], Hashable], rule: Rule) -> Rule:
    """A rule for each group by itself; the zero page belongs to all."""

    def grouped(page: Planted, number: int) -> Hashable:
        label = rule(page, number)
        return label if isinstance(label, str) else (group(page), label)

    return grouped


def of_domain(page: Planted) -> int:
    """The domain of a page's guest."""
    return DOMAINS[page.guest]


def of_guest(page: Planted) -> int:
    """A page's guest."""
    return page.guest


def of_kind(page: Planted) -> int:
    """The kind of a page's area."""
    return AREAS[page.area][0]


def of_program(page: Planted) -> Hashable:
    """The program that a page belongs to."""
    return page.guest, AREAS[page.area][1]


def exclusion(page: Planted, number: int) -> Hashable:
    """Files, graphics and the app in the foreground are not looked at."""
    kind, _, state = AREAS[page.area]
    left_out = kind in (FILES, GRAPHICS) or state == FOREGROUND
    return alone(page, number) if left_out else with_zero_page(page, number)


def difference_engine(page: Planted, number: int) -> Hashable:
    """Shared, else patched, else compressed. A word that is nowhere else compresses well."""
    if page.what == "near":
        return IN_PATCH
    single = page.what == "word" and page.content != "word of two"
    return PACKED if page.what == "packable" or single else by_content(page, number)


def similar_page(page: Planted, number: int) -> Hashable:
    """Differences of heaps that say nothing of themselves; else whole pages."""
    return IN_PATCH if page.what == "near" else with_zero_page(page, number)


def similar_heap_page(page: Planted, number: int) -> Hashable:
    """Differences of heaps alone."""
    return similar_page(page, number) if of_kind(page) == ANONYMOUS else with_zero_page(page, number)


def background(page: Planted, number: int) -> Hashable:
    """Without a zygote there are no bases. Equal pages of one word are shared if they meet before they are filled."""
    single = page.what == "word" and page.content != "word of two"
    return IN_WORD if single else with_zero_page(page, number)


def background_of_phone(page: Planted, number: int) -> Hashable:
    """Graphics are not looked at; files and what apps inherit stay whole; only heaps have bases."""
    kind, owner, _ = AREAS[page.area]
    if kind == GRAPHICS:
        return alone(page, number)
    if kind == FILES or (kind == ANONYMOUS and owner == 0):
        return with_zero_page(page, number)
    if page.what == "near" and kind == ANONYMOUS:
        return IN_PATCH
    return IN_WORD if page.what == "word" else with_zero_page(page, number)


def background_compressing(page: Planted, number: int) -> Hashable:
    """What is left is compressed, if it can be."""
    return PACKED if page.what == "packable" else background(page, number)


def zram(page: Planted, number: int) -> Hashable:
    """Words, zero among them, and what compresses; equal pages are nothing to it."""
    kept = {"zero": IN_WORD, "word": IN_WORD, "run": IN_WORD, "packable": PACKED}
    return kept.get(page.what) or alone(page, number)


def zram_of_phone(page: Planted, number: int) -> Hashable:
    """Files are not swapped."""
    return alone(page, number) if of_kind(page) == FILES else zram(page, number)


def drawings(pages: int) -> int:
    """Rounds of ESX after which the chance that any page was never drawn is below MISSED: pages * exp(-rounds)."""
    return math.ceil(math.log(pages / MISSED))


_FREE_OF_RATES = {"host_pages_per_second": 0, "vm_pages_per_second": 0}
_SHORT, _PLENTY = ({"initial_run": 0, "host_memory_mib": mib} for mib in (1, 1024))
# A page is taken for settled when its hash is as it was a round before: not in the first, and then at once.
_TWO_ROUNDS = (Case(alone, 1), Case(by_content, 2))


def _steered(rule_in_plenty: Rule, idle: int = 0) -> Sequence[Case]:
    """Controllers, ksmd being off until they say otherwise: on a host that is full, and on one that is nearly empty.

    idle: rounds until they do, of such length that each is long enough for one look.
    """
    ms = 700_000
    return [Case(by_content, idle + 2, _SHORT, ms), Case(rule_in_plenty, 5, _PLENTY, ms)]


CASES: Mapping[str, Sequence[Case]] = {
    "none": [Case(alone, 2)],
    "ideal": [Case(with_zero_page, 1)],
    "zero_only": [Case(zeros_alone, 1)],
    "ksm": [*_TWO_ROUNDS, Case(with_zero_page, 2, {"use_zero_pages": 1}), Case(by_content, 2, {"smart_scan": 0})],
    "advisor": _TWO_ROUNDS,
    "ksmtuned": _steered(alone, idle=1),  # sleeps first
    "mom": _steered(alone, idle=2),  # sleeps first, and decides by every second sample
    "kubevirt": _steered(alone),
    "clear_containers": _steered(by_content),  # it starts ksmd for every guest that starts
    "ksm_domains": [
        Case(by_content, 2, {"scope": 0}),
        Case(within(of_domain, by_content), 2),
        Case(within(of_guest, by_content), 2, {"scope": 2}),
        Case(within(of_domain, with_zero_page), 2, {"use_zero_pages": 1}),
    ],
    "esx": [
        Case(with_zero_page, drawings(400), _FREE_OF_RATES),
        Case(within(of_domain, by_content), drawings(400), _FREE_OF_RATES | {"salting": 1}),
        Case(within(of_guest, by_content), drawings(400), _FREE_OF_RATES | {"salting": 2}),
    ],
    "xlh": [
        *_TWO_ROUNDS,
        *[Case(by_content, 2, {"variant": variant}) for variant in range(3)],
        # Who hints everything has it merged when each page was looked at once.
        *[Case(by_content, 1, {"variant": variant, "hint_runs": 1000}, hinted=True) for variant in range(3)],
    ],
    "uksm": [Case(with_zero_page, 1, {"cpu_governor": governor}) for governor in range(4)],
    "exclusion": [Case(with_zero_page, 2, ms=1000), Case(exclusion, 2, ms=1000, declared=True)],
    "n_chance": [Case(with_zero_page, 2), Case(with_zero_page, 2, declared=True)],
    "group_limited": [
        Case(with_zero_page, 2),
        Case(within(of_kind, with_zero_page), 2, declared=True),
        Case(within(of_program, with_zero_page), 2, {"group_by": 1}, declared=True),
        Case(within(of_guest, with_zero_page), 2, {"group_by": 1}),
    ],
    "similar_page": [Case(similar_page, 2), Case(similar_heap_page, 2, declared=True)],
    "background": [
        Case(background, 4, {"compress_cut_off": 0}, ms=70_000),
        Case(background_of_phone, 4, {"compress_cut_off": 0}, ms=70_000, declared=True),
        *[Case(background_compressing, 4, {"codec": codec}, ms=70_000) for codec in range(3)],
    ],
    "zram": [
        Case(zram, 3, ms=1000),
        Case(zram, 3, {"codec": 2}, ms=1000),
        Case(zram_of_phone, 3, ms=1000, declared=True),
    ],
    # A round finds everything in use, as guests have just stored it.
    "vusion": [*_TWO_ROUNDS, Case(alone, 2, {"idle_rounds": 2}), Case(by_content, 3, {"idle_rounds": 2})],
    # One pass until a page is taken for unchanged, five until it was compared with all, one more to be compressed.
    "difference_engine": [
        Case(difference_engine, 1 + 5 + 1, ms=4000),
        Case(by_content, 1 + 5, {"patching": 0, "compression": 0}, ms=4000),
        Case(with_zero_page, 1 + 5, {"patching": 0, "compression": 0, "zero_page": 1}, ms=4000),
    ],
}
