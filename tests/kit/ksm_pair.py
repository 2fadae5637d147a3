"""The engine and the oracle side by side: every step on both, and all of their state compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from kit.engine_state import State, engine_state, oracle_state
from oracle import OracleMachine
from vmdedup.errors import RefusedError
from vmdedup.host.frames import stable_node_of
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PIN, PRESENT, SOFT
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.layout import CHAIN, EXISTS, HASHED
from vmdedup.ksm.order import KEY_BITS, KEY_VALID, WINDOW, page_key
from vmdedup.ksm.profile import DEFAULT, Profile
from vmdedup.replay import steps
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import perform
from vmdedup.replay.script import Script

LOOKS = steps.Counters | steps.Sharing | steps.Digest | steps.Nodes | steps.Status


class Pair:
    """Both machines. force_rebase: let the engine choose another base page for its keys at every batch."""

    def __init__(self, script: Script, force_rebase: bool = False, kernel: Profile = DEFAULT) -> None:
        """kernel: the version of Linux that both are as."""
        self.now = 0
        self.nodes = script.nodes()
        self.engine = EmulatedMachine(script, profile=kernel)
        self.oracle = OracleMachine(lambda: self.now, kernel.version, self.nodes)
        self.force_rebase = force_rebase
        self.has_scanned = False

    @property
    def ksmd(self) -> Ksmd:
        """The engine itself."""
        assert isinstance(self.engine.ksmd, Ksmd)
        return self.engine.ksmd

    def tick(self, milliseconds: int) -> None:
        """Time goes by for both."""
        self.now += milliseconds
        self.ksmd.now_ms = self.now

    def do(self, act: Callable[[Any], Any]) -> None:
        """One step on both; refusals, counters, and what every page maps must agree."""
        if self.force_rebase:
            self.ksmd.arrays.st[0]["compares"] = self.ksmd.arrays.st[0]["ties"] = WINDOW
        before = self.progress()
        assert answer(act, self.engine) == answer(act, self.oracle)
        self.has_scanned = self.progress() != before
        engine, oracle = self.states()
        assert engine.kinds == oracle.kinds
        assert self.engine.counters() == self.oracle.counters()

    def compare(self) -> None:
        """Everything else, to be called after a batch: then the unstable tree is well defined, if ksmd has run."""
        assert self.engine.sharing() == self.oracle.sharing()
        engine, oracle = self.states()
        assert engine.items == oracle.items
        assert engine.stable == oracle.stable
        assert engine.migrated == oracle.migrated
        if self.has_scanned:
            assert engine.unstable == oracle.unstable
        self.check()

    def progress(self) -> list[int]:
        """How far the engine's scan is."""
        fields = ("cursor", "address", "seqnr", "pages_scanned", "pages_skipped")
        return [int(self.ksmd.arrays.st[0][field]) for field in fields]

    def states(self) -> tuple[State, State]:
        """Both states."""
        return engine_state(self.ksmd), oracle_state(self.oracle)

    def check(self) -> None:
        """The engine's own checks, and that its keys are what they would be if computed now."""
        self.engine.host.check()
        self.ksmd.check()
        check_keys(self.ksmd)

    def play(self, script: Script) -> None:
        """All steps of a script."""
        for step in script.steps:
            if not isinstance(step, LOOKS):
                self.do(partial(perform, step))
            if isinstance(step, steps.Scan | steps.Pass):
                self.compare()
        assert self.engine.digest() == self.oracle.digest()

    def close(self) -> None:
        """Give the engine's memory back."""
        self.engine.close()


def answer(act: Callable[[Any], Any], machine: Any) -> Any:
    """What a step gives, a refusal's errno included."""
    try:
        return act(machine)
    except RefusedError as refused:
        return refused.errno_name


def check_keys(ksmd: Ksmd) -> None:
    """No key that a search may use is out of date."""
    h, k = ksmd.host.arrays, ksmd.arrays
    flags, entries = k.items["flags"], h.pte[: len(k.items)]
    used = (flags & (EXISTS | HASHED)) == (EXISTS | HASHED)
    used &= ((entries & (PRESENT | SOFT | PIN)) == PRESENT) & (k.items["key"] & KEY_VALID != 0)
    used &= (entries >> FRAME_SHIFT) & FRAME_MASK != 0  # the zero page is no candidate
    for entry in np.flatnonzero(used).tolist():
        pfn = (int(entries[entry]) >> FRAME_SHIFT) & FRAME_MASK
        assert int(k.items[entry]["key"]) & KEY_BITS == page_key(h, k, pfn)
    for node in range(1, int(k.st[0]["fresh_node"])):
        pfn = int(k.nodes[node]["kpfn"])
        # A free frame has a link of the free list where this one's node was.
        if pfn and not k.nodes[node]["flags"] & CHAIN and stable_node_of(h, pfn) == node:
            assert int(k.nodes[node]["key"]) == page_key(h, k, pfn)
