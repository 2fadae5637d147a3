"""The console that reports are rendered on: rich's, but for foreign text, which no terminal obeys."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from vmdedup.shown import shown_lines

if TYPE_CHECKING:
    from vmdedup.report.live import LiveView

GAP = 2  # blanks between two columns of a table; rich wants as many for the first one, too
_WIDTH = 110  # columns where there is no terminal


class SafeConsole(Console):
    """What is no control of rich's own is text, and what cannot be printed in it is spelled out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's; a part of what is rendered comes through here, too."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(shown_lines(segment.text), segment.style)


def console(no_color: bool, to_stdout: bool = False) -> SafeConsole:
    """A console on stderr (or stdout). NO_COLOR and FORCE_COLOR are obeyed; --no-color goes before both."""
    stream = sys.stdout if to_stdout else sys.stderr
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH
    return SafeConsole(file=stream, no_color=no_color or None, width=width, soft_wrap=False, emoji=False, markup=False)


def print_parts(target: Console, parts: Iterable[RenderableType]) -> None:
    """Print one after another, without the blanks that rich leaves at the ends of lines."""
    with target.capture() as captured:
        for part in parts:
            target.print(part, highlight=False)
    target.file.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


@contextmanager
def live_view(target: Console, title: str, duration: int, shown: bool = True) -> Iterator[LiveView | None]:
    """The table while a run goes on (LiveView); None, and nothing loaded, where nobody could see it, or shall."""
    if not shown or not (target.is_terminal or target.is_jupyter):
        yield None
        return
    from vmdedup.report.live import LiveView

    with LiveView(target, title, duration) as view:
        yield view
