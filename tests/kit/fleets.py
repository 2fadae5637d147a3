"""Fleets for tests: drawn by Hypothesis, and counted again in the obvious way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from vmdedup.place.fleet import Guest

CONTENTS = 24


def guests_of(contents: Sequence[set[int]], more: int = 0) -> list[Guest]:
    """A guest for each set of contents, with so many pages more than contents."""
    return [
        Guest(f"g{number}", len(its) + more, np.array(sorted(its), np.uint64)) for number, its in enumerate(contents)
    ]


def union(contents: Sequence[set[int]], guests: Sequence[int]) -> int:
    """Pages that some guests take on one host: each content once."""
    return len(set().union(*(contents[guest] for guest in guests)))


def contents(most: int) -> st.SearchStrategy[list[set[int]]]:
    """What up to so many guests hold, each something."""
    return st.lists(st.sets(st.integers(1, CONTENTS), min_size=1, max_size=8), min_size=1, max_size=most)
