"""The plot: which lines are drawn, with which data; the same results give the same file."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import vmdedup
from kit.compared import SERIES, figures, result
from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.report.compare.figures import Figures
from vmdedup.report.savings import draw_series, plot_series

MIB_PER_PAGE = 4096 / 2**20


def lines(drawing: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Each line of the only axes by its label."""
    (axes,) = drawing.axes
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_savings_and_what_was_possible_are_drawn_in_mib_and_seconds() -> None:
    rows = [dict(one, possible_pages=None) for one in SERIES[:3]]
    drawing = draw_series([figures("ours"), figures("theirs", backend="qemu", rows=rows)], title="both")
    drawn = lines(drawing)
    assert set(drawn) == {"ours (emulated)", "ours (emulated), possible", "theirs (measured on QEMU guests)"}
    times, saved = drawn["ours (emulated)"]
    assert times == [0, 1, 2, 3, 4]
    assert saved == pytest.approx([pages * MIB_PER_PAGE for pages in (0, 500, 900, 1000, 1000)])
    assert drawn["ours (emulated), possible"][1] == pytest.approx([1000 * MIB_PER_PAGE] * 5)
    assert drawn["theirs (measured on QEMU guests)"][0] == [0, 1, 2]
    (axes,) = drawing.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), drawing.get_suptitle()) == ("time, s", "saved, MiB", "both")
    assert {text.get_text() for text in drawing.legends[0].texts} == set(drawn)


def test_a_run_has_one_colour_and_what_was_possible_is_dashed() -> None:
    (axes,) = draw_series([figures("a"), figures("b")]).axes
    saved_a, possible_a, saved_b, _ = axes.lines
    assert saved_a.get_color() == possible_a.get_color() != saved_b.get_color()
    assert (saved_a.get_linestyle(), possible_a.get_linestyle()) == ("-", "--")


def test_a_level_without_a_series_is_a_line_across() -> None:
    drawing = draw_series([figures("ours"), Figures("paper", "published", levels={"saved_pages": 950})])
    level = lines(drawing)["paper (published), paper"][1]
    assert level == pytest.approx([950 * MIB_PER_PAGE] * 2)


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="no run has savings to draw"):
        draw_series([Figures("paper", "published", levels={"used_pages": 1})])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_results_by_label_give_the_same_file_twice(suffix: str, tmp_path: Path) -> None:
    paths = [plot_series({"run": result()}, tmp_path / f"{name}{suffix}") for name in "ab"]
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    begins = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}
    assert one.startswith(begins[suffix])
    assert suffix != ".svg" or b"run (emulated)" in one


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        result().save(tmp_path / name)
    arguments = [str(tmp_path / "a"), str(tmp_path / "b"), "--plot"]
    assert run_command(["compare", *arguments, str(tmp_path / "p.svg")]) == 0
    assert "a (emulated)" in (tmp_path / "p.svg").read_text()
    assert run_command(["compare", *arguments, str(tmp_path / "none" / "p.svg")]) == 2
    assert "choose another file" in capsys.readouterr().err


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.usefixtures("without_matplotlib")
def test_runs_are_looked_at_before_matplotlib_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result().save(tmp_path / "a")
    plot = ["--plot", str(tmp_path / "p.png")]
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "none"), *plot]) == 2
    assert "none does not exist" in capsys.readouterr().err
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "a"), *plot]) == 4
    assert capsys.readouterr().err == "vmdedup: plots need matplotlib; install it: pip install 'vmdedup[plot]'\n"


def test_one_run_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result().save(tmp_path / "a")
    assert run_command(["compare", str(tmp_path / "a"), "--plot", str(tmp_path / "p.svg")]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("1. a: emulated, 2 guests, 5 samples in 4 s\n")
    assert "why" not in captured.out
    assert "a (emulated)" in (tmp_path / "p.svg").read_text()


def test_a_directory_of_several_policies_is_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ksm", "esx"):
        result(policy=name).save(tmp_path / "all" / name)
    (tmp_path / "all" / "policies.json").write_text('{"policies": [{"policy": "ksm"}, {"policy": "esx"}]}')
    assert run_command(["compare", str(tmp_path / "all"), "--json", "--plot", str(tmp_path / "p.svg")]) == 0
    assert [run["label"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["ksm", "esx"]
    assert "esx (emulated)" in (tmp_path / "p.svg").read_text()
    assert list(vmdedup.open_results(tmp_path / "all")) == ["ksm", "esx"]
    assert list(vmdedup.open_results(tmp_path / "all" / "esx")) == [""]
    with pytest.raises(UsageError, match=r"for each of several policies; open one of .*all/ksm, .*all/esx"):
        vmdedup.open_result(tmp_path / "all")
