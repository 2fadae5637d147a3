"""Runs side by side: alignment, differences, the command, its gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.compared import SERIES, ending, figures, guest, result, row
from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.report.compare.alignment import align, thinned, widest
from vmdedup.report.compare.document import compare
from vmdedup.report.compare.figures import Figures, from_result
from vmdedup.report.compare.gate import violations
from vmdedup.report.compare.reading import distinct_labels, read_figures

PUBLISHED = """\
label = "paper"
source = "Somebody 2002, table 1"
certainty = "stated"
[levels]
saved_pages = 950
"""


def figure(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["figures"] if each["name"] == name)


def test_samples_are_taken_at_or_before_the_same_time() -> None:
    other = figures("other", rows=[row(0.5, 100), row(1.5, 700), row(2.5, 950), row(3.5, 1000)])
    moments = align([figures(), other], "time")
    assert [moment.at for moment in moments] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [moment.value(1, "saved_pages") for moment in moments] == [None, 100, 700, 950, 1000]
    assert [moment.percent(1, "saved_pages") for moment in moments][1:] == [-80.0, pytest.approx(-22.222, 0.01), -5, 0]
    widest_moment = widest(moments, 1, "saved_pages")
    assert widest_moment is not None
    assert (widest_moment[0].at, widest_moment[1]) == (1.0, -400)


def test_after_its_last_sample_a_run_has_none() -> None:
    moments = align([figures(), figures("short", rows=SERIES[:3])], "time")
    assert [moment.value(1, "saved_pages") for moment in moments] == [0, 500, 900, 900, None]


def test_samples_are_aligned_by_full_scans() -> None:
    slow = figures("slow", rows=[row(float(n), 100 * n, full_scans=n // 2) for n in range(7)])
    moments = align([figures(), slow], "scans")
    assert [moment.at for moment in moments] == [1, 2, 3]
    assert [moment.value(0, "saved_pages") for moment in moments] == [500, 900, 1000]
    assert [moment.value(1, "saved_pages") for moment in moments] == [300, 500, 600]


def test_a_series_that_does_not_count_scans_is_not_aligned_by_them() -> None:
    rows = [{"time_s": 1.0, "saved_pages": 5}]
    moments = align([figures(), figures("bare", rows=rows)], "scans")
    assert [moment.rows[1] for moment in moments] == [None] * 4


def test_thinning_keeps_both_ends() -> None:
    assert thinned(list(range(100)), 4) == [0, 33, 66, 99]
    assert thinned([1, 2], 4) == [1, 2]


def test_differences_are_against_the_first() -> None:
    document = compare([figures(), ending("b", saved_pages=900), ending("c", saved_pages=1100, pages_volatile=7)])
    saved = figure(document, "saved_pages")
    assert saved["values"] == [1000, 900, 1100]
    assert saved["differences"] == [0, -100, 100]
    assert saved["percent"] == [0, -10, 10]
    assert figure(document, "pages_volatile")["percent"] == [0, 0, None], "nothing is a per cent of 0"
    assert figure(document, "visible_pages")["values"] == [4000] * 3
    assert figure(document, "scanned_per_saved_page")["values"] == [16, pytest.approx(17.78, 0.01), 16000 / 1100]


def test_times_to_a_share_of_what_was_possible() -> None:
    document = compare([figures(), ending(possible_pages=None)], percents=[50, 90, 100])
    assert figure(document, "seconds_to_50_percent")["values"] == [1.0, None]
    assert figure(document, "seconds_to_90_percent")["values"] == [2.0, None]
    assert figure(document, "seconds_to_100_percent")["values"] == [3.0, None]


def test_what_nobody_knows_is_left_out() -> None:
    levels = [Figures(name, "published", levels={"saved_pages": 5}) for name in "ab"]
    assert [each["name"] for each in compare(levels)["figures"]] == ["saved_pages"]
    assert compare(levels)["series"] == []


def test_figures_of_a_run(tmp_path: Path) -> None:
    result(backend="kernel").save(tmp_path / "k")
    one = read_figures([tmp_path / "k"])[0]
    assert (one.label, one.backend, one.seconds, one.page_size) == ("k", "kernel", 4.0, 4096)
    assert one.end("saved_pages") == 1000
    assert one.end("nonsense") is None
    assert one.total("memory_pages") == 8192
    assert one.is_measured
    assert not from_result(result(), "e").is_measured, "an absent backend is the emulator"


def test_a_missing_value_is_not_zero() -> None:
    rows = [dict(one, possible_pages=None) for one in SERIES]
    measured = figures("measured", rows=rows, guests=[guest("a", ksm_rmap_items=None)])
    assert measured.end("possible_pages") is None
    assert measured.total("ksm_rmap_items") is None


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["/x/a", "/x/b"], ["a", "b"]),
        (["/x/a", "/y/a"], ["x/a", "y/a"]),
        (["/x/a", "/x/a"], ["a (1)", "a (2)"]),
    ],
)
def test_labels_tell_runs_apart(paths: list[str], labels: list[str]) -> None:
    assert distinct_labels([Path(path).parts for path in paths]) == labels


def test_published_figures_stand_beside_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result().save(tmp_path / "ours")
    (tmp_path / "paper.toml").write_text(PUBLISHED)
    assert run_command(["compare", str(tmp_path / "paper.toml"), str(tmp_path / "ours"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["runs"][0]["backend"] == "published"
    assert document["runs"][0]["certainty"] == "stated"
    assert figure(document, "saved_pages")["percent"] == [0, pytest.approx(5.2632)]
    assert figure(document, "used_pages")["values"] == [None, 3000]
    assert document["series"][-1]["runs"] == [None, pytest.approx(document["series"][-1]["runs"][1])]


def test_a_published_series_is_compared_over_time(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PUBLISHED + "[[series]]\ntime_s = 2\nsaved_pages = 800\n")
    read = read_figures([tmp_path / "p.toml"])[0]
    assert read.end("saved_pages") == 950, "a stated level goes before the last row"
    assert align([read, figures()], "time")[0].value(1, "saved_pages") == 900


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("certainty = 'x'\nsource = 'y'\n", "the text 'label' is missing"),
        (PUBLISHED.replace("950", "'many'"), "saved_pages is no number"),
        (PUBLISHED.partition("[levels]")[0], "neither [levels] nor [[series]]"),
        (PUBLISHED + "[[series]]\nsaved_pages = 1\n", "has no time_s"),
        ("colour = 1\n" + PUBLISHED, "unknown key 'colour'"),
        ("page_size = 0\n" + PUBLISHED, "write 4096"),
        ("\x00", "neither a results directory nor published figures"),
    ],
)
def test_bad_published_figures_are_one_line(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.toml").write_text(text)
    assert run_command(["compare", str(tmp_path / "p.toml"), str(tmp_path / "p.toml")]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_person_reads_figures_series_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result().save(tmp_path / "emulated")
    rows = [dict(one, saved_pages=int(one["saved_pages"] * 0.9)) for one in SERIES]
    result(rows, backend="kernel", clock="wall").save(tmp_path / "measured")
    assert run_command(["compare", str(tmp_path / "emulated"), str(tmp_path / "measured")]) == 0
    out = capsys.readouterr().out
    assert "1. emulated: emulated, 2 guests, 5 samples in 4 s\n" in out
    assert "2. measured: measured on the kernel's KSM, 2 guests, 5 samples in 4 s\n" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["saved", "3.9", "3.5", "-10.00"] in lines
    assert ["pages_shared", "500", "500", "+0.00"] in lines
    assert ["90", "%", "2.00", "3.00", "+50.00"] in lines
    assert ["2", "3.5", "3.2", "-10.00"] in lines
    assert "measured is farthest from emulated at 3 s: -0.4 MiB (-10.00 %)" in out
    assert "why measured differs from emulated, as far as the data show it" in out
    assert "ksmd's CPU time is modelled in emulated, measured in measured" in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_runs_that_are_alike_have_no_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        result().save(tmp_path / name)
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-above", "0%"]) == 0
    assert "why b differs from a: the data show no reason" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--fail-above", "10%"], 0, ""),
        (["--fail-above", "9.9"], 3, "saved_pages of b differs by -10.00 %; 9.9 % are allowed"),
        (["--fail-above", "1", "--fail-on", "pages_shared"], 0, ""),
        (["--fail-above", "1", "--fail-on", "pages_volatile"], 3, "pages_volatile of b differs from 0"),
        (["--fail-above", "1", "--fail-on", "zero"], 2, "there is no figure 'zero'; there are saved_pages"),
        (["--fail-on", "saved_pages"], 2, "give that too, e.g. 1%"),
        (["--fail-above", "much"], 2, "is not a number"),
        (["--at", "0"], 2, "give whole per cents from 1 to 100"),
        (["--at", "50,x"], 2, "--at x: give whole per cents"),
        (["--plot", "x.gif"], 2, "ends in none of .png, .svg, .pdf"),
    ],
)
def test_the_gate_and_bad_options(
    arguments: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result().save(tmp_path / "a")
    result([*SERIES[:-1], SERIES[-1] | {"saved_pages": 900, "pages_volatile": 3}]).save(tmp_path / "b")
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "b"), *arguments]) == status
    captured = capsys.readouterr()
    assert said in captured.err
    assert bool(captured.err) == bool(said)
    assert (captured.out == "") == (status == 2 and "there is no figure" not in said)


def test_a_gate_needs_something_to_look_at() -> None:
    known = compare([Figures(name, "published", levels={"zero_pages": 5}) for name in "ab"])
    with pytest.raises(UsageError, match="name figures that are with --fail-on"):
        violations(known, 1.0)
    assert violations(known, 1.0, ["zero_pages"]) == []
    half = compare([figures(), Figures("b", "published", levels={"saved_pages": 1000})])
    assert violations(half, 1.0) == [], "what is not known is not judged unless asked for"
    assert violations(half, 1.0, ["used_pages"]) == ["used_pages is not known of first and b both"]


def test_too_few_and_missing_runs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result().save(tmp_path / "a")
    assert run_command(["compare", str(tmp_path / "a")]) == 2
    assert "give at least two" in capsys.readouterr().err
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "none")]) == 2
    assert "none does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "empty")]) == 2
    assert "is not the directory of a run" in capsys.readouterr().err
