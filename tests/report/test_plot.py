"""Pictures that can be read: every line there and unlike every other, the legend beside the data, axes as said.

What is looked at is what is drawn, so the same is asked of made-up lines and of every picture of docs/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.report import experiments
from vmdedup.report.experiments import frame_of, lines_of
from vmdedup.report.plot import Frame, Kind, Line, check_ending, draw_lines, plot_lines
from vmdedup.report.style import style_of

DOCS = Path(__file__).parent.parent.parent / "docs"
KEPT = DOCS / "results" / "experiments.json"
DRAWN = {each["name"]: each for each in json.loads(KEPT.read_text())["experiments"] if each["curves"]}
FRAME = Frame("time, s", "saved, MiB", "a title")


def rendered(lines: list[Line], frame: Frame = FRAME) -> Any:
    """The drawing, laid out as it will be saved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawing = draw_lines(lines, frame)
    canvas: Any = FigureCanvasAgg(drawing)
    canvas.draw()
    return drawing


def check_readable(drawing: Any, lines: list[Line]) -> None:
    """Raises what a reader would complain of."""
    check_legend(drawing, lines)
    panels = list(dict.fromkeys(line.panel for line in lines))
    assert len(drawing.axes) == len(panels)
    for axes, panel in zip(drawing.axes, panels, strict=True):
        check_panel(axes, [line for line in lines if line.panel == panel])


def check_legend(drawing: Any, lines: list[Line]) -> None:
    """It names every line once, lies on no panel, and nothing is cut off at the edge."""
    (legend,) = drawing.legends
    names = [text.get_text() for text in legend.texts]
    assert sorted(names) == sorted({line.caption for line in lines})
    renderer = drawing.canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    for axes in drawing.axes:
        assert not box.overlaps(axes.get_tightbbox(renderer)), "the legend lies on the data, or on an axis"
    assert box.x0 >= 0
    assert box.x1 <= drawing.bbox.x1


def check_panel(axes: Any, lines: list[Line]) -> None:
    """Every line is drawn with its data, within the axes, and has a look of its own."""
    assert axes.get_legend() is None
    drawn = [(each.get_label(), list(each.get_xdata()), list(each.get_ydata()), look(each)) for each in axes.lines]
    for line in lines:
        if line.x and isinstance(line.x[0], str):
            (bars,) = [each for each in axes.containers if each.get_label() == line.caption]
            assert [bar.get_height() for bar in bars] == pytest.approx(list(line.y))
            continue
        y = list(line.y) if line.x else [line.y[0]] * 2
        assert any(name == line.caption and ys == y and (not line.x or xs == list(line.x)) for name, xs, ys, _ in drawn)
        low, high = axes.get_ylim()
        assert low <= min(line.y) <= max(line.y) <= high, "a line goes out of the picture"
    looks = {name: {each for other, _, _, each in drawn if other == name} for name, *_ in drawn}
    assert all(len(each) == 1 for each in looks.values())
    assert len(set().union(*looks.values())) == len(looks), "two lines look alike"
    colours = [(*bars.patches[0].get_edgecolor(), bars.patches[0].get_hatch() or "") for bars in axes.containers]
    assert len(set(colours)) == len(colours)


def look(line: Any) -> tuple[Any, ...]:
    return line.get_color(), str(line._dash_pattern), line.get_marker()


@pytest.mark.parametrize("name", DRAWN)
def test_every_picture_of_the_docs_can_be_read(name: str) -> None:
    lines = lines_of(DRAWN[name])
    check_readable(rendered(lines, frame_of(DRAWN[name])), lines)


def test_every_picture_of_the_docs_is_of_the_kept_figures() -> None:
    """By what stands in it; where things lie may differ with matplotlib's version."""
    shown = (DOCS / "results.md").read_text()
    assert {path.stem for path in (DOCS / "results").glob("*.svg")} == set(DRAWN)
    for name, experiment in DRAWN.items():
        assert f"(results/{name}.svg)" in shown
        text = (DOCS / "results" / f"{name}.svg").read_text()
        for line in lines_of(experiment):
            assert f">{line.caption}</text>" in text, (name, line.caption)


def test_the_page_of_the_docs_is_the_kept_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "plot_lines", lambda lines, path, frame, force: path)
    assert run_command(["experiment", "show", str(KEPT), "--docs", str(tmp_path), "--json"]) == 0
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text()
    assert json.loads((tmp_path / "results" / "experiments.json").read_text()) == json.loads(KEPT.read_text())


def test_the_clock_goes_by_powers_of_ten_and_says_seconds() -> None:
    experiment = DRAWN["de-clock"]
    drawing = rendered(lines_of(experiment), frame_of(experiment))
    axes = drawing.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    texts = [tick.get_text() for tick in axes.get_xticklabels()]
    assert {"0.1", "1", "10", "100"} <= set(texts)


@pytest.mark.parametrize(
    ("name", "papers"),
    [("smart-scan", {22.5, 35.0}), ("advisor", {46.4}), ("barker", {14.0, 2.0}), ("de-rubis", {58.0, 63.0, 60.0})],
)
def test_what_papers_say_stands_in_the_picture(name: str, papers: set[float]) -> None:
    found = {line.y[0] for line in lines_of(DRAWN[name]) if line.kind is Kind.PAPER}
    assert found == papers


