"""The kernel's KSM for one user alone: lock, checks, a guardian for the tunables, scripts' start state."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from vmdedup.errors import EnvironmentLacksError, KnobError, VmdedupError
from vmdedup.ksm.sysfs import START, TUNABLES
from vmdedup.live.ksm.alone import require_alone, require_idle, require_ksm, require_root
from vmdedup.live.ksm.before import Record, settle
from vmdedup.live.ksm.ksmd import Ksmd
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.order import UNMERGING, restoring
from vmdedup.live.ksm.sysfs import KSM, KsmFiles
from vmdedup.live.scripts.process import Nursery
from vmdedup.live.watchers import guardian
from vmdedup.ours.watcher import Watcher


class KsmSession:
    """Exclusive use of the kernel's KSM from construction until close(); tunables are as before afterwards.

    Also when this process is killed: the guardian restores them then. A session can serve several scripts.
    """

    def __init__(self, wait: float = 0.0, files: KsmFiles | None = None) -> None:
        """wait: seconds to wait for another user, and then for mergeable memory to go.

        files: another way to the tunables; the session closes it.
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
            record = Record()
            stack.callback(record.close)
            self._guardian = Guardian(self.files, lock.descriptor, record)
            stack.callback(self._guardian.close)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Guardian:
    """The owner's end of the guardian process; the guardian does all restoring, whatever the reason."""

    def __init__(self, files: KsmFiles, lock: int, record: Record | None = None) -> None:
        """Save all tunables and start the guardian, which keeps the descriptors of lock and record open."""
        self._root, self._saved = str(files.root), files.save()
        self._record = record.path if record else None
        if record:
            record.add(["ksm", self._root, self._saved])
        self._watcher = Watcher(guardian.__file__, keep=(lock, record.descriptor) if record else (lock,))
        order = [self._root, *restoring(self._saved), str(self._record or "")]
        self._watcher.tell(json.dumps(order).encode() + b"\n")
        if self._watcher.hear(5) != b"ready":
            raise VmdedupError("the guardian of the KSM tunables did not start; nothing was changed")

    def close(self) -> None:
        """Have everything restored. VmdedupError: a tunable was refused."""
        status = self._watcher.end()
        failures: list[str] = []
        if status < 0:  # somebody killed it
            failures = guardian.restore(self._root, *restoring(self._saved))
            if self._record and not failures:
                self._record.unlink(missing_ok=True)
        if status > 0 or failures:
            listed = ", ".join(failures) or "see the messages above"
            raise VmdedupError(f"{self._root} could not be restored: {listed}; write its files by hand")
