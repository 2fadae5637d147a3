"""vmdedup explain --terminal: through the steps by keys, or all of them where nobody sits at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmdedup.cli.keys import has_keys, key, keys
from vmdedup.cli.say import say
from vmdedup.explained.terminal import Screen

HELP = "n, space, →: next   b, ←: back   l: the script's next line   g: first   e: last   q: leave"


def step_through(story: Mapping[str, Any]) -> None:
    """Show a document of explain.document."""
    if not story["steps"]:
        say("the script has no steps")
        return
    screen = Screen(story)
    if has_keys():
        _by_keys(screen)
        return
    for text in (story["title"], story["introduction"]):
        if text:
            say(text)
    for number in range(len(screen.steps)):
        screen.go(number)
        say("\n".join(screen.brief()))
    if story["closing"]:
        say(f"# {story['closing']}")


def _by_keys(screen: Screen) -> None:
    from rich.text import Text

    from vmdedup.report.console import console

    acts: dict[str, Callable[[], None]] = {
        **dict.fromkeys(("n", " ", "right"), lambda: screen.go(screen.at + 1)),
        **dict.fromkeys(("b", "left"), lambda: screen.go(screen.at - 1)),
        "l": screen.next_line,
        **dict.fromkeys(("g", "home"), lambda: screen.go(0)),
        **dict.fromkeys(("e", "end"), lambda: screen.go(len(screen.steps) - 1)),
    }
    target = console(no_color=False, to_stdout=True)
    with keys(), target.screen(hide_cursor=True) as shown:
        while True:
            shown.update(Text("\n".join((*screen.lines(), "", HELP))))
            pressed = key()
            if pressed == "q":
                return
            acts.get(pressed, lambda: None)()
