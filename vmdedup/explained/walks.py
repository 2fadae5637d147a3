"""Walks down the two trees: what was compared with what, and how each ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from vmdedup.explained.event import Event
from vmdedup.explained.names import Names
from vmdedup.host.layout import NODE_SHIFT
from vmdedup.ksm.layout import DUP, UNSTABLE

STABLE_TREE, UNSTABLE_TREE = "stable", "unstable"


class Walks:
    """Events of walks. A walk down one tree is over before another begins, but a search can have others within."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.events: list[Event] = []
        self._walks: list[str] = []
        self._last: tuple[int, int] = (0, 0)  # the node that was compared with last, and how it was
        self.bytes_compared = 0

    def add(self, what: str, says: str, short: str = "", tree: str = "", node: str = "") -> None:
        """Note an event."""
        self.events.append(Event(what, says, short, tree, node))

    def take(self) -> list[Event]:
        """The events since the last time."""
        events, self.events = self.events, []
        return events

    def place(self, k: Any, node: int) -> str:
        """The name of a stable node's place in the tree, which is its chain's if it is in one."""
        return f"s{int(k.nodes[node]['parent']) if k.nodes[node]['flags'] & DUP else node}"

    def before_stable_tree_search(self, h: Any, k: Any, pfn: int, key: int, moved: int) -> None:
        """A search begins."""
        self._begin(STABLE_TREE)

    def before_stable_tree_insert(self, h: Any, k: Any, pfn: int) -> None:
        """A place for a new node is looked for."""
        self._begin(STABLE_TREE)

    def before_unstable_tree_search_insert(self, h: Any, k: Any, entry: int, pfn: int) -> None:
        """A search begins."""
        self._begin(UNSTABLE_TREE)

    def _begin(self, tree: str) -> None:
        self._walks.append(tree)
        self._last = (0, 0)

    def end_walk(self) -> None:
        """A walk is over."""
        self._walks.pop()

    def after_compare_keyed(self, sign: int, h: Any, k: Any, pfn: int, key: int, other: int, other_key: int) -> None:
        """A page and a merged page."""
        if self._walks and self._walks[-1] == STABLE_TREE:
            node = int(h.frames[other]) >> NODE_SHIFT
            sharers = ", ".join(self.names.sharers(node)[:3]) or "nobody left"
            called = f"{self.names.content(other)} (shared by {sharers})"
            self._compared(h, sign, pfn, other, called, self.place(k, node))
            self._last = (node, sign)

    def after_compare_with_tree_page(
        self, sign: int, h: Any, k: Any, pfn: int, key: int, entry: int, pte: int, other: int
    ) -> None:
        """A page and one that waits."""
        called = f"{self.names.page(entry)}, which holds {self.names.content(other)} now"
        self._compared(h, sign, pfn, other, called, f"u{entry}")
        self._last = (entry, sign)

    def _compared(self, h: Any, sign: int, pfn: int, other: int, called: str, node: str) -> None:
        tree, letter = self._walks[-1], self.names.content(pfn)
        if sign == 0:
            self.bytes_compared += h.bytes.shape[1]
            self.add("equal", f"{tree} tree: {letter} is equal to {called}", tree=tree, node=node)
            return
        at = int(np.flatnonzero(h.bytes[pfn] != h.bytes[other])[0])
        self.bytes_compared += at + 1
        less, way = ("less", "left") if sign < 0 else ("greater", "right")
        says = f"{tree} tree: {letter} is {less} than {called}, as byte {at} tells: to the {way}"
        self.add(less, says, tree=tree, node=node)

    def end_search(self, k: Any, found: int) -> None:
        """A search of the stable tree is over."""
        self.end_walk()
        node, sign = self._last
        if found:
            called = self.names.node(found)
            self.add(
                "found", f"the stable tree has {called}", f"stable: equal to {called}", "stable", self.place(k, found)
            )
        elif node and sign == 0:
            called = self.names.node(node)
            says = f"the stable tree has {called}, but its node takes no more"
            self.add("none", says, f"stable: {called} takes no more", "stable", self.place(k, node))
        else:
            self.add("none", "the stable tree has no equal page", "stable: none")

    def after_unstable_tree_search_insert(self, found: int, h: Any, k: Any, entry: int, pfn: int) -> None:
        """A search of the unstable tree is over; what was not found has been put there."""
        self.end_walk()
        item, page = k.items[entry], self.names.page(entry)
        if found:
            other = self.names.page(int(found))
            self.add(
                "found",
                f"{other} in the unstable tree is equal",
                f"unstable: equal to {other}",
                "unstable",
                f"u{found}",
            )
        elif item["flags"] & UNSTABLE and (int(k.st[0]["seqnr"]) - int(item["seq"])) & 255 == 0:
            says = (
                f"the unstable tree has no equal page: {page} is put there, and waits for its like until the scan ends"
            )
            self.add("waits", says, "unstable: none → put there", "unstable", f"u{entry}")
        else:
            self._ended(k)

    def _ended(self, k: Any) -> None:
        """A search ended at a page that cannot be compared with."""
        at, sign = self._last
        if at and sign == 0:
            says = f"{self.names.page(at)} is on another NUMA node: they are not merged, nothing is put into the tree"
            self.add("none", says, "unstable: equal, but on another NUMA node", "unstable", f"u{at}")
            return
        roots = [int(root) for root in k.unstable if root]
        end = int(k.items[at]["left" if sign < 0 else "right"]) if at else roots[0]
        page = self.names.page(end)
        says = f"the search ended at {page}, which is gone, or the very same frame: nothing is put into the tree"
        self.add("none", says, f"unstable: search ended at {page}", "unstable", f"u{end}")
