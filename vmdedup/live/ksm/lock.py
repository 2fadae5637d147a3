"""One user of the kernel's KSM at a time: a lock file a machine, which names its holder.

It lies in a folder of root's that nobody else can enter, so that nobody else can hold it. The guardian inherits the
descriptor, so the lock is free only when the tunables are back.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.ours import folder
from vmdedup.ours.lock import Lock
from vmdedup.shown import shown

NAME = "ksm.lock"
_GRACE = 5.0  # seconds that the guardian of a dead holder may take to restore


def lock_path() -> Path:
    """Return the machine's lock file. EnvironmentLacksError: its folder cannot be had."""
    return folder.runtime() / NAME


class KsmLock:
    """Exclusive use of the kernel's KSM, from construction until close()."""

    def __init__(self, path: Path | None = None, wait: float = 0.0) -> None:
        """Take the lock, waiting at most `wait` seconds. EnvironmentLacksError names who holds it."""
        self._lock = Lock(path or lock_path())
        try:
            self._take(wait)
            self._lock.text = str(os.getpid())
        except BaseException:
            self._lock.close()
            raise

    @property
    def path(self) -> Path:
        """The file."""
        return self._lock.path

    @property
    def descriptor(self) -> int:
        """For a process that shall hold it too; -1 when closed."""
        return self._lock.descriptor

    def close(self) -> None:
        """Give the lock back, as far as this process holds it."""
        self._lock.close()

    def _take(self, wait: float) -> None:
        start = time.monotonic()
        while not self._lock.take():
            text = self._lock.text
            holder = int(text) if text.isdecimal() else 0
            patience = wait if process_name(holder) else max(wait, _GRACE)
            if time.monotonic() - start > patience:
                raise EnvironmentLacksError(_refusal(self.path, holder))
            time.sleep(0.01)


def process_name(pid: int) -> str:
    """Return a living process's name, fit to be shown, or nothing. One that has ended is not living, buried or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        return "" if state in "ZX" else shown(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip())
    except (OSError, IndexError):
        return ""


def _refusal(path: Path, holder: int) -> str:
    who = f"process {holder} ({process_name(holder) or 'ended, but its guardian still restores'})"
    return f"the kernel's KSM is in use by {who}, which holds {path}; wait until it ends"
