"""The owner's end of the guardian: what must not outlive this process, and must be as before, however it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vmdedup.closing import Closing
from vmdedup.errors import VmdedupError
from vmdedup.live.guardian import program
from vmdedup.live.guardian.before import RECORDED, Record
from vmdedup.ours import folder
from vmdedup.ours.watcher import Watcher


class Guardian(Closing):
    """A context manager; on leaving it guests are ended, folders removed, and what was changed is as it was before."""

    def __init__(self) -> None:
        """Start it. VmdedupError: it does not start, or there is no folder for what it has to know on disk."""
        self._charge = program.Charge()  # in case the guardian is killed
        self._record = Record()  # in case we are, too
        self._watcher = Watcher(program.__file__)
        self._charge.take(["record", str(self._record.path)])
        if self._tell(["record", str(self._record.path)], (self._record.descriptor,)) is None:
            self._watcher.end()
            self._charge.settle()  # the record goes
            self._record.close()
            raise VmdedupError("the guardian, which puts back what a run changes, did not start; nothing was changed")

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self._watcher.process.pid)

    def end(self, pid: int) -> None:
        """That process shall be killed in the end."""
        self._order("end", pid)

    def spare(self, pid: int) -> None:
        """That process has ended."""
        self._order("spare", "end", pid)

    def folder(self, prefix: str) -> Path:
        """A new temporary folder that goes in the end, with all that is in it.

        Others can reach what they may read in it, as QEMU's user must, but not see what there is.
        """
        path = folder.temporary_root() / folder.random_name(prefix)
        self._order("remove", str(path))
        folder.make(path, 0o711)
        return path

    def write(self, path: Path, text: str, before: str) -> None:
        """Write to a file whose text shall be `before` again in the end. VmdedupError: it cannot be written."""
        self._order("write", str(path), before)
        try:
            path.write_text(text)
        except OSError as error:
            raise VmdedupError(f"{path} refuses {text!r}: {error.strerror}") from None

    @contextmanager
    def tunables(self, root: Path, first: program.Writes, then: program.Writes, lock: int) -> Iterator[None]:
        """Inside, tunables may be changed: afterwards they are written in this order, see program.set_back.

        All processes that shall be ended are ended before. lock: a descriptor that the guardian shall hold until then.
        VmdedupError: a tunable was refused.
        """
        self._order("set", str(root), first, then, descriptors=(lock,))
        try:
            yield
        finally:
            if failures := self._do("set"):
                raise VmdedupError(f"{root} could not be restored: {', '.join(failures)}; write its files by hand")

    @contextmanager
    def in_charge_of(self, word: str, remedy: str, command: Sequence[str]) -> Iterator[None]:
        """Inside, whoever has that word, NAME=VALUE, in its environment does not outlive us; and the command is run.

        remedy: what is said if it fails. On leaving, in whatever way, there is no more to be done of this.
        """
        self._order("end marked", word)
        self._order("run", remedy, *command)
        try:
            yield
        finally:
            self._order("spare", "end marked", word)
            self._order("spare", "run", remedy)

    def close(self) -> None:
        """Do all that was ordered. VmdedupError: what could not be done."""
        failures = self._do(program.LAST)
        self._watcher.end()
        self._record.close()
        if failures:
            raise VmdedupError("; ".join(failures))

    def _order(self, *order: object, descriptors: Sequence[int] = ()) -> None:
        """Have it know, and wait until it has heard; if somebody has killed it, its work is ours."""
        self._charge.take(order)
        if order[0] in RECORDED:
            self._record.add(order)
        self._tell(order, descriptors)

    def _do(self, last: str) -> list[str]:
        """Have all be done up to that kind. Returns what could not be done."""
        failures = self._tell(["do", last])
        if failures is None:
            failures = self._charge.settle(last)
        for kind in program.KINDS[: program.KINDS.index(last) + 1]:
            self._charge.forget(kind)
        if last != program.LAST and not failures:
            self._record.add(["do", last])
        return failures

    def _tell(self, order: Sequence[object], descriptors: Sequence[int] = ()) -> list[str] | None:
        """Returns its answer; None: somebody has killed it."""
        self._watcher.tell(json.dumps(order).encode(), descriptors)
        answer = self._watcher.hear()
        return list(json.loads(answer)) if answer else None
