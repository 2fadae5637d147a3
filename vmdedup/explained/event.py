"""One thing that ksmd did on its visit of a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """what: its kind. says: a sentence. short: its part of the visit's one line, "" if it has none.

    tree, node: where in a tree it happened, by the node's name there; "" if nowhere.
    """

    what: str
    says: str
    short: str = ""
    tree: str = ""
    node: str = ""
