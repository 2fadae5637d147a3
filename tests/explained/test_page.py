"""The page of a story: complete without scripts, and, in a real browser, drawn node by node."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.browser import Browser, need_browser
from kit.told_trees import ToldTrees
from vmdedup.explained.document import document
from vmdedup.explained.lessons import lesson_script
from vmdedup.explained.page import explained
from vmdedup.explained.story import Story
from vmdedup.replay.script import parse, parse_text

FIRST_STEPS = Path(__file__).parent.parent / "golden" / "first-steps.ksm"
NODES = """[...document.querySelectorAll("#%s g")].map((g) => [g.dataset.node, Number(g.dataset.red), g.dataset.left,
g.dataset.right, g.querySelector(".letter").textContent])"""


@pytest.fixture(scope="module")
def story() -> dict[str, Any]:
    return document(Story(parse(FIRST_STEPS)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_browser()
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


def test_all_is_said_without_scripts(story: dict[str, Any]) -> None:
    text = re.sub(r"<script.*?</script>", "", explained(story, "x"), flags=re.DOTALL)
    for step in story["steps"]:
        assert html.escape(step["says"]) in text
        assert all(html.escape(event[1]) in text for event in step.get("events", ()))


def test_nothing_of_a_script_is_a_tag(tmp_path: Path) -> None:
    told = document(
        Story(parse_text("# </script><script>alert(1)</script>\nvm <b> 1\nfill <b> 0 zero\n", tmp_path, "<i>"))
    )
    page = explained(told, "<u>")
    assert "<b>&lt;" not in page.replace("<b>line", "")
    assert "alert(1)</script>" not in page
    assert not {"<i>", "<u>"} & set(re.findall(r"<\w+>", page))


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_each_step_is_drawn(browser: Browser, story: dict[str, Any], tmp_path: Path, width: int, dark: bool) -> None:
    """Every tree node of every step, as the document has it; going on by keys, and back."""
    path = tmp_path / "page.html"
    path.write_text(explained(story, "x"))
    browser.open(path, width, dark)
    trees, drawn = ToldTrees(), dict[int, Any]()
    for number, step in enumerate(story["steps"]):
        trees.follow(step)
        drawn[number] = [expected(trees, name) for name in ("stable", "unstable")]
        assert [sorted(browser.value(NODES % name)) for name in ("stable", "unstable")] == drawn[number], step["says"]
        assert browser.value("document.getElementById('says').textContent") == step["says"]
        browser.press("ArrowRight")
    said = json.dumps(story["steps"][len(drawn) // 2]["says"])
    browser.value(f"location.hash = '#{len(drawn) // 2 + 1}'")
    browser.until(f"document.getElementById('says').textContent === {said}")
    browser.press("ArrowLeft")
    browser.press("ArrowRight")
    assert [sorted(browser.value(NODES % name)) for name in ("stable", "unstable")] == drawn[len(drawn) // 2]
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert all(browser.value("[...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label'))"))
    assert browser.complaints == []


def expected(trees: ToldTrees, name: str) -> list[list[Any]]:
    """The nodes of a tree, as the page has them."""
    nodes = []
    for node, value in trees.kept[name].items():
        letter = trees.kept["pages"][value["page"]][1] if "page" in value else value["dups"][0][0] or "†"
        nodes.append([node, value["red"], value["left"], value["right"], letter])
    return sorted(nodes)


def test_without_scripts_the_steps_stand_there(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    told = document(Story(lesson_script("checksum")))
    path.write_text(explained(told, "x"))
    browser.open(path, scripts=False)
    assert told["steps"][-1]["says"] in html.unescape(browser.text())
    assert browser.complaints == []
