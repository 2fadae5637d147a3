"""The text after a run answers what people ask, from the summary document alone."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from vmdedup.report.console import live_view
from vmdedup.report.live import LiveView
from vmdedup.report.summary import render
from vmdedup.shown import json_text

SIZES = ("memory", "allocated", "used", "saved", "zero", "within_guest", "between_guests")


def guest(name: str, group: str = "vm") -> dict[str, Any]:
    sizes = dict(zip((f"{size}_mib" for size in SIZES), (64.0, 40.0, 30.0, 10.0, 2.0, 3.0, 5.0), strict=True))
    return {"name": name, "group": group, "state": "running", **sizes, "saved_percent": 25.0}


def summary(**changes: Any) -> dict[str, Any]:
    """A summary of two guests."""
    document = {
        "scenario": "tiny",
        "seed": 7,
        "clock": "lockstep",
        "ended": "complete",
        "seconds": 60.0,
        "allocated_mib": 80.0,
        "used_mib": 60.0,
        "saved_mib": 20.0,
        "saved_percent": 25.0,
        "zero_mib": 4.0,
        "within_guest_mib": 6.0,
        "between_guests_mib": 10.0,
        "possible_mib": 21.5,
        "saved_percent_of_possible": 93.02,
        "possible_zero_frames": 1,
        "peak_allocated_mib": 80.0,
        "peak_used_mib": 79.0,
        "peak_saved_mib": 20.0,
        "pages_scanned": 123456,
        "ksmd_cpu_seconds": 1.25,
        "pages_scanned_per_saved_mib": 6172.8,
        "ksmd_cpu_seconds_per_saved_mib": 0.0625,
        "cow_breaks": 17,
        "metadata_mib": 1.5,
        "general_profit": 18 * 2**20,
        "seconds_to_percent_of_possible": {"50": 5.0, "90": 12.0, "99": None},
        "counters": {},
        "guests": [guest("vm-0"), guest("vm-1")],
        "matrix": [{"guests": ["vm-0", "vm-1"], "shared_mib": 9.5, "zero_mib": 0.0}],
        "events": [],
        "moments": [],
    }
    return document | changes


def text(document: dict[str, Any], width: int = 110) -> str:
    out = io.StringIO()
    render(document, Console(file=out, width=width, no_color=True))
    return out.getvalue()


def line(output: str, begin: str) -> str:
    return next(one for one in output.splitlines() if one.startswith(begin))


def test_every_question_has_its_line() -> None:
    out = text(summary())
    assert line(out, "tiny") == "tiny: 2 guests, 1min, lockstep clock, seed 7"
    assert "20.0 MiB (25.0 %): guests hold 80.0 MiB in 60.0 MiB" in line(out, "saved")
    assert "zero pages 4.0 MiB, inside one guest 6.0 MiB, between guests 10.0 MiB" in line(out, "of it")
    assert "21.5 MiB" in line(out, "possible")
    assert "zeros as one page" in line(out, "possible")
    assert "93.0 % of that is saved" in line(out, "possible")
    assert "50 % after 5s, 90 % after 12s, 99 % never" in line(out, "reached")
    assert "up to 80.0 MiB, the host used up to 79.0 MiB" in line(out, "peak")
    assert "123,456 pages scanned, 1.25 CPU s of ksmd (modelled)" in line(out, "cost")
    assert "6,173 pages and 0.0625 CPU s a saved MiB" in line(out, "cost")
    assert "+18.0 MiB by general_profit" in line(out, "profit")
    assert "metadata 1.5 MiB; copy-on-write breaks: 17" in line(out, "profit")
    assert line(out, "vm-0").split() == [
        "vm-0",
        "running",
        "40.0",
        "30.0",
        "10.0",
        "25.0",
        "2.0",
        "3.0",
        "5.0",
    ]
    assert line(out[out.index("shares with") :], "vm-1").split() == ["vm-1", "9.5", "0.0"]


def test_no_line_ends_in_blanks_or_holds_escapes() -> None:
    for one in text(summary()).splitlines():
        assert one == one.rstrip()
        assert "\x1b" not in one


def test_nothing_saved_still_reads_well() -> None:
    nothing = summary(
        saved_mib=0.0,
        saved_percent=0.0,
        possible_mib=0.0,
        saved_percent_of_possible=None,
        pages_scanned_per_saved_mib=None,
        ksmd_cpu_seconds_per_saved_mib=None,
        general_profit=-640,
        matrix=[],
        guests=[],
    )
    out = text(nothing)
    assert "0.0 MiB (0.0 %)" in out
    assert "a saved MiB" not in out
    assert "is saved" not in out
    assert "shares with" not in out
    assert "-0.0 MiB by general_profit" in out


def test_an_interrupted_wall_run_says_so() -> None:
    out = text(summary(ended="interrupted", clock="wall", possible_zero_frames=0))
    assert "(interrupted), wall clock" in out
    assert "(measured)" in out
    assert "zeros as none" in out


def test_many_guests_are_summed_up_by_group() -> None:
    guests = [guest(f"a-{n}", "a") for n in range(20)] + [guest(f"b-{n}", "b") for n in range(5)]
    pairs = [("a-0", "a-1", 19.0), ("a-0", "b-0", 50.0), ("b-0", "b-1", 10.0), ("a-0", "a-0", 99.0)]
    matrix = [{"guests": [a, b], "shared_mib": size, "zero_mib": 0.0} for a, b, size in pairs]
    out = text(summary(guests=guests, matrix=matrix))
    assert line(out, "a × 20").split()[3:7] == ["running", "800.0", "600.0", "200.0"]
    assert "a-0" not in out
    triangle = out[out.index("shares with") :]
    assert line(triangle, "a ").split() == ["a", "0.1"]
    assert line(triangle, "b ").split() == ["b", "0.5", "1.0"]
    assert "average of all pairs" in triangle


def among(names: list[str], size: float = 1234.5) -> list[dict[str, Any]]:
    """What all pairs share, the later the less; each guest with itself most."""
    pairs = [(one, two) for at, one in enumerate(names) for two in names[at:]]
    return [
        {"guests": [a, b], "shared_mib": 9999.0 if a == b else size - at, "zero_mib": 0.0}
        for at, (a, b) in enumerate(pairs)
    ]


WIDE = 6  # guests whose triangle fits into 80 columns


@pytest.mark.parametrize("width", [80, 110])
@pytest.mark.parametrize("count", [2, WIDE, 12, 16, 24, 64])
@pytest.mark.parametrize("alike", [True, False], ids=["one group", "a group each"])
def test_tables_of_many_guests_stay_readable(width: int, count: int, alike: bool) -> None:
    """No line is broken or cut, no figure is lost: a triangle where it fits, else the pairs that share most."""
    names = [f"vm-{at}" for at in range(count)]
    guests = [guest(name, "vm" if alike else name) for name in names]
    out = text(summary(guests=guests, matrix=among(names)), width)
    assert max(map(len, out.splitlines())) <= width
    table, _, shares = out[out.index("guest  ") :].partition("shares with")
    assert "…" not in table
    rows = [each.split() for each in table.splitlines()[1:] if each.startswith("vm")]
    assert len(rows) == (1 if alike and count > 16 else count)
    assert {len(row) for row in rows} == {11 if alike and count > 16 else 9}
    if alike and count > 12:
        assert line(shares, "vm ").split()[0] == "vm", "one group: the average of its pairs"
    elif count <= WIDE:
        assert line(shares, f"vm-{count - 1} ").split()[-1] == "9,999.0"
        assert len(line(shares, f"vm-{count - 1} ").split()) == count + 1
    else:
        assert shares.split()[:5] == ["with", "MiB", "vm-0", "vm-1", "1,233.5"]
        pairs = [each.split() for each in shares.splitlines()[1:] if each.startswith("vm-")]
        assert len(pairs) == 12
        assert "9,999.0" not in shares, "a guest with itself is no pair"
        assert f"{count * (count - 1) // 2 - 12:,} pairs share less" in shares


@pytest.mark.parametrize("width", range(60, 120))
def test_a_triangle_is_whole_or_is_none(width: int) -> None:
    names = [f"vm-{at}" for at in range(8)]
    out = text(summary(guests=[guest(name) for name in names], matrix=among(names)), width)
    shares = out[out.index("shares with") :]
    triangle, pairs = shares.count("9,999.0"), shares.count("pairs share less")
    assert (triangle, pairs) in ((8, 0), (0, 1))
    assert shares.count("1,233.5") == 1
    assert max(map(len, out.splitlines())) <= width


def test_long_names_give_way_to_figures() -> None:
    names = [f"a-guest-with-quite-a-long-name-{at}" for at in range(3)]
    out = text(summary(guests=[guest(name) for name in names], matrix=among(names)), 80)
    assert max(map(len, out.splitlines())) <= 80
    table = out[out.index("\nguest ") : out.index("shares with")]
    assert table.count("25.0") == 3
    assert table.count(" 40.0 ") == 3
    assert "1,233.5" in out


def test_the_latest_events_are_told() -> None:
    moments = [{"seconds": float(n), "text": f"thing {n}"} for n in range(20)]
    out = text(summary(moments=moments))
    assert "19s: thing 19" in out
    assert "thing 3" not in out


def test_the_document_has_sorted_keys_and_no_newline_at_its_end() -> None:
    document = json_text(summary())
    assert not document.endswith("\n")
    keys = [one.split('"')[1] for one in document.splitlines() if one.startswith('  "')]
    assert keys == sorted(keys)


def test_the_live_view_shows_the_latest_row() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, no_color=True)
    view = LiveView(console, "tiny", 60_000_000_000)
    console.print(view.renderable())
    view.sample({"time_s": 30.0, "saved_pages": 256, "guests": 8, "pages_shared": 4321})
    view.event("vm-1 leaves")
    console.print(view.renderable())
    before, after = out.getvalue().split("starting guests")
    assert "0.0s of 1min" in before
    assert "30.0s of 1min" in after
    assert "4,321" in after
    assert "vm-1 leaves" in after


@pytest.mark.parametrize("shown", [True, False])
def test_the_live_view_is_silent_where_there_is_no_terminal(shown: bool) -> None:
    out = io.StringIO()
    with live_view(Console(file=out, force_terminal=not shown), "tiny", 1_000_000_000, shown=shown) as view:
        assert view is None
    assert out.getvalue() == ""


def test_the_live_view_is_there_on_a_terminal() -> None:
    out = io.StringIO()
    with live_view(Console(file=out, force_terminal=True), "tiny", 1_000_000_000) as view:
        assert view is not None
        view.sample({"time_s": 0.5})
    assert "tiny" in out.getvalue()
