"""Published experiments: figures that can be read, verdicts by their rules, the command, and the page it writes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.papers.bench.base import Bench, Experiment, Finding
from vmdedup.papers.bench.published import Published
from vmdedup.papers.bench.verdict import AGREES, DISAGREES, OTHER_LEVEL, UNPUBLISHED, Row
from vmdedup.papers.table import EXPERIMENTS, choose
from vmdedup.policy.work import PRICES_NS
from vmdedup.report.compare.published import read_published
from vmdedup.report.literature import write_page
from vmdedup.run import pricing

FILES = sorted(Path(str(resources.files("vmdedup.papers") / "published")).glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_figures_are_read_by_compare_too(path: Path) -> None:
    figures, ours = read_published(path), Published.read(path.stem)
    assert figures.levels == ours.levels
    assert (figures.label, figures.source, figures.certainty) == (ours.label, ours.source, ours.certainty)


def test_every_file_of_figures_has_an_experiment() -> None:
    assert {experiment.published for experiment in EXPERIMENTS.values()} == {path.stem for path in FILES}


@pytest.mark.parametrize(
    ("paper", "ours", "within", "holds", "verdict"),
    [
        (10.0, 12.0, 2.0, True, AGREES),
        (10.0, 12.0, 2.0, None, AGREES),
        (10.0, 12.1, 2.0, True, OTHER_LEVEL),
        (10.0, 12.1, 2.0, None, DISAGREES),
        (10.0, 10.0, 2.0, False, DISAGREES),
        (10.0, 90.0, None, True, OTHER_LEVEL),
        (None, 3.0, None, None, UNPUBLISHED),
        (None, 3.0, None, True, AGREES),
        (None, 3.0, None, False, DISAGREES),
    ],
)
def test_verdicts(paper: float | None, ours: float, within: float | None, holds: bool | None, verdict: str) -> None:
    assert Row("x", "%", paper, ours, within, "a < b", holds).verdict == verdict


def test_names_are_chosen_once_and_checked() -> None:
    assert [experiment.name for experiment in choose(["de-figure2", "de-table1", "de-figure2"])] == [
        "de-figure2",
        "de-table1",
    ]
    assert choose(["all"]) == list(EXPERIMENTS.values())
    with pytest.raises(UsageError, match="no experiment 'de-tabel1'; did you mean 'de-table1'"):
        choose(["de-tabel1"])


def test_the_list_has_every_experiment_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["experiment", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in listed["experiments"]} == set(EXPERIMENTS)
    assert all(each["source"] for each in listed["experiments"])


def test_an_unknown_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["experiment", "run", "de-tabel1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.compiled
def test_figure_2_has_the_paper_s_ordering(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """k gains, s > 1 loses: on the memory of whole guests. Everything is written that was asked for."""
    arguments = ["experiment", "run", "de-figure2", "--quick", "--json", "--docs", str(tmp_path / "docs")]
    assert run_command([*arguments, "--output", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    (experiment,) = json.loads(text)["experiments"]
    held = {row["figure"] for row in experiment["rows"] if row["holds"]}
    assert held >= {"(1,1),1", "(2,1),1", "(1,2),1", "(2,2),1"}
    assert json.loads((tmp_path / "out" / "experiments.json").read_text()) == json.loads(text)
    page = (tmp_path / "docs" / "results.md").read_text()
    for row in experiment["rows"]:
        assert f"| {row['figure']} | % | {row['paper']:,.4g} | {row['ours']:,.4g} |" in page


# On so small a phone the app in front, which exclusion leaves out, is a large part of memory.
DISAGREE = {"phones": {"exclusion: of KSM's saving", "exclusion: of KSM's work for that"}}


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["xlh-build", "xlh-boot", "uksm-equal-cpu", "smart-scan", "esx-identical", "phones", "leak", "isolation-cost"],
)
def test_the_papers_directions_hold(name: str) -> None:
    """Whatever the level: XLH sooner, UKSM more for its CPU, fewer pages by smart scan, VUsion tells nothing."""
    found = EXPERIMENTS[name].run(Bench(quick=True))
    against = {row["figure"] for row in found["rows"] if row["holds"] is False}
    assert against - DISAGREE.get(name, set()) == set()


@pytest.mark.compiled
@pytest.mark.slow
def test_uksm_saves_more_if_its_steps_by_hash_are_as_dear_as_ksms_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all prices that it pays, this one is least sure; it cannot be more than that."""
    monkeypatch.setattr(pricing, "PRICES_NS", {**PRICES_NS, "hash_step": PRICES_NS["stable_level"]})
    found = EXPERIMENTS["uksm-equal-cpu"].run(Bench(quick=True))
    assert [row["figure"] for row in found["rows"] if row["holds"] is not True] == []


@pytest.mark.compiled
@pytest.mark.slow
def test_the_engine_saves_more_than_esx_and_its_parts_add_up() -> None:
    found = EXPERIMENTS["de-techniques"].run(Bench(quick=True))
    ours = {row["figure"]: row["ours"] for row in found["rows"]}
    for kind in ("homogeneous", "mixed"):
        assert ours[f"{kind}, settled: saved"] > ours[f"{kind}, settled: esx"]
        for phase in ("working", "settled"):
            parts = sum(ours[f"{kind}, {phase}: {name}"] for name in ("shared", "patched", "compressed"))
            assert parts == pytest.approx(ours[f"{kind}, {phase}: saved"], abs=1.0)
    assert ours["homogeneous, settled: saved"] > ours["homogeneous, working: saved"] + 10, "deleted files are shared"


def test_a_page_without_curves_has_no_pictures(tmp_path: Path) -> None:
    published = Published.read("difference_engine_table1")
    finding = Finding([Row("a", "s", 2.0, 3.0, 2.0)], "as found")
    experiment = Experiment("mine", "My title", "difference_engine_table1", "Stood in.", lambda bench, p: finding)
    found = experiment.run(Bench())
    page = write_page({"command": "c", "experiments": [found]}, tmp_path / "docs")
    text = page.read_text()
    assert published.source in text
    assert "| a | s | 2 | 3 | +1 | agrees | level within 2 s |" in text
    assert "1 × agrees" in text
    written = {str(path.relative_to(tmp_path / "docs")) for path in (tmp_path / "docs").rglob("*")}
    assert written == {"results.md", "results", "results/experiments.json"}
