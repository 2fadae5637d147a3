"""vmdedup explain SCRIPT: a KSM script step by step, with both trees: a page with a slider, or on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import Progress, say, say_document

if TYPE_CHECKING:
    from pathlib import Path

HELP = """Show what ksmd does in a KSM script, step by step, and why, with both trees drawn.

ksmd is the emulator's own, run page by page: what it looked at, compared, decided. -o writes a page with a slider, one
file that needs no network; --terminal goes through the steps here, by keys, and prints them all where there is no
terminal. --lesson plays one of the questions that come with the program, --lessons lists them, and --lessons -o FOLDER
writes scripts and pages of all of them.

\b
  vmdedup explain script.ksm -o page.html
  vmdedup explain script.ksm --terminal
  vmdedup explain --lesson two-trees --terminal
  vmdedup explain --lessons -o teach/
  vmdedup explain script.ksm --kernel 6.1 --json
"""


def explain(
    script: Annotated[str | None, typer.Argument(metavar="SCRIPT", help="A KSM script; - for standard input.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="PATH", help="The page to write.")] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Go through the steps here.")] = False,
    lesson: Annotated[str | None, typer.Option("--lesson", metavar="NAME", help="A question's script.")] = None,
    lessons: Annotated[bool, typer.Option("--lessons", help="All questions: list them, or write their pages.")] = False,
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="VERSION", help="Version of Linux that is emulated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The steps as one JSON document.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that vmdedup did not make.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError

    if sum((script is not None, lesson is not None, lessons)) != 1:
        raise UsageError("explain takes a script, or --lesson NAME, or --lessons; vmdedup explain --help has examples")
    if lessons:
        return _lessons(output, force)
    if not (output or terminal or as_json):
        raise UsageError("say where it is to be shown: -o PAGE.html, --terminal or --json")
    if output is None:
        _show(_document(script, lesson, kernel), terminal)
        return 0
    from vmdedup.explained.page import explained
    from vmdedup.outputs import Output

    with Output(output, force, [] if script in (None, "-") else [str(script)]) as file:
        story = _document(script, lesson, kernel)
        words = ["vmdedup explain", script or f"--lesson {lesson}", *([f"--kernel {kernel}"] if kernel else [])]
        file.write_bytes(explained(story, " ".join([*words, "-o", output])).encode())
    say(f"{output}: {len(story['steps'])} steps", err=True)
    return 0


def _document(script: str | None, lesson: str | None, kernel: str | None) -> dict[str, Any]:
    from vmdedup.explained.document import document
    from vmdedup.explained.lessons import lesson_script
    from vmdedup.explained.story import Story
    from vmdedup.replay.script import parse

    parsed = parse(script) if script is not None else lesson_script(str(lesson))
    with Progress() as progress:
        return document(Story(parsed, kernel), lambda step, line: progress.show(f"line {line}, step {step}"))


def _show(story: dict[str, Any], terminal: bool) -> None:
    if not terminal:
        say_document(story)
        return
    from vmdedup.cli.stepping import step_through

    step_through(story)


def _lessons(output: str | None, force: bool) -> int:
    from pathlib import Path

    from vmdedup.explained.lessons import lesson_script, lessons
    from vmdedup.outputs import make_folder

    if output is None:
        for name, question in lessons().items():
            say(f"{name:<20}{question}")
        return 0
    folder = Path(output)
    make_folder(folder)
    for name in lessons():
        _write_lesson(folder, name, lesson_script(name).text, force)
    say(f"{folder}: {len(lessons())} questions, each a script and a page", err=True)
    return 0


def _write_lesson(folder: Path, name: str, text: str, force: bool) -> None:
    from vmdedup.explained.lessons import MADE
    from vmdedup.explained.page import explained
    from vmdedup.outputs import Output

    with Output(folder / f"{name}.ksm", force) as script, Output(folder / f"{name}.html", force) as page:
        story = _document(None, name, None)
        script.write_bytes(f"{text}{MADE}\n".encode())
        page.write_bytes(explained(story, f"vmdedup explain --lesson {name} -o {name}.html").encode())
