"""The cluster-tree algorithm: as the tree, but a node also holds what only half of the guests below it have.

So it knows of more sharing, and charges some guests for what they do not have: a plan fits all the same.
Source: Sindelar, Sitaraman and Shenoy, SPAA 2011 (abstract; what a cluster holds is our reading).
"""

from __future__ import annotations

from vmdedup.place.fleet import Fleet
from vmdedup.place.hierarchy import charged, nested
from vmdedup.place.plan import Plan, Room
from vmdedup.place.tree import seen
from vmdedup.place.tree_filling import fill_all

NAME = "cluster-tree"
SHARE = 0.5


def place(fleet: Fleet, room: Room) -> Plan:
    """Host after host, as many guests as go onto it."""
    tree = charged(fleet, nested(fleet), SHARE)
    return fill_all(fleet, room, tree, NAME, seen(fleet, tree.charged))
