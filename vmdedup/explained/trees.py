"""Both trees as plain values: what is drawn, and what is compared with other engines' trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.explained.names import Names
from vmdedup.jit.rbtree import RED
from vmdedup.ksm.layout import CHAIN, DUP, STABLE, KsmArrays


@dataclass(frozen=True, slots=True)
class Dup:
    """A stable node: what its frame holds ("" where that was freed), and who shares it, newest first."""

    content: str
    pages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the stable tree. dups: the node that is there, or the nodes of the chain that is."""

    red: bool
    left: str
    right: str
    chain: bool
    dups: tuple[Dup, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A node of the unstable tree: a page, and what it held when it was put there."""

    red: bool
    left: str
    right: str
    page: str
    was: str


@dataclass(frozen=True, slots=True)
class Trees:
    """Of each NUMA node a root ("" where there is nothing) in each tree; the nodes by their names; the migrate list."""

    stable_roots: tuple[str, ...] = ()
    stable: Mapping[str, Place] = field(default_factory=dict)
    unstable_roots: tuple[str, ...] = ()
    unstable: Mapping[str, Waiting] = field(default_factory=dict)
    migrated: tuple[Dup, ...] = ()


class Grove:
    """The trees of one ksmd, looked at again and again: only what has changed is read.

    held: what pages held when they were put into the unstable tree, by their entry; kept up by the caller.
    """

    def __init__(self, k: KsmArrays, frames: NDArray[np.int64], names: Names) -> None:
        self._k, self._frames, self._names = k, frames, names
        self.held: dict[int, str] = {}
        self._items = k.items.copy()
        self._nodes = k.nodes[:1].copy()
        self._words = frames[:1].copy()
        self.now = Trees()

    def look(self, unstable: bool) -> Trees:
        """Both trees as they are. unstable: the unstable tree may have changed; else nobody has looked at it since."""
        entries = _rows(self._items, self._k.items)
        nodes = self._changed_nodes(entries)
        stable, roots = self.now.stable, tuple(_name("s", root) for root in self._k.stable.tolist())
        if nodes:
            stable = self._stable(nodes)
        waiting, waiting_roots = self.now.unstable, self.now.unstable_roots
        if unstable:
            waiting_roots = tuple(_name("u", root) for root in self._k.unstable.tolist())
            waiting = self._unstable(set(entries))
        migrated = tuple(self._dup(node) for node in self._list(int(self._k.st[0]["migrated"])))
        self._items[entries] = self._k.items[entries]
        self.now = Trees(roots, stable, waiting_roots, waiting, migrated)
        return self.now

    def forget_unstable(self) -> None:
        """Nothing is left of the unstable tree."""
        now = self.now
        self.now = Trees(now.stable_roots, now.stable, migrated=now.migrated)

    def _changed_nodes(self, entries: list[int]) -> set[int]:
        """Stable nodes, and chains, that look different from last time: the record, who shares it, the frame."""
        nodes = self._k.nodes[: int(self._k.st[0]["fresh_node"])]
        words = np.where(nodes["flags"] & CHAIN, 0, self._frames[nodes["kpfn"]])
        known = len(self._nodes)
        changed = {*_rows(self._nodes, nodes[:known]), *range(known, len(nodes))}
        changed |= set(np.flatnonzero(words[:known] != self._words).tolist())
        for items in (self._items, self._k.items):
            of = items[entries]
            changed |= set(of["parent"][of["flags"] & STABLE != 0].tolist())
        changed |= {int(nodes[node]["parent"]) for node in changed if nodes[node]["flags"] & DUP}
        self._nodes, self._words = nodes.copy(), words
        return changed

    def _stable(self, changed: set[int]) -> Mapping[str, Place]:
        before, now = self.now.stable, dict[str, Place]()
        for x in below(self._nodes, self._k.stable):
            name = f"s{x}"
            now[name] = self._place(x) if x in changed or name not in before else before[name]
        return now

    def _unstable(self, changed: set[int]) -> Mapping[str, Waiting]:
        before, now = self.now.unstable, dict[str, Waiting]()
        for x in below(self._k.items, self._k.unstable):
            name = f"u{x}"
            now[name] = self._waiting(x) if x in changed or name not in before else before[name]
        return now

    def _place(self, x: int) -> Place:
        node = self._k.nodes[x]
        is_chain = bool(node["flags"] & CHAIN)
        dups = tuple(self._dup(dup) for dup in (self._list(int(node["kpfn"])) if is_chain else [x]))
        return Place(bool(node["flags"] & RED), _name("s", node["left"]), _name("s", node["right"]), is_chain, dups)

    def _waiting(self, x: int) -> Waiting:
        item = self._k.items[x]
        left, right = _name("u", item["left"]), _name("u", item["right"])
        return Waiting(bool(item["flags"] & RED), left, right, self._names.page(x), self.held.get(x, ""))

    def _dup(self, node: int) -> Dup:
        names = self._names
        content = names.content(names.frame_of(node)) if names.is_live(node) else ""
        return Dup(content, tuple(names.sharers(node)))

    def _list(self, node: int) -> Iterator[int]:
        """The nodes of a chain, or of the migrate list."""
        while node:
            yield node
            node = int(self._k.nodes[node]["left"])


def below(records: Any, roots: Any) -> Iterator[int]:
    """Each node of some trees, parents first."""
    waiting = [root for root in roots.tolist() if root]
    if not waiting:
        return
    left, right = records["left"].tolist(), records["right"].tolist()
    while waiting:
        x = waiting.pop()
        yield x
        waiting += [child for child in (right[x], left[x]) if child]


def _rows(before: Any, now: Any) -> list[int]:
    """The indices of records that differ."""
    width = before.dtype.itemsize
    one, two = (records.view(np.uint8).reshape(len(records), width) for records in (before, now))
    changed: list[int] = np.flatnonzero((one != two).any(axis=1)).tolist()
    return changed


def _name(kind: str, x: int) -> str:
    return f"{kind}{x}" if x else ""
