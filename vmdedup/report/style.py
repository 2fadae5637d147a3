"""How lines are told apart in all pictures: by colour, by dashes and by marks, so that any two of these may be missing.

Colours are Okabe and Ito's, which people who see colours differently tell apart, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#8C6D1F")
MARKS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
# Whole first, and then with more and more gaps: where lines lie on each other, the one below is seen through them.
DASHES: Final = ((), (6, 2), (2, 1.5), (7, 2, 1.5, 2), (4, 4), (1, 3), (8, 2, 1, 2, 1, 2), (3, 5))
_WIDEST, _WIDTH_STEP, _THINNEST = 2.6, 0.5, 1.2
_LARGEST, _SIZE_STEP, _SMALLEST = 9.0, 1.5, 5.0


@dataclass(frozen=True)
class Style:
    """A line's look. dashes: lengths on and off in points; none: the line is whole. size: of its marks."""

    colour: str
    mark: str
    dashes: tuple[float, ...]
    width: float
    size: float


def style_of(number: int) -> Style:
    """The look of the line with this number, from 0; earlier ones are larger. 64 differ in colour or dashes."""
    place = number % len(COLOURS)
    dashes = DASHES[(number + number // len(COLOURS)) % len(DASHES)]
    width, size = max(_THINNEST, _WIDEST - _WIDTH_STEP * number), max(_SMALLEST, _LARGEST - _SIZE_STEP * number)
    return Style(COLOURS[place], MARKS[place], dashes, width, size)
