"""KSM within domains: a guest's pages are merged with those of its own domain only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import KnobError
from vmdedup.host.fault import unshare
from vmdedup.host.layout import (
    COUNT_MASK,
    CTL_STALE,
    FRAME_MASK,
    FRAME_SHIFT,
    NO_NODE,
    NODE_SHIFT,
    PRESENT,
)
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.prices import Tally
from vmdedup.ksm.sysfs import RMAP_ITEM_BYTES, TUNABLES, Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.tenancy.engines import Engines

HOST, TENANT, VM = 0, 1, 2
_SCOPE = Tunable("scope", TENANT, "who shares: 0 all guests; 1 those of one domain; 2 each alone", high=VM)
_SUMMED = ("pages_shared", "pages_sharing", "pages_unshared", "pages_skipped", "stable_node_chains", "stable_node_dups")


class KsmDomains(Policy):
    """KSM with trees of its own for each domain: no guest's page is ever compared with one of another domain.

    A guest's domain is the `domain` of its address space. Zero pages, if they are merged at all, are the same for all.
    What one before it has merged, nobody knows for whom, is unmerged when its guest enters.

    What is closed: another domain's contents are told neither by accesses nor by room left (`leaks`). What is not: all
    domains share one schedule, domain after domain, so how soon a guest's own pages are merged tells how much memory
    the others have. And within a domain all is told that KSM tells.
    """

    name: ClassVar[str] = "ksm_domains"
    source: ClassVar[str] = "Linux 6.18, mm/ksm.c, in groups as in Kim, Jo and Shin, SOSE 2013"
    leaks: ClassVar[str] = (
        "of other domains nothing by the time of writes and reads, nor by room left. By pace of merging how much "
        "memory they have (5.11 of 10.81 bits). Within a domain, all that KSM tells. "
        "`vmdedup leak --policy ksm_domains`"
    )
    tunables: ClassVar[Mapping[str, Tunable]] = {
        **{name: tunable for name, tunable in TUNABLES.items() if not name.startswith("advisor")},
        _SCOPE.name: _SCOPE,
    }
    is_tallied: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._engines = Engines(host)
        self._engines.set("run", "1")
        self._engine_of: dict[int, Ksmd] = {}
        self._at = 0  # which of the engines scans
        self._rounds = 0
        self._scanned = 0
        self._fresh = True

    # Guests

    def _domain(self, mm: int) -> int:
        scope = self.get("scope")
        if scope == VM:
            return mm
        return int(self.host.arrays.mms[mm]["domain"]) if scope == TENANT else 0

    def enter(self, mm: int) -> None:
        """MADV_MERGEABLE."""
        if self._fresh:
            self._fresh = False
            self._forget_nodes()
        ksmd = self._engines.of(self._domain(mm))
        for entry in self._foreign(mm, ksmd).tolist():
            unshare(self.host.arrays, mm, entry)
        self._engine_of[mm] = ksmd
        ksmd.enter(mm)

    def _forget_nodes(self) -> None:
        """Shared frames that one before it has left belong to no node. Nobody runs."""
        arrays = self.host.arrays
        words = arrays.frames
        left = (words & COUNT_MASK != 0) & (words >> NODE_SHIFT != 0)
        words[left] = (words[left] & COUNT_MASK) | (NO_NODE << NODE_SHIFT)
        arrays.ctl[CTL_STALE] = 0

    def _shared_frames(self, mm: int) -> NDArray[np.int64]:
        """The shared frame that each page of an address space maps; 0: none."""
        entries = self.host.memory(mm).entries
        frames = np.where(entries & PRESENT, (entries >> FRAME_SHIFT) & FRAME_MASK, 0)
        return np.where(self.host.arrays.frames[frames] >> NODE_SHIFT != 0, frames, 0)

    def _foreign(self, mm: int, ksmd: Ksmd) -> NDArray[np.int64]:
        """Entries that map a shared frame which is not one of its domain: a fork's, or of one before it."""
        frames = self._shared_frames(mm)
        if not frames.any():
            return np.zeros(0, np.int64)
        mates = [other for other, engine in self._engine_of.items() if engine is ksmd and other != mm]
        known = np.concatenate([np.zeros(1, np.int64), *(self._shared_frames(other) for other in mates)])
        return np.flatnonzero(~np.isin(frames, known)) + int(self.host.arrays.mms[mm]["first"])

    def exit(self, mm: int) -> None:
        """The domain's ksmd forgets the address space when it comes by."""
        ksmd = self._engine_of.pop(mm, None)
        if ksmd is None:
            self.host.release(mm)
            return
        with self._engines.at_work(ksmd):
            ksmd.exit(mm)

    def relocate(self, mm: int, node: int) -> int:
        """What is merged in its domain goes along."""
        if mm not in self._engine_of:
            return super().relocate(mm, node)
        with self._engines.at_work(self._engine_of[mm]):
            return self._engine_of[mm].relocate(mm, node)

    # Work

    def scan(self, pages: int) -> int:
        """One batch, domain after domain; it ends at the end of the last domain's full scan."""
        engines = list(self._engines.by_domain.values())
        done = 0
        self.work.count("batch", int(any(ksmd.should_run() for ksmd in engines)))
        while engines and self.get("run") == 1 and done < pages:
            ksmd = engines[self._at]
            scans = ksmd.full_scans
            with self._engines.at_work(ksmd):
                part = ksmd.scan(pages - done)
            done += part
            if ksmd.full_scans == scans and part:
                continue
            self._at = (self._at + 1) % len(engines)
            if self._at == 0:
                self._rounds += 1
                break
        self._scanned += done
        return done

    def batch(self, pages: int) -> int:
        """scan(), which counts batches as ksmd does."""
        return self.scan(pages)

    def work_done(self) -> dict[str, int]:
        """What all ksmds have done; a batch of all is one."""
        done = sum((Counter(ksmd.work_done()) for ksmd in self._engines.by_domain.values()), Counter[str]())
        del done["batch"]
        return dict(done + self.work.done)

    def tally(self) -> Tally:
        """All domains' pages together."""
        each = [ksmd.tally() for ksmd in self._engines.by_domain.values()]
        sums = [sum(counts) for counts in zip(*each, strict=True)] or [0] * len(Tally._fields)
        return Tally._make([*sums[:-1], int(self.host.arrays.mms["zero_pages"].sum())])

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, for all domains."""
        super().charge(now_ms, cpu_ms)
        for ksmd in self._engines.by_domain.values():
            ksmd.charge(now_ms, cpu_ms)

    # Tunables

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs["scope"] if knob == "scope" else self._engines.any.get(knob)

    def set(self, knob: str, text: str) -> None:
        """As a write to /sys/kernel/mm/ksm, for all domains. scope: EBUSY once a guest has entered."""
        if knob not in self.all_tunables():
            raise KnobError(knob, text, "ENOENT")
        if knob != "scope":
            self._engines.set(knob, text)
        elif self._engines.by_domain and _SCOPE.parse(text) != self.get("scope"):
            raise KnobError(knob, text, "EBUSY")
        else:
            super().set(knob, text)

    def knobs(self) -> dict[str, int]:
        """Every tunable's value."""
        return {name: self.get(name) for name in self.all_tunables()}

    # Figures

    def counters(self) -> dict[str, int]:
        """KSM's, summed over domains; full_scans: how often all of them have been gone through."""
        engines = self._engines.by_domain.values()
        each = [ksmd.counters() for ksmd in engines]
        sums = {name: sum(counters[name] for counters in each) for name in _SUMMED}
        items = sum(int(ksmd.arrays.st[0]["rmap_items"]) for ksmd in engines)
        zero = int(self.host.arrays.mms["zero_pages"].sum())
        saved = (sums["pages_sharing"] + zero) * self.host.stands_for
        return {
            **sums,
            "pages_volatile": sum(counters["pages_volatile"] for counters in each),
            "ksm_zero_pages": zero,
            "general_profit": saved - items * RMAP_ITEM_BYTES,
            "full_scans": self._rounds,
            "pages_scanned": self._scanned,
            "domains": len(each),
        }

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""
        return self._engine_of[mm].ksm_stat(mm) if mm in self._engine_of else super().ksm_stat(mm)

    def check(self) -> None:
        """Each domain's trees, lists and counters too."""
        super().check()
        self._engines.check()
