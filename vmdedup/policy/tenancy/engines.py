"""Several ksmds on one host that never merge with each other's pages.

Records that belong to a page, and the stable nodes, are in one place for all, so that a node's number says which one
it is all over the host; what makes a ksmd of its own, its trees, its list of address spaces and its counters, each has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vmdedup.host.layout import BLOCK_SHIFT
from vmdedup.host.memory import Host
from vmdedup.ksm.check import check_ksm
from vmdedup.ksm.ksmd import Ksmd

_ALLOCATOR = ("fresh_node", "free_node")  # of stable nodes; handed from one ksmd to the next


class Engines:
    """ksmds by domain, made when first asked for, in that order. written: tunables for those to come."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._first = Ksmd(host)
        self._nodes = {name: int(self._first.arrays.st[0][name]) for name in _ALLOCATOR}
        self.by_domain: dict[int, Ksmd] = {}
        self.written: dict[str, str] = {}

    def of(self, domain: int) -> Ksmd:
        """A domain's ksmd."""
        if domain not in self.by_domain:
            self.by_domain[domain] = self._make()
        return self.by_domain[domain]

    def _make(self) -> Ksmd:
        ksmd, common = self._first, self._first.arrays
        if self.by_domain:
            ksmd = Ksmd(self._host)
            ksmd.arrays = ksmd.arrays._replace(items=common.items, nodes=common.nodes, base=common.base)
        for knob, text in self.written.items():
            ksmd.set(knob, text)
        return ksmd

    @contextmanager
    def at_work(self, ksmd: Ksmd) -> Iterator[Ksmd]:
        """Let one ksmd make and free stable nodes."""
        state = ksmd.arrays.st[0]
        for name in _ALLOCATOR:
            state[name] = self._nodes[name]
        try:
            yield ksmd
        finally:
            self._nodes = {name: int(state[name]) for name in _ALLOCATOR}

    def set(self, knob: str, text: str) -> None:
        """Write a tunable to all; what one refuses is not written to later ones. Raises KnobError."""
        for ksmd in self.by_domain.values() or (self._first,):
            with self.at_work(ksmd):
                ksmd.set(knob, text)
        self.written.pop(knob, None)
        self.written[knob] = text

    @property
    def any(self) -> Ksmd:
        """One whose tunables are those of all."""
        return next(iter(self.by_domain.values()), self._first)

    def check(self) -> None:
        """Verify each one's records, with the pages of its own address spaces alone; raises InvariantError."""
        for ksmd in self.by_domain.values():
            arrays = ksmd.arrays
            entered = np.flatnonzero(arrays.slots["on_list"] != 0)
            owners = self._host.arrays.owners[np.arange(len(arrays.items)) >> BLOCK_SHIFT]
            items = arrays.items.copy()
            items[~np.isin(owners, entered)] = 0
            check_ksm(self._host.arrays, arrays._replace(items=items))
