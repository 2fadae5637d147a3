"""The owner's end of the keeper: what must not outlive this process, however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from vmdedup.errors import VmdedupError
from vmdedup.live.ksm.before import Record
from vmdedup.live.watchers import keeper
from vmdedup.ours import folder
from vmdedup.ours.watcher import Watcher


class Kept:
    """A context manager; on leaving it, guests are ended, folders removed, files put back."""

    def __init__(self) -> None:
        """Start the keeper. VmdedupError: it does not start, or there is no folder for what it has to know on disk."""
        self._charge = keeper.Charge()  # in case the keeper itself is killed
        self._record = Record()  # in case we are, too
        self._watcher = Watcher(keeper.__file__, keep=(self._record.descriptor,))
        self._order("record", str(self._record.path))

    def end(self, pid: int) -> None:
        """That process shall be killed in the end."""
        self._order("end", pid)

    def spare(self, pid: int) -> None:
        """That process has ended."""
        self._order("spare", pid)

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

    def close(self) -> None:
        """Do all that was ordered. VmdedupError: what could not be done."""
        status = self._watcher.end()
        self._record.close()
        failures: list[str] = []
        if status < 0:
            failures = self._charge.settle()
        if status > 0 or failures:
            raise VmdedupError("; ".join(failures) or "something was left behind, see the messages above")

    def _order(self, *order: str | int) -> None:
        """Tell the keeper, and wait until it has heard; if somebody has killed it, close() does its work."""
        self._charge.take(list(order))
        if order[0] in ("remove", "write"):
            self._record.add(order)
        self._watcher.tell(json.dumps(order).encode() + b"\n")
        self._watcher.hear(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
