"""What is said of each of ksmd's calls that decide something.

`Calls` is told of every call of a kernel in WATCHED. A method before_NAME or after_NAME, with the kernel's own
arguments, makes events of it.
"""

from __future__ import annotations

from typing import Any, Final

from vmdedup.explained.event import Event
from vmdedup.explained.names import Names
from vmdedup.explained.trees import below
from vmdedup.explained.walks import Walks
from vmdedup.host.folio import folio_of
from vmdedup.host.huge import split_folio
from vmdedup.ksm import merge, moved, order, rmap, scan, stable, stable_node, unstable
from vmdedup.ksm.layout import DUP, EXISTS, STABLE, UNSTABLE

WATCHED: Final = (
    scan.begin_full_scan,
    scan._should_skip,
    scan._has_changed,
    scan._became_zero_page,
    scan._settle_stable_tree_first,
    scan._merge_with_node,
    stable.stable_tree_search,
    stable.stable_tree_insert,
    order.compare_keyed,
    unstable.compare_with_tree_page,
    unstable.unstable_tree_search_insert,
    rmap.remove_from_tree,
    rmap.free_item,
    merge.merge_two,
    stable_node.remove_node,
    stable_node.make_chain,
    stable_node.collapse_chain,
    stable_node.drop_chain,
    stable_node.migrate,
    moved.seeks_its_like,
    split_folio,
)


