"""A host under stress: guests that write as fast as they can, and a ksmd that scans as fast as it can, in real time.

Pages may be swapped out meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from kit.scanners import KsmdProcess
from vmdedup.errors import GuestError, WorkerDiedError
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.layout import BLOCK
from vmdedup.host.memory import Host
from vmdedup.host.swap import empty_cache, swap_out
from vmdedup.host.swap_device import SwapDevice

PAGES = 2048
BATCH = 4096
SWAPPED_AT_ONCE = 64
DISK = DiskSpec(kind="generated", seed=7, mib=24)
KNOBS = {"smart_scan": "0", "use_zero_pages": "1", "max_page_sharing": "16", "run": "1"}


class Torture:
    """A host with stress guests; `scanning()` lets ksmd loose on them, all else is for when it is not."""

    def __init__(self, guests: int, seed: int = 1) -> None:
        # The dead keep their page table entries until ksmd has come by.
        pages, frames = (guests + 4) * PAGES, guests * PAGES + 64
        self.host = Host.create(pages, frames, mms=guests + 4, swap=SwapDevice("zswap", pool=guests * PAGES << 9))
        self.ksmd = KsmdProcess(self.host)
        self.ksmd.set("stable_node_chains_prune_millisecs", "0")
        for knob, value in KNOBS.items():
            self.ksmd.set(knob, value)
        self._disk = open_disk(DISK)
        self._seed = seed
        self.guests: list[GuestProcess] = []
        for _ in range(guests):
            self.add()

    def add(self) -> None:
        """One more guest, with a seed of its own."""
        self._seed += 1
        spec = GuestSpec(f"g{self._seed}", PAGES, DISK, workload="stress", seed=self._seed)
        memory = self.host.add(PAGES, spec.name)
        self.ksmd.enter(memory.mm)
        guest = GuestProcess(spec, self.host, memory.mm, self._disk)
        guest.start()
        guest.ready()
        self.guests.append(guest)

    def run(self) -> None:
        """All guests live freely."""
        for guest in self.guests:
            guest.run_free()

    def stand(self) -> None:
        """Every guest stands between two operations; what the dead had is taken back, and replaced by a new guest."""
        dead = []
        for guest in self.guests:
            try:
                guest.stop_free()
            except GuestError:
                if guest.state != "dead":
                    raise
                dead.append(guest)
        for guest in dead:
            self.host.bury(guest.mm)
            self.guests.remove(guest)
        if dead:
            self.host.recover()
        for guest in dead:
            self.ksmd.exit(guest.mm)

    @contextmanager
    def scanning(self) -> Iterator[threading.Event]:
        """ksmd scans without a pause meanwhile. The event is set if it dies."""
        stop, died = threading.Event(), threading.Event()

        def scan() -> None:
            try:
                while not stop.is_set():
                    self.ksmd.charge(0, 0)
                    self.ksmd.scan(BATCH)
            except WorkerDiedError:
                died.set()

        thread = threading.Thread(target=scan)
        thread.start()
        try:
            yield died
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def swapping(self) -> Iterator[None]:
        """Pages go out meanwhile, whichever they are, without a pause."""
        stop, random = threading.Event(), np.random.default_rng(self._seed)

        def swap() -> None:
            while not stop.is_set():
                swap_out(self.host, random.integers(BLOCK, len(self.host.arrays.pte), SWAPPED_AT_ONCE))
                empty_cache(self.host)

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def check(self) -> None:
        """The host and ksmd's records are consistent; nobody runs."""
        self.host.check()
        self.ksmd.check()

    def settle(self) -> int:
        """Let ksmd find all that is there while nobody writes. Returns frames in use."""
        for _ in range(3):
            self.ksmd.full_scan()
        return self.host.frames_in_use()

    def close(self) -> None:
        """End everything."""
        for guest in self.guests:
            guest.kill()
        self.ksmd.close()
        self.host.close()

    def __enter__(self) -> Torture:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
