"""What fuzzers of documents have in common: odd values, one node of a document changed, and how a case is judged."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmdedup.errors import VmdedupError
from vmdedup.shown import shown

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    1 << 31,
    1 << 52,
    1 << 63,
    1 << 200,
    "",
    "x" * 5000,
    "\x1b]0;x\x07",
]
HOSTILE += ["\u202e\udcff", [], {}, [[]], {"name": 1}, float("nan"), float("inf"), [0] * 3, "9" * 5000]


@dataclass(frozen=True)
class Kind:
    """write(dice, folder): a changed document in an empty folder. read: all that a command would do with it.

    prepare: what is done before the first case.
    """

    write: Callable[[random.Random, Path], Path]
    read: Callable[[Path], str]
    prepare: Callable[[], None] = lambda: None


def changed(document: Any, dice: random.Random) -> Any:
    """A JSON document with one node that is another."""
    if isinstance(document, dict) and document and dice.random() < 0.8:
        key = dice.choice(sorted(document))
        rest = {name: value for name, value in document.items() if name != key}
        return rest if dice.random() < 0.1 else rest | {key: changed(document[key], dice)}
    if isinstance(document, list) and document and dice.random() < 0.8:
        at = dice.randrange(len(document))
        times = dice.choice((0, 1, 1, 1, 2))
        return [*document[:at], *[changed(document[at], dice)] * times, *document[at + 1 :]]
    return dice.choice(HOSTILE)


def run_kind(kinds: Mapping[str, Kind], name: str, seed: int, case: int, folder: Path) -> tuple[str, str]:
    """One case: "read" or "refused" and the message; "finding" and why."""
    kind = kinds[name]
    if case < 0:
        kind.prepare()
    path = kind.write(random.Random(f"{name} {seed} {case}"), folder)
    try:
        told, what = kind.read(path), "read"
    except VmdedupError as error:
        told, what = shown(error), "refused"
        if len(told) > 6000 or isinstance(error.__cause__, MemoryError):
            return "finding", f"memory, or no one line: {told[:1000]}"
    except BaseException:
        return "finding", traceback.format_exc()
    if not told.replace("\n", " ").isprintable() and what == "read":
        return "finding", f"not fit for a terminal: {told[:1000]!r}"
    return what, told