class Calls(Walks):
    """Fills jit.plain.Observer. events: what was said since they were last taken."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self._before: list[Any] = []  # what a call that has not returned yet found
        self._deferred: Event | None = None  # a checksum that is taken early, and told once it counts
        self._defers = False

    def called(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A kernel is about to run."""
        if act := getattr(self, f"before_{name.strip('_')}", None):
            act(*arguments)

    def returned(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """It has run."""
        if act := getattr(self, f"after_{name.strip('_')}", None):
            act(result, *arguments)

    def before_begin_full_scan(self, h: Any, k: Any) -> None:
        """The unstable tree is emptied."""
        left = sum(1 for _ in below(k.items, k.unstable))
        says = "a new full scan begins: the root of the unstable tree is forgotten"
        says += f", and with it all {left} pages in it; none of them is visited" if left else "; nothing was in it"
        self.add("begin", says, "new full scan: unstable tree forgotten" if left else "new full scan")

    def after_should_skip(self, result: bool, h: Any, k: Any, entry: int, pfn: int) -> None:
        """Smart scan."""
        if result:
            left = int(k.items[entry]["remaining_skips"])
            more = f"for {left} more visits" if left else "for the last time"
            self.add("skip", f"smart scan passes over {self.names.page(entry)}, {more}")

    def before_has_changed(self, h: Any, k: Any, entry: int, pfn: int) -> None:
        """Before a checksum is compared with the last."""
        self._before.append(int(k.items[entry]["oldchecksum"]))

    def after_has_changed(self, result: bool, h: Any, k: Any, entry: int, pfn: int) -> None:
        """The checksum gate."""
        before, now = self._before.pop(), int(k.items[entry]["oldchecksum"])
        if not result:
            event = Event("same", f"its checksum is {now:08x}, as at the last visit", "checksum as before")
        elif before == 0:
            says = f"its checksum is {now:08x}; none is known from before, so it is left for its next visit"
            event = Event("changed", says, "first checksum → next time")
        else:
            says = f"its checksum is {now:08x}, and was {before:08x}: it has changed, and is left for its next visit"
            event = Event("changed", says, "checksum differs → next time")
        if self._defers:
            self._deferred = event
        else:
            self.events.append(event)

    def before_settle_stable_tree_first(self, *arguments: Any) -> None:
        """Versions that look into the stable tree first: of what is found there no checksum is taken."""
        self._defers = True

    def after_settle_stable_tree_first(self, result: int, *arguments: Any) -> None:
        """It is over."""
        self._defers, self._deferred = False, None

    def after_stable_tree_search(self, result: int, h: Any, k: Any, pfn: int, key: int, moved: int) -> None:
        """What the stable tree had."""
        self.end_search(k, int(result))
        if self._defers and self._deferred is not None and not result:
            self.events.append(self._deferred)

    def after_became_zero_page(self, result: bool, h: Any, k: Any, entry: int, pfn: int) -> None:
        """use_zero_pages."""
        if result:
            says = f"{self.names.page(entry)} is empty: it maps the kernel's zero page now, and its frame is free"
            self.add("merged", says, "empty → zero page")

    def after_merge_with_node(self, result: None, h: Any, k: Any, entry: int, pfn: int, node: int) -> None:
        """Joining a KSM page."""
        page = self.names.page(entry)
        if k.items[entry]["flags"] & STABLE:
            sharers = int(k.nodes[node]["rmap_hlist_len"])
            called = self.names.node(node)
            says = f"{page} maps the merged page {called} now, and its own frame is free; {sharers} pages share it"
            self.add("merged", says, f"joins {called}", "stable", self.place(k, node))
        else:
            self.add("failed", f"{page} could not be merged", "not merged")

    def after_merge_two(
        self, result: bool, h: Any, k: Any, entry: int, pfn: int, tree_entry: int, tree_pfn: int
    ) -> None:
        """Merging with a page of the unstable tree."""
        page, other = self.names.page(entry), self.names.page(tree_entry)
        if result:
            says = (
                f"{page}'s frame is a merged page now, write-protected; {other} maps it, too, and its own frame is free"
            )
            self.add("merged", says, "merged")
        else:
            self.add("failed", f"{page} and {other} could not be merged", "not merged")

    def after_stable_tree_insert(self, result: int, h: Any, k: Any, pfn: int) -> None:
        """A new node."""
        self.end_walk()
        if result:
            place, called = self.place(k, int(result)), self.names.node(int(result))
            if k.nodes[result]["flags"] & DUP:
                says = f"the node of {called} that is there is full: beside it, in a chain, there is another now"
                self.add("node", says, "new stable node, in a chain", "stable", place)
            else:
                self.add("node", f"{called} has a node in the stable tree now", "new stable node", "stable", place)

    def before_remove_from_tree(self, h: Any, k: Any, entry: int) -> None:
        """An item leaves the tree that it is in."""
        item, page = k.items[entry], self.names.page(entry)
        if item["flags"] & STABLE:
            called = self.names.node(int(item["parent"]))
            self.add("leave", f"{page} is no longer counted among those that share {called}")
        elif item["flags"] & UNSTABLE and (int(k.st[0]["seqnr"]) - int(item["seq"])) & 255 == 0:
            self.add("leave", f"{page} leaves the unstable tree")

    def before_free_item(self, h: Any, k: Any, entry: int) -> None:
        """A page is gone."""
        if k.items[entry]["flags"] & EXISTS:
            self.add("gone", f"{self.names.page(entry)} is gone: what was known of it is forgotten")

    def before_remove_node(self, h: Any, k: Any, node: int) -> None:
        """A stale node is met."""
        sharers = ", ".join(self.names.sharers(node)) or "nobody"
        says = f"a stable node is met whose page was freed: it is forgotten, with what it counted ({sharers})"
        self.add("stale", says, "stale node forgotten")

    def after_make_chain(self, result: int, k: Any, node: int) -> None:
        """A chain."""
        self.add("chain", f"a chain takes the place of the node of {self.names.node(node)}")

    def before_collapse_chain(self, k: Any, chain: int, dup: int) -> None:
        """A chain of one."""
        self.add("chain", f"the chain of {self.names.node(dup)} has one node left, which takes its place in the tree")

    def before_drop_chain(self, k: Any, chain: int) -> None:
        """A chain of none."""
        self.add("chain", "a chain has no nodes left: it is taken out of the tree")

    def before_migrate(self, k: Any, node: int) -> None:
        """A node's frame has moved."""
        says = f"the frame of {self.names.node(node)} is on another NUMA node now: its node leaves the tree for a list"
        self.add("chain", says)

    def before_seeks_its_like(self, h: Any, k: Any, entry: int, pfn: int, node: int) -> None:
        """The visit of a merged page."""
        item = k.items[entry]
        self._before.append(bool(item["flags"] & STABLE) and int(item["parent"]) == node)

    def after_seeks_its_like(self, result: bool, h: Any, k: Any, entry: int, pfn: int, node: int) -> None:
        """How that ended."""
        was_counted, called = self._before.pop(), self.names.content(pfn)
        page, is_counted = self.names.page(entry), bool(k.items[entry]["flags"] & STABLE)
        if result:
            self.add("looked", f"{page} maps a merged page that has no place in this tree")
        elif was_counted and is_counted:
            self.add("looked", f"{page} maps the merged page {called} already: nothing is to be done", "merged already")
        elif is_counted:
            says = (
                f"{page} maps the merged page {called} already, as by a fork: it is counted among those that share it"
            )
            self.add("merged", says, f"maps {called} already → counted")
        else:
            self.add("failed", f"{page} maps a merged page, and stays as it is", "merged already")

    def before_split_folio(self, h: Any, entry: int, pfn: int, held: int) -> None:
        """A huge page."""
        self._before.append(int(folio_of(h, pfn)) != 0)

    def after_split_folio(self, result: bool, h: Any, entry: int, pfn: int, held: int) -> None:
        """Split, or not."""
        if self._before.pop():
            page = self.names.page(entry)
            says = f"the huge page around {page} is split" if result else f"the huge page around {page} cannot be split"
            self.add("split", says, "huge page split" if result else "huge page stays whole")