def test_who_is_compared_in_words_has_bars() -> None:
    for name in ("isolation-cost", "de-figure2"):
        drawing = rendered(lines_of(DRAWN[name]), frame_of(DRAWN[name]))
        (axes,) = drawing.axes
        assert (len(axes.lines), len(axes.containers)) == (0, 2)


def test_lines_on_each_other_are_both_seen() -> None:
    """The one above is thinner, and has gaps where the first is whole; marks are of other sizes, or elsewhere."""
    times = [float(second) for second in range(100)]
    lines = [Line(name, times, times) for name in "abc"]
    drawing = rendered(lines)
    check_readable(drawing, lines)
    below, middle, above = drawing.axes[0].lines
    assert below.get_linestyle() == "-"
    assert middle.get_linestyle() == above.get_linestyle() == "--"
    assert below.get_linewidth() > middle.get_linewidth() > above.get_linewidth()
    assert len({str(line.get_markevery()) for line in drawing.axes[0].lines}) == 3


def test_sixteen_lines_are_all_unlike() -> None:
    lines = [Line(f"number {number}", [0.0, 1.0], [0.0, float(number)]) for number in range(16)]
    check_readable(rendered(lines), lines)
    assert len({(style_of(number).colour, style_of(number).dashes) for number in range(64)}) == 64


def test_a_label_has_one_look_in_all_panels_and_stands_in_the_legend_once() -> None:
    lines = [Line(label, [0.0, 1.0], [1.0, 2.0], panel) for panel in ("one", "two", "three") for label in ("a", "b")]
    lines.append(Line("a", (), [3.0], "two", Kind.PAPER))
    drawing = rendered(lines)
    check_readable(drawing, lines)
    assert [axes.get_title() for axes in drawing.axes] == ["one", "two", "three"]
    assert len({axes.lines[0].get_color() for axes in drawing.axes}) == 1
    assert drawing.axes[1].lines[2].get_color() == drawing.axes[1].lines[0].get_color()
    assert len({axes.get_ylim() for axes in drawing.axes}) == 1


def test_many_runs_with_long_names_leave_room_for_the_data() -> None:
    lines = [
        Line(f"runs/a-rather-long-name-of-a-directory-{n} (emulated)", [0.0, 9.0], [0.0, 5.0 + n]) for n in range(12)
    ]
    drawing = rendered(lines)
    check_readable(drawing, lines)
    assert drawing.axes[0].get_position().height > 0.3


@pytest.mark.parametrize("label", ["a$b$c", "$\\frac{$", "\u4e00\u4e8c", "<&>\"'", "_hidden"])
def test_names_are_only_text(label: str, tmp_path: Path) -> None:
    lines = [Line(label, [0.0, 1.0], [1.0, 2.0])]
    for ending in ("svg", "png", "pdf"):
        assert plot_lines(lines, tmp_path / f"p.{ending}", FRAME).stat().st_size > 1000
        assert plot_lines(lines, tmp_path / f"p.{ending}", FRAME), "ours may be replaced"
    drawing = draw_lines(lines, FRAME)
    assert [text.get_text() for text in drawing.legends[0].texts] == [label]


def test_a_name_gives_no_orders_to_whoever_reads_the_picture() -> None:
    (entry,) = draw_lines([Line("a\x1b[2J\u202eb", [0.0, 1.0], [1.0, 2.0])], FRAME).legends[0].texts
    assert entry.get_text() == "a\\x1b[2J\\u202eb"


def test_endings_are_checked() -> None:
    check_ending("pdf")
    with pytest.raises(UsageError, match="--pictures gif: there are png, svg, pdf"):
        check_ending("gif")
    with pytest.raises(UsageError, match=r"x.gif ends in none of .png, .svg, .pdf"):
        plot_lines([Line("a", [0.0], [1.0])], "x.gif", FRAME)


def test_kept_figures_are_drawn_again_in_another_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["experiment", "show", str(KEPT), "leak", "--docs", str(tmp_path), "--pictures", "pdf"]
    assert run_command(arguments) == 0
    assert capsys.readouterr().out.startswith("leak: Leaks")
    assert (tmp_path / "results" / "leak.pdf").read_bytes().startswith(b"%PDF")
    assert "(results/leak.pdf)" in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"experiments": [{}]}, "experiments.0.name: Field required"),
        ({"schema_version": 3}, "schema_version"),
        ({"schema_version": 1}, "an earlier version"),
        ({"experiments": 7}, "experiments: Input should be a valid list"),
    ],
)
def test_what_is_no_document_of_experiments_is_one_line(
    change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(json.loads(KEPT.read_text()) | change))
    assert run_command(["experiment", "show", str(tmp_path / "x.json")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")


def test_unknown_names_and_missing_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["experiment", "show", str(KEPT), "leek"]) == 2
    assert "has no experiment 'leek'; it has de-table1, " in capsys.readouterr().err
    assert run_command(["experiment", "show", str(tmp_path / "none.json")]) == 2
    assert "does not exist; vmdedup experiment run" in capsys.readouterr().err
