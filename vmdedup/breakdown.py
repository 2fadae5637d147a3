"""An error that nobody expected, in one line: what it is, and where."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

# Code that is not the author's whose policy, say, has broken down.
_LIBRARIES: Final = tuple({str(Path(__file__).parent), *sysconfig.get_paths().values()})
WANTS_MEMORY: Final = "the system gives it no memory (ulimit -v?); raise the limit, or run fewer or smaller guests"
_LONGEST: Final = 300  # characters of what an error says of itself


def in_a_line(error: BaseException) -> str:
    """For example: ValueError: no such page (mine.py:17).

    The place is the innermost in code that is neither ours nor a library's, if there is one: an author looks there.
    Want of memory is nobody's mistake, so the line says what to do instead.
    """
    if isinstance(error, MemoryError):
        return WANTS_MEMORY
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((*_LIBRARIES, "<"))]
    place = (theirs or frames)[-1:]
    where = f" ({place[0].filename}:{place[0].lineno})" if place else ""
    said = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"
