"""The algorithms by name, in the order in which tables show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.late import load
from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Plan, Room
from vmdedup.shown import suggest

Algorithm = Callable[[Fleet, Room], Plan]
ALGORITHMS: Final[Mapping[str, str]] = {
    "first-fit": "vmdedup.place.first_fit:place",
    "best-fit": "vmdedup.place.best_fit:place",
    "buddies": "vmdedup.place.buddies:place",
    "tree": "vmdedup.place.tree:place",
    "cluster-tree": "vmdedup.place.cluster_tree:place",
    "exact": "vmdedup.place.exact:place",
}
START: Final = "first-fit"  # from where guests move whose host is not said
USUAL: Final = tuple(name for name in ALGORITHMS if name != "exact")


def choose(text: str) -> list[str]:
    """Names with commas between. UsageError: there is no such algorithm."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := next((name for name in names if name not in ALGORITHMS), None):
        raise UsageError(f"no algorithm {unknown!r}; {suggest(unknown, ALGORITHMS)}")
    return names


def algorithm(name: str) -> Algorithm:
    """The function that makes a plan."""
    made: Algorithm = load(ALGORITHMS[name])
    return made
