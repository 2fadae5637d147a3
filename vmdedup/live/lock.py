"""One user of the kernel's KSM at a time: a lock file a machine, which names its holder.

The guardian inherits the descriptor, so the lock is free only when the tunables are back.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError

NAME = "vmdedup-ksm.lock"
_GRACE = 5.0  # seconds that the guardian of a dead holder may take to restore


def lock_path() -> Path:
    """Return the machine's lock file: in /run/lock, or in the temporary folder where there is no such."""
    folder = Path("/run/lock")
    return (folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())) / NAME


class KsmLock:
    """Exclusive use of the kernel's KSM, from construction until close()."""

    def __init__(self, path: Path | None = None, wait: float = 0.0) -> None:
        """Take the lock, waiting at most `wait` seconds. EnvironmentLacksError names who holds it."""
        self.path = path or lock_path()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, 0o644)
        try:
            self._take(wait)
        except BaseException:
            os.close(self.descriptor)
            raise
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock back, as far as this process holds it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _take(self, wait: float) -> None:
        start = time.monotonic()
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = self._holder()
                patience = wait if process_name(holder) else max(wait, _GRACE)
                if time.monotonic() - start > patience:
                    raise EnvironmentLacksError(_refusal(self.path, holder)) from None
            time.sleep(0.01)

    def _holder(self) -> int:
        text = os.pread(self.descriptor, 64, 0).strip()
        return int(text) if text.isdigit() else 0


def process_name(pid: int) -> str:
    """Return a living process's name, or nothing."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _refusal(path: Path, holder: int) -> str:
    who = f"process {holder} ({process_name(holder) or 'ended, but its guardian still restores'})"
    return f"the kernel's KSM is in use by {who}, which holds {path}; wait until it ends"
