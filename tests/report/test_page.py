"""`vmdedup report`: what a page says and draws, without scripts, and in a real browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.browser import Browser, need_browser
from vmdedup import Hypervisor
from vmdedup.cli import run_command
from vmdedup.result.run import Result

ROWS = [(2, 100, 10.0), (2, 500, 20.0), (4, 100, 30.0), (4, 500, 60.0)]
SCAN_FIGURES = {"pages": 8, "absent": 0, "zero": 1, "distinct": 5, "shared": 2, "sharing": 3, "read": 8}
MOST = 2_000_000  # bytes of a page


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    made = {}
    for policy in ("ksm", "none"):
        host = Hypervisor(policy=policy, pages_to_scan=2000).add(
            3, memory="16MiB", disk={"kind": "generated", "mib": 4}
        )
        made[policy] = host.run("3s")
    return made


@pytest.fixture(scope="module")
def folder(results: dict[str, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, a sweep, and a scan."""
    folder = tmp_path_factory.mktemp("results")
    for name, result in results.items():
        result.save(folder / name)
    (folder / "sweep").mkdir()
    axes = [{"name": "guests"}, {"name": "pages_to_scan"}]
    (folder / "sweep" / "sweep.json").write_text(
        json.dumps({"scenario": "idle", "runs": 4, "axes": axes, "seeds": [1]})
    )
    rows = [row(*each, number) for number, each in enumerate(ROWS)]
    (folder / "sweep" / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    dump = {**SCAN_FIGURES, "format": "raw", "saved_mib": 0.5}
    document = {
        "kind": "scan", "total": {**dump, "saved_zero_mib": 0.1, "saved_within_mib": 0.1, "saved_between_mib": 0.3},
        "dumps": [{**dump, "name": "<one>"}, {**dump, "name": "two"}], "top": [],
        "matrix": [{"dumps": ["<one>", "two"], "saved_mib": 0.3}],
    }  # fmt: skip
    (folder / "scan.json").write_text(json.dumps(document))
    return folder


def row(guests: int, pages: int, saved: float, number: int) -> dict[str, object]:
    """A row of a sweep."""
    from vmdedup.report.sweep import SHOWN

    figures = dict.fromkeys(SHOWN, None) | {"saved_mib": saved, "cpu_seconds": saved / 10}
    return {
        "run": number,
        "seed": 1,
        "ended": "complete",
        "reason": "",
        "guests": guests,
        "pages_to_scan": pages,
        **figures,
    }


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Path]:
    """Pages of one run, of several, of a sweep, of all."""
    named = {
        "one": ["ksm"], "several": ["ksm", "none"], "sweep": ["sweep"], "all": ["ksm", "none", "sweep", "scan.json"]
    }  # fmt: skip
    for name, parts in named.items():
        assert run_command(["report", *(str(folder / part) for part in parts), "-o", str(folder / f"{name}.html")]) == 0
    return {name: folder / f"{name}.html" for name in named}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_browser()
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


def words(path: Path) -> str:
    """The text of a page."""
    text = re.sub(r"<(script|style).*?</\1>", "", path.read_text(), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def test_the_answer_is_the_runs(pages: dict[str, Path], results: dict[str, Result]) -> None:
    summary = results["ksm"].summary
    text = words(pages["one"])
    assert summary["saved_mib"] > 1
    assert f"{summary['saved_mib']:,.0f} MiB ({summary['saved_percent']:.0f} %) are saved" in text
    assert f"{summary['pages_scanned']:,}" in text
    assert re.search(r"pages_to_scan\s+2000", text)
    assert "Of 2 runs, ksm saves most." in words(pages["several"])
    assert "Reasons of differences" in words(pages["several"])
    assert "Reasons of differences" not in text
    assert all(path.stat().st_size < MOST for path in pages.values())


def test_a_sweep_says_its_best_and_a_scan_its_saving(pages: dict[str, Path]) -> None:
    assert "Most is saved with guests=4, pages_to_scan=500: 60.0 MiB." in words(pages["sweep"])
    assert "sharing whole equal pages saves 0.5 MiB (37.5 %)" in words(pages["all"])
    assert "<one>" not in pages["all"].read_text()


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_charts_are_drawn_and_zoom(
    browser: Browser, pages: dict[str, Path], results: dict[str, Result], width: int, dark: bool
) -> None:
    for name, charts in (("one", 6), ("several", 6), ("sweep", 2), ("all", 10)):
        browser.open(pages[name], width, dark)
        boxes = browser.value(
            "[...document.querySelectorAll('figure.chart svg[role=img]')].map((s) => s.getBoundingClientRect().width)"
        )
        assert len(boxes) == charts, name
        assert min(boxes) > 60
        drawn = browser.value("[...document.querySelectorAll('polyline, rect')].every((e) => e.getBBox().width >= 0)")
        assert drawn
        assert all(
            browser.value("[...document.querySelectorAll('svg[role=img]')].map((s) => s.getAttribute('aria-label'))")
        )
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("getComputedStyle(document.body).backgroundColor") == (
            "rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)"
        )
        assert browser.complaints == []
    browser.open(pages["one"], width, dark)
    ticks = "[...document.querySelectorAll('svg[role=img]')[0].querySelectorAll('.tx')].map((t) => t.textContent)"
    assert browser.value(ticks)[-1] == f"{results['ksm'].series['time_s'][-1]:g}"
    browser.value("document.querySelector('.tools button[title=\"Zoom in\"]').click()")
    assert (browser.value(ticks)[0], browser.value(ticks)[-1]) == ("0.75", "2.25")
    browser.value("document.querySelector('svg[role=img]').focus()")
    browser.press("Escape")
    assert browser.value(ticks)[0] == "0"


def test_without_scripts_text_tables_and_charts_are_there(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["several"], scripts=False)
    text = browser.text()
    assert "polyline" in text
    assert "Reasons of differences" in text
    assert "Zoom in" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert browser.complaints == []


def test_a_notebook_shows_the_same_charts(results: dict[str, Result], pages: dict[str, Path]) -> None:
    shown = results["ksm"]._repr_html_()
    curve = re.search(r'points="[^"]+"', shown)
    assert curve is not None
    assert curve[0] in pages["one"].read_text()
    assert "Where savings come from" in shown


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (["nowhere"], "does not exist"),
        (["ksm/run.json"], "no document of a scan"),
        (["."], "is not the directory of a run"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    folder: Path, parts: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", *(str(folder / part) for part in parts), "-o", str(folder / "x.html")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (folder / "x.html").exists()
