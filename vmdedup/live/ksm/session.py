"""The kernel's KSM for one user alone: lock, checks, a guardian for the tunables, scripts' start state."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack

from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError, KnobError
from vmdedup.ksm.sysfs import START, TUNABLES
from vmdedup.live.guardian.before import settle
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guardian.order import UNMERGING, restoring
from vmdedup.live.ksm.alone import require_alone, require_idle, require_ksm, require_root
from vmdedup.live.ksm.ksmd import Ksmd
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KSM, KsmFiles
from vmdedup.live.workers.process import Nursery


class KsmSession(Closing):
    """Exclusive use of the kernel's KSM from construction until close(); tunables are as before afterwards.

    Also when this process is killed: the guardian restores them then. A session can serve several scripts.
    """

    def __init__(self, wait: float = 0.0, files: KsmFiles | None = None, guardian: Guardian | None = None) -> None:
        """wait: seconds to wait for another user, and then for mergeable memory to go.

        files: another way to the tunables; the session closes it. guardian: of the run that this is a part of.
        EnvironmentLacksError: no root, no KSM, or not idle.
        """
        require_root()
        self._stack = ExitStack()
        with self._stack as stack:
            self.files = files or KsmFiles(KSM)
            stack.callback(self.files.close)
            require_ksm(self.files)
            lock = KsmLock(wait=wait)
            stack.callback(lock.close)
            settle()
            require_idle(self.files, wait)
            self.ksmd = Ksmd(self.files)
            stack.callback(self.ksmd.close)
            self.guardian = guardian or stack.enter_context(Guardian())
            order = restoring(self.files.save())
            stack.enter_context(self.guardian.tunables(self.files.root, *order, lock.descriptor))
            self.nursery = Nursery()
            stack.callback(self.nursery.close)
            self._stack = stack.pop_all()

    def start_state(self, ours: Collection[int] = ()) -> None:
        """Bring KSM into the state in which scripts start; no mergeable memory may be left.

        full_scans is 0 then, and ksmd waits at the head of an empty list. EnvironmentLacksError: some page is
        merged still. ours: pids that may have mergeable memory; they are unmerged, and stand on ksmd's list.
        """
        if ours:
            require_alone(ours)
        self.ksmd.drain()
        self.files.write("advisor_mode", START["advisor_mode"])
        for knob, value in UNMERGING:
            self.files.write(knob, value)
        try:
            for knob, value in START.items():
                tunable = TUNABLES[knob]
                if not tunable.is_stepped and (self.files.has(knob) or not tunable.is_optional):
                    self.files.write(knob, value)
        except KnobError as error:
            raise EnvironmentLacksError(f"{error}: a process still maps merged pages; end it") from None
        self.files.write("pages_to_scan", 0)
        self.files.write("run", START["run"])
        self.ksmd.park()

    def close(self) -> None:
        """End the helpers, put all tunables back, release the lock. Harmless when done already."""
        self._stack.close()
