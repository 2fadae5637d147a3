"""Each reason is told when the data show it, with its pages, and not told otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from kit.compared import SERIES, ending, figures, guest, run_document
from vmdedup.report.compare.figures import Figures
from vmdedup.report.compare.reason import Reason, named
from vmdedup.report.compare.reasons import find_reasons


def scenario(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = run_document()["scenario"] | changes
    return document


def with_scenario(**changes: Any) -> Figures:
    return figures("other", run=run_document(scenario=scenario(**changes)))


CASES: list[tuple[Figures, str, int | None, str]] = [
    (
        figures("other", guests=[guest("a", ksm_rmap_items=1500), guest("b")]),
        "visible",
        500,
        "KSM keeps records of different numbers of pages: 4,000 in first, 3,500 in other (guest memory: 8,192",
    ),
    (ending(allocated_pages=3900), "content", 100, "4,000 in first, 3,900 in other pages"),
    (
        figures("other", guests=[guest("a", split_zero_pages=60), guest("b", split_zero_pages=10)]),
        "split_zero_pages",
        70,
        "70 pages of zeros in other went to the zero page when KSM split huge pages",
    ),
    (
        figures("other", guests=[guest("a", firmware_pages=83), guest("b", firmware_pages=83)]),
        "firmware",
        166,
        "(option ROMs, BIOS, VGA): 166 in other; the other does not tell",
    ),
    (ending(pages_volatile=262), "volatile", 262, "0 in first, 262 in other"),
    (
        ending(stable_node_chains=2, stable_node_dups=9),
        "max_page_sharing",
        7,
        "max_page_sharing was reached: 0 in first, 7 in other",
    ),
    (ending(use_zero_pages=1, ksm_zero_pages=40), "use_zero_pages", 40, "ksm_zero_pages is 0 in first, 40 in other"),
    (ending(use_zero_pages=1), "possible_zeros", 1, "0 in first, 1 in other"),
    (ending(pages_skipped=12), "smart_scan", None, "smart scan left out: 0 in first, 12 in other"),
    (
        ending(full_scans=3, pages_scanned=12000),
        "full_scans",
        None,
        "full scans 4 in first, 3 in other, and 16,000 in first, 12,000 in other pages scanned",
    ),
    (ending(pages_to_scan=5000), "knobs", None, "(first / other): pages_to_scan (100 / 5000)"),
    (
        with_scenario(ksm={"run": "1", "pages_to_scan": "100", "max_page_sharing": "16"}),
        "knobs",
        None,
        "max_page_sharing (not stated / 16)",
    ),
    (with_scenario(seed=2), "scenario", None, "seed (1 / 2)"),
    (
        with_scenario(guests=[{"name": "vm", "count": 2, "memory": 33554432}]),
        "scenario",
        None,
        "guests[0].memory (16777216 / 33554432)",
    ),
    (
        figures("other", rows=SERIES[:3]),
        "sampling",
        400,
        "4 s in first, 2 s in other; the savings changed by up to 400 pages",
    ),
    (ending(saved_pages=990), "unsettled", 10, "other had not settled: its savings changed by 10 pages"),
    (figures("other", run=run_document(ended="interrupted")), "ended", None, "other ended early: interrupted"),
    (
        figures("other", backend="qemu", run=run_document(clock="wall")),
        "clock",
        None,
        "modelled in first, measured in other",
    ),
    (figures("other", run=run_document(versions={"vmdedup": "9"})), "program", None, "0.1.0 in first, 9 in other"),
    (
        Figures("paper", "published", levels={"saved_pages": 1}, source="A 2002", certainty="read off"),
        "published",
        None,
        "paper is published: A 2002 (read off)",
    ),
    (
        Figures("paper", "published", levels={"saved_pages": 1}),
        "unknown",
        None,
        "not known of paper (published): allocated_pages, used_pages",
    ),
]


def found(name: str, first: Figures, other: Figures) -> list[Reason]:
    return [reason for reason in find_reasons(first, other) if reason.name == name]


@pytest.mark.parametrize(("other", "name", "pages", "text"), CASES, ids=lambda value: value if value else "")
def test_a_reason_is_told_when_the_data_show_it(other: Figures, name: str, pages: int | None, text: str) -> None:
    reasons = found(name, figures(), other)
    assert len(reasons) == 1
    assert reasons[0].pages == pages
    assert text in reasons[0].text


@pytest.mark.parametrize("name", sorted({case[1] for case in CASES}))
def test_a_reason_is_not_told_of_runs_that_are_alike_there(name: str) -> None:
    assert not found(name, figures(), figures("other"))


@pytest.mark.parametrize(("other", "name", "pages", "text"), CASES, ids=lambda value: value if value else "")
def test_a_reason_is_told_either_way_round(other: Figures, name: str, pages: int | None, text: str) -> None:
    assert [reason.pages for reason in found(name, other, figures())] == [pages]


def test_kernels_are_compared_where_both_were_measured() -> None:
    measured = [figures(v, backend="kernel", run=run_document(machine={"kernel": v})) for v in ("6.12", "6.18")]
    assert "6.12 in 6.12, 6.18 in 6.18" in found("kernel", *measured)[0].text
    assert not found("kernel", figures(), measured[0])


def test_those_with_the_most_pages_come_first() -> None:
    other = ending(pages_volatile=5, allocated_pages=3000, pages_to_scan=7)
    assert [reason.name for reason in find_reasons(figures(), other)][:3] == ["content", "volatile", "knobs"]


def test_many_keys_are_cut_off() -> None:
    assert named({str(n): ("a", "b") for n in range(20)}).endswith(" and 12 more")


def test_zero_pages_that_ksm_placed_explain_missing_records() -> None:
    other = figures("other", rows=[SERIES[-1] | {"ksm_zero_pages": 30}], guests=[guest("a", ksm_rmap_items=3970)])
    assert "made zero pages, 0 and 30, it keeps none" in found("visible", figures(), other)[0].text
