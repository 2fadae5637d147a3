"""Let the kernel's ksmd scan exactly one batch, and know when it is done.

ksmd sleeps "for ever" between batches (sleep_millisecs of weeks) with pages_to_scan parked at 0, so that a
wake-up by a new process or by a tunable scans nothing. One batch:

    idle ─ pages_to_scan = N ─ another endless sleep_millisecs wakes it ─ wait until idle ─ pages_to_scan = 0

Idle is proved, not guessed: the kernel shows where a task sleeps (wchan) only of a task that is off its
CPU's queue, and ksmd sleeps interruptibly in two places only, both behind the batch. A wake-up puts it on a
queue before the write that caused it returns. So "off the queue, then state S" seen after the write means
that the batch is over and that the next change of sleep_millisecs cannot be lost. No progress of the
counters then means that there was nothing to scan: run is not 1, or no process is on ksmd's list.
Source: mm/ksm.c ksm_scan_thread, sleep_millisecs_store; kernel/sched/core.c get_wchan, try_to_wake_up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.live.ksm.drain import Drain
from vmdedup.live.ksm.sysfs import KsmFiles

ENDLESS = 4_000_000_000  # milliseconds; longer than the kernel's longest timeout
WHOLE_SCAN = (1 << 32) - 1  # pages_to_scan's greatest value
PATIENCE = 30.0  # seconds without any sign of work
_SPINS = 300  # polls without a pause: about as long as a batch of some hundred pages takes


class Ksmd:
    """The kernel's ksm thread; the caller holds the lock and has stopped everybody else."""

    def __init__(self, files: KsmFiles, patience: float = PATIENCE) -> None:
        """Find ksmd. EnvironmentLacksError: it is not to be seen, or not whether it sleeps."""
        self.pid = find_ksmd()
        self._files = files
        self._patience = patience
        self._sleep = 0
        self._drain = Drain()
        self._stat = os.open(f"/proc/{self.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._where = os.open(f"/proc/{self.pid}/{_sleep_file(self.pid)}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the files of ksmd's that are open."""
        os.close(self._stat)
        os.close(self._where)

    def park(self) -> None:
        """Have ksmd sleep endlessly and scan nothing if woken; returns when it does."""
        self._files.write("pages_to_scan", 0)
        self._toggle()
        self.wait_idle()

    def batch(self, pages: int) -> bool:
        """Scan at most so many pages, to the end of the current full scan at most.

        False: there was nothing to scan at all. The batch runs with all LRU batches drained.
        """
        if pages == 0:
            return False
        self.drain()
        self.wait_idle()
        before = self.progress()
        self._files.write("pages_to_scan", min(pages, WHOLE_SCAN))
        self._toggle()
        self.wait_idle()
        self._files.write("pages_to_scan", 0)
        return self.progress() != before

    def full_scan(self) -> bool:
        """Scan to the end of the current full scan. False: there was nothing to scan."""
        return self.batch(WHOLE_SCAN)

    def drain(self) -> None:
        """Empty all per-CPU LRU batches."""
        self._drain()

    def progress(self) -> tuple[int, int, int]:
        """Return what at least one of grows in every batch: full_scans, pages_scanned, pages_skipped."""
        return (
            self._files.read("full_scans"),
            self._files.read("pages_scanned"),
            self._files.read("pages_skipped"),
        )

    def wait_idle(self) -> None:
        """Return when ksmd sleeps between two batches. VmdedupError: it neither works nor rests."""
        polls = 0
        deadline, worked = time.monotonic() + self._patience, b""
        while not self._is_idle():
            polls += 1
            if polls < _SPINS:
                continue
            time.sleep(0.0002)
            if (work := self._work()) != worked:
                deadline, worked = time.monotonic() + self._patience, work
            if time.monotonic() > deadline:
                raise VmdedupError(f"ksmd (pid {self.pid}) hangs in a scan; see /proc/{self.pid}/stack")

    def _toggle(self) -> None:
        """Wake ksmd from its sleep with a value that it cannot have gone to sleep with lately."""
        self._sleep = (self._sleep + 1) % 1_000_000
        self._files.write("sleep_millisecs", ENDLESS + self._sleep)

    def _is_idle(self) -> bool:
        """Tell whether ksmd is off the queue and, seen after that, in an interruptible sleep."""
        where = os.pread(self._where, 256, 0)
        if where in (b"0", b"running\n"):
            return False
        return _state(os.pread(self._stat, 512, 0)) == b"S"

    def _work(self) -> bytes:
        """Return something that changes while ksmd works: its processor time in ticks, as text."""
        return b" ".join(os.pread(self._stat, 512, 0).rpartition(b")")[2].split()[11:13])


def find_ksmd(proc: Path = Path("/proc")) -> int:
    """Return the pid of the kernel thread ksmd. EnvironmentLacksError: it is not in this pid namespace."""
    for entry in proc.iterdir():
        if entry.name.isdigit() and _is_ksmd(entry):
            return int(entry.name)
    raise EnvironmentLacksError(
        "ksmd is not to be seen in /proc; run in the host's own pid namespace, not inside a container"
    )


def _is_ksmd(entry: Path) -> bool:
    """Tell a kernel thread (it has no command line) named ksmd."""
    try:
        return (entry / "comm").read_bytes() == b"ksmd\n" and not (entry / "cmdline").read_bytes()
    except OSError:
        return False


def _sleep_file(pid: int) -> str:
    """Return the file that tells whether the sleeping ksmd is off the queue: wchan, or else syscall."""
    for name in ("wchan", "syscall"):
        for _ in range(200):
            try:
                if Path(f"/proc/{pid}/{name}").read_bytes() not in (b"0", b"running\n"):
                    return name
            except OSError:
                break
            time.sleep(0.001)
    raise EnvironmentLacksError(
        f"neither /proc/{pid}/wchan nor /proc/{pid}/syscall tells whether ksmd sleeps; "
        "run as real root on a kernel with CONFIG_KALLSYMS"
    )


def _state(stat: bytes) -> bytes:
    """Return the state letter of a /proc/PID/stat line."""
    return stat.rpartition(b")")[2].split(None, 1)[0]
