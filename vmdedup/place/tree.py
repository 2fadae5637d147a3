"""The tree algorithm: hosts filled by a tree whose nodes hold what all guests below them have.

Source: Sindelar, Sitaraman and Shenoy, Sharing-aware algorithms for virtual machine colocation, SPAA 2011 (abstract).
There the tree is given (system, version, libraries, application); here it is found by what guests share.
"""

from __future__ import annotations

from vmdedup.place.fleet import Fleet
from vmdedup.place.hierarchy import charged, nested
from vmdedup.place.plan import Plan, Room
from vmdedup.place.tree_filling import fill_all

NAME = "tree"
SHARE = 1.0  # of the guests below a node that have what it holds


def place(fleet: Fleet, room: Room) -> Plan:
    """Host after host, as many guests as go onto it."""
    tree = charged(fleet, nested(fleet), SHARE)
    return fill_all(fleet, room, tree, NAME, seen(fleet, tree.charged))


def seen(fleet: Fleet, pages: int) -> str:
    """How much of what all guests share the tree knows of. pages: that it charges them together."""
    return f"the tree knows of {captured(fleet, pages):.0%} of what guests share"


def captured(fleet: Fleet, pages: int) -> float:
    """The same as a share."""
    alone = int(fleet.alone.sum())
    shared = alone - fleet.used(range(len(fleet)))
    return (alone - pages) / shared if shared else 1.0
