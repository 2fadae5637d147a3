"""The host's own kernel as a machine that KSM scripts are played on: real processes, the real ksmd."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vmdedup.ksm.sysfs import COUNTERS, LASTING, PROCESS_COUNTERS
from vmdedup.live.ksm.alone import process_counters, require_alone
from vmdedup.live.ksm.knobs import ScriptKnobs
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory import pagemap
from vmdedup.live.memory.huge import huge_pages_as_asked
from vmdedup.live.workers import worker as protocol
from vmdedup.live.workers.process import WINDOW_PAGES, Worker
from vmdedup.replay.content import Content, Pages, pages_of
from vmdedup.replay.machine import COMMON, require_common
from vmdedup.replay.steps import HUGE, Options

_MADV_DONTNEED, _MADV_MERGEABLE, _MADV_UNMERGEABLE, _MADV_HUGEPAGE, _MADV_NOHUGEPAGE = 4, 12, 13, 14, 15
_HUGE = Options(size=HUGE)


class KernelMachine:
    """Fills replay.machine.Machine. Use it as a context manager, or close() it whatever happens.

    All tunables are as before afterwards, and all its processes gone, also when this process is killed.
    """

    def __init__(self, session: KsmSession | None = None) -> None:
        """Take the kernel's KSM, or play in an open session. EnvironmentLacksError: it is not to be had."""
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.session = session or stack.enter_context(KsmSession())
            self._files, self._ksmd = self.session.files, self.session.ksmd
            self.session.start_state()
            self._base = {name: self._files.read(name) for name in LASTING}
            self._knobs = ScriptKnobs(self._files, self._ksmd)
            self._workers: dict[str, Worker] = {}
            self._mapped: dict[str, NDArray[np.bool_]] = {}
            self._stack = stack.pop_all()

    def vm(self, name: str, pages: int, options: Options = COMMON) -> None:
        """Start a worker process."""
        if options == _HUGE:
            huge_pages_as_asked(self.session.guardian)
        else:
            require_common(options)
        self._workers[name] = self.session.nursery.vm(name, pages, options == _HUGE)
        self._mapped[name] = np.ones(pages, np.bool_)

    def fork(self, name: str, child: str) -> None:
        """Have the worker fork."""
        self._workers[child] = self._workers[name].fork(child)
        self._mapped[child] = self._mapped[name].copy()

    def exit(self, name: str) -> None:
        """End the worker."""
        del self._mapped[name]
        self._workers.pop(name).exit()

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Send the content's bytes to the worker, which stores them."""
        for first, pages in pages_of(content, lo, hi, WINDOW_PAGES):
            self.store(name, first, pages)

    def store(self, name: str, first: int, pages: Pages) -> None:
        """Store bytes, uint8 (n, 4096), in the pages from `first` on."""
        for start in range(0, len(pages), WINDOW_PAGES):
            part = pages[start : start + WINDOW_PAGES]
            self.session.nursery.window[: len(part)] = part
            self._workers[name].ask(protocol.STORE, first + start, len(part))

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Have the worker store one byte."""
        self._workers[name].ask(protocol.POKE, page, offset, byte)

    def read(self, name: str, lo: int, hi: int) -> None:
        """Have the worker load one byte of each page."""
        self._workers[name].ask(protocol.READ, lo, hi)

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED) in the worker."""
        self._workers[name].ask(protocol.ADVISE, lo, hi, _MADV_DONTNEED)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap in the worker, which may map something of its own there afterwards."""
        self._workers[name].ask(protocol.UNMAP, lo, hi)
        self._mapped[name][lo : hi + 1] = False

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE) in the worker."""
        self._workers[name].ask(protocol.ADVISE, lo, hi, _MADV_MERGEABLE)

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE) in the worker."""
        self._workers[name].ask(protocol.ADVISE, lo, hi, _MADV_UNMERGEABLE)

    def hugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE) in the worker."""
        self._workers[name].ask(protocol.ADVISE, lo, hi, _MADV_HUGEPAGE)

    def nohugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE) in the worker."""
        self._workers[name].ask(protocol.ADVISE, lo, hi, _MADV_NOHUGEPAGE)

    def set(self, knob: str, value: str) -> None:
        """Write a tunable; stepping goes on as before. KnobError: the kernel refuses the value."""
        self._knobs.set(knob, value)

    def scan(self, pages: int) -> None:
        """One batch of ksmd; nothing where ksmd has nothing to scan."""
        self._ksmd.batch(pages)

    def full_pass(self, times: int = 1) -> None:
        """Full scans, as long as there is something to scan."""
        for _ in range(times):
            if not self._ksmd.full_scan():
                return

    def counters(self) -> dict[str, Any]:
        """Return the global counters, and each living process's own."""
        figures: dict[str, Any] = {name: self._files.read(name) for name in COUNTERS}
        for name in LASTING:
            figures[name] -= self._base[name]
        figures["vms"] = {name: self._process_counters(worker) for name, worker in self._workers.items()}
        return figures

    def sharing(self) -> list[list[str]]:
        """Return the groups of pages with one frame."""
        return pagemap.groups({name: self._frames(name) for name in self._workers})

    def digest(self) -> dict[str, str]:
        """Return each worker's own hash of its pages."""
        return {name: worker.digest(_runs(self._mapped[name])) for name, worker in self._workers.items()}

    def close(self) -> None:
        """End the workers; end the session if it is this machine's own. Harmless when done already."""
        with self._stack:
            while self._workers:
                self._workers.popitem()[1].exit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. EnvironmentLacksError: another process made memory mergeable meanwhile: nothing counts."""
        self.close()
        if error is None:
            require_alone()

    def _frames(self, name: str) -> NDArray[np.uint64]:
        worker = self._workers[name]
        found = pagemap.frames(worker.pid, worker.base, worker.pages)
        found[~self._mapped[name]] = pagemap.ABSENT
        return found

    def _process_counters(self, worker: Worker) -> dict[str, int]:
        figures = process_counters(worker.pid)
        return {name: figures[name] for name in PROCESS_COUNTERS}


def _runs(mapped: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the inclusive ranges of pages that are mapped, ascending."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mapped, [False])).astype(np.int8)))
    return [(int(lo), int(hi) - 1) for lo, hi in edges.reshape(-1, 2)]
