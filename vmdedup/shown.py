"""What others wrote, made fit to be shown: what foreign text passes on its way to a terminal or a document.

File names, names of guests and dumps, fields of recordings and exports may hold anything: escape sequences that move
the cursor or rename the window, marks that turn the writing direction, bytes that are no UTF-8. Whatever is not
printable is spelled out, so a reader sees that it is there, and a terminal does not obey it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_LONGEST = 100  # characters of what is quoted
_UNDECODED = range(0xDC80, 0xDD00)  # how Python keeps bytes of a name that are no UTF-8


def shown(text: object) -> str:
    """The text on one line, with what cannot be printed as \\n, \\x1b, \\u202e; bytes that are no UTF-8 as \\xff."""
    words = str(text)
    return words if words.isprintable() else "".join(map(_spelled, words))


def shown_lines(text: object) -> str:
    """As shown(), line by line: for text that has lines of its own."""
    return "\n".join(map(shown, str(text).split("\n")))


def quoted(value: object) -> str:
    """A value as Python writes it, cut where it gets long: for messages about what somebody gave."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def suggest(unknown: str, known: Iterable[str], otherwise: str = "") -> str:
    """The remedy for a name that does not exist: the nearest one that does; else `otherwise`, or all that do."""
    import difflib

    names = sorted(known)
    near = difflib.get_close_matches(unknown, names, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise or f"known are {', '.join(names) or 'none'}"


def json_text(document: Mapping[str, Any]) -> str:
    """A JSON document as this project writes them: sorted keys, two spaces, no newline at the end.

    Always UTF-8, and fit for a terminal: in strings, what cannot be printed stands as JSON's own \\u escape.
    """
    import json

    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    if text.replace("\n", " ").isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text)


def _spelled(letter: str) -> str:
    if letter.isprintable():
        return letter
    if ord(letter) in _UNDECODED:
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def _escaped(letter: str) -> str:
    """JSON's spelling: one \\u, or two for what lies beyond the first 65,536 characters."""
    halves = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{halves[at : at + 2].hex()}" for at in range(0, len(halves), 2))
