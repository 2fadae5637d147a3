"""docs/scripts.md: its examples print what stands below them, and it knows every step, knob, content and counter.

python tests/replay/test_scripts_page.py       writes what the examples print into the page
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.script_workers import machine_of
from vmdedup.cli import run_command
from vmdedup.errors import ScriptError
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, TUNABLES
from vmdedup.replay.grammar import SHORT, USAGES
from vmdedup.replay.play import play
from vmdedup.replay.script import parse_text

PAGE = Path(__file__).parent.parent.parent / "docs" / "scripts.md"
EXAMPLE = re.compile(
    r"```ksm\n(?P<script>.*?)```\n\n(?:prints\n\n)?```(?P<kind>json|text)\n(?P<said>.*?)```", re.DOTALL
)
EXAMPLES = [(found["script"], found["kind"], found["said"]) for found in EXAMPLE.finditer(PAGE.read_text())]


def said_of(script: str, kind: str) -> str:
    """What the emulator prints for a script, or the error that it gets."""
    if kind == "text":
        with pytest.raises(ScriptError) as refused:
            parse_text(script, Path(), "example.ksm")
        return f"{refused.value}\n"
    parsed = parse_text(script, Path(), "example.ksm")
    with machine_of(parsed, workers=False) as machine:
        return "".join(f"{line}\n" for line in play(parsed, machine))


@pytest.mark.parametrize(("script", "kind", "said"), EXAMPLES)
def test_each_example_prints_what_stands_below_it(script: str, kind: str, said: str) -> None:
    assert said_of(script, kind) == said


def test_every_example_is_played() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count("```ksm") >= 10


def test_the_page_has_every_step_knob_and_counter() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| `([^`]*)` \|", text.split("\n## Steps\n")[1].split("\n## ")[0], re.MULTILINE)
    assert [row.replace("\\|", "|") for row in rows] == list(USAGES.values())
    for name in (*TUNABLES, *COUNTERS, *PROCESS_COUNTERS):
        assert f"`{name}`" in text, name


def test_the_help_has_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", "--help"]) == 0
    said = capsys.readouterr().out
    shown = re.findall(r"^  ([a-z].*?)  ", SHORT, re.MULTILINE)
    usages = [usage.replace(" [node=N] [huge|anysize] [plain|merge_any]", " [OPTIONS]") for usage in USAGES.values()]
    assert shown == usages
    for usage in usages:
        assert re.search(rf"^ +{re.escape(usage)}  ", said, re.MULTILINE), usage
    assert "docs/scripts.md" in said


def test_readme_names_the_page() -> None:
    assert "docs/scripts.md" in (PAGE.parent.parent / "README.md").read_text()


if __name__ == "__main__":

    def replaced(found: re.Match[str]) -> str:
        start, end = (found.start("said") - found.start(), found.end("said") - found.start())
        return found[0][:start] + said_of(found["script"], found["kind"]) + found[0][end:]

    PAGE.write_text(EXAMPLE.sub(replaced, PAGE.read_text()))
