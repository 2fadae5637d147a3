"""Let a guest's ksmd scan exactly one batch, as live.ksm.ksmd does with the host's, and know when it is done.

ksmd sleeps interruptibly only between two batches, and whatever wakes it has put it on its processor's queue before
the write that did so returns. So the batch is over when, after the write, ksmd is in state S and has switched by itself
since. S alone is also seen while it looks why it was woken, if it runs beside us; so it runs on our processor.
"""

from __future__ import annotations

import re
import struct
import time

from vmdedup.errors import GuestError
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.files import GuestFiles
from vmdedup.vmkernel.guest import Calls, Guest

ENDLESS = 4_000_000_000  # milliseconds
WHOLE_SCAN = (1 << 32) - 1  # pages_to_scan's greatest value
PATIENCE = 300.0  # seconds for one batch
_LAST_PID = 300  # of kernel threads that a kernel starts by itself
_STATUS = 4096
_STATE = re.compile(rb"^State:\t(.).*^voluntary_ctxt_switches:\t(\d+)", re.MULTILINE | re.DOTALL)
_LOOKS = 5  # in state S without any switch: there is nothing to scan
_OWN_PAGE = 0x40_1000  # of the guest's program: written to, so there
_MOVE = sys.MPOL_MF_MOVE


class GuestKsmd:
    """The ksm thread of a guest."""

    def __init__(self, guest: Guest, files: GuestFiles) -> None:
        """Find it. GuestError: there is none."""
        self._guest, self._files = guest, files
        pid = self._find()
        guest.do(sys.SCHED_SETAFFINITY, pid, 8, bytes([1]) + bytes(7))
        self._status = guest.open(f"/proc/{pid}/status")
        self._sleep = 0
        self._is_stirred, self._is_parked = True, False
        self.drains = True  # before each batch

    def _find(self) -> int:
        for pid in range(2, _LAST_PID):
            if self._guest.read(f"/proc/{pid}/comm") == b"ksmd\n":
                return pid
        raise GuestError("the guest's kernel has no ksmd; build it with CONFIG_KSM=y")

    def park(self) -> None:
        """Have it sleep endlessly, and scan nothing if it is woken."""
        self._files.write("pages_to_scan", 0)
        self._sleep = (self._sleep + 1) % 1_000_000
        self._files.write("sleep_millisecs", ENDLESS + self._sleep)
        self._is_parked = True
        self.wait_idle()

    def stir(self) -> None:
        """Something may wake it now: it shall scan nothing then, and the next batch waits until it sleeps again."""
        if not self._is_parked:
            self._files.write("pages_to_scan", 0)
            self._is_parked = True
        self._is_stirred = True

    def drain(self) -> None:
        """Empty all processors' batches of pages on their way to the LRU lists; see live.ksm.drain."""
        calls = self._guest.calls()
        _add_drain(calls)
        self._guest.run(calls)

    def batch(self, pages: int) -> bool:
        """Scan at most so many pages, to the end of the current full scan at most. True: that was reached."""
        if self._is_stirred:
            self.wait_idle()
        calls = self._guest.calls()
        if self.drains:
            _add_drain(calls)
        first, scans = self._add_look(calls), self._files.add_read(calls, "full_scans")
        self._add_write(calls, "pages_to_scan", min(pages, WHOLE_SCAN))
        self._sleep = (self._sleep + 1) % 1_000_000
        self._add_write(calls, "sleep_millisecs", ENDLESS + self._sleep)
        last, now = self._add_look(calls, 50), self._files.add_read(calls, "full_scans")
        self._is_parked = False
        self._guest.run(calls)
        (_, switches), before, (state, since) = _state(calls, first), calls.text(scans), _state(calls, last)
        if state == b"S" and since != switches:
            return calls.text(now) != before
        self.wait_idle(switches)
        return self._files.texts(["full_scans"])["full_scans"] != before

    def full_scan(self) -> bool:
        """Scan to the end of the current full scan. False: there was nothing to scan."""
        return self.batch(WHOLE_SCAN)

    def wait_idle(self, switches: int | None = None) -> None:
        """Return when it sleeps between two batches. switches: its voluntary ones before it was woken, if it was."""
        deadline, pause, looks = time.monotonic() + PATIENCE, 100, 0
        while time.monotonic() < deadline:
            calls = self._guest.calls()
            room = self._add_look(calls, pause)
            self._guest.run(calls)
            state, since = _state(calls, room)
            looks += state == b"S"
            if state == b"S" and (since != switches or looks == _LOOKS):
                self._is_stirred = False
                return
            pause = min(pause * 2, 20_000)
        raise GuestError(f"the guest's ksmd has not finished a batch for {PATIENCE:.0f} s; see that its scan ends")

    def _add_look(self, calls: Calls, microseconds: int = 0) -> int:
        """Wait a little, and look."""
        if microseconds:
            calls.add(sys.NANOSLEEP, calls.put(struct.pack("<2q", 0, microseconds * 1000)), 0)
        room = calls.room(_STATUS)
        calls.add(sys.PREAD, self._status, room, _STATUS, 0)
        return room

    def _add_write(self, calls: Calls, knob: str, value: int) -> None:
        text = str(value).encode()
        calls.add(*self._files.writing(calls.put(text), knob, len(text)))


def _state(calls: Calls, room: int) -> tuple[bytes, int]:
    """Its state, and how often it has switched voluntarily."""
    found = _STATE.search(calls.get(room, _STATUS))
    if found is None:
        raise GuestError("the guest does not say what ksmd does; use a kernel with /proc/PID/status")
    return found[1], int(found[2])


def _add_drain(calls: Calls) -> None:
    """Move a page to where it is: that drains first, and then moves nothing."""
    page, node, status = calls.put(struct.pack("<Q", _OWN_PAGE)), calls.put(bytes(4)), calls.room(4)
    calls.add(sys.MOVE_PAGES, 0, 1, page, node, status, _MOVE)
