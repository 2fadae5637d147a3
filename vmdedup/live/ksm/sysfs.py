"""The files of the host kernel's KSM: read, write with the kernel's own refusals, save."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, KnobError

KSM = Path("/sys/kernel/mm/ksm")


class KsmFiles:
    """The tunables and counters of one KSM folder; files stay open, since a step reads and writes several."""

    def __init__(self, root: Path = KSM) -> None:
        self.root = root
        self._open: dict[tuple[str, int], int] = {}

    def text(self, name: str) -> str:
        """Return a file's text, without white space around it."""
        return os.pread(self._descriptor(name, os.O_RDONLY), 4096, 0).decode().strip()

    def read(self, name: str) -> int:
        """Return a counter or a numeric tunable."""
        return int(self.text(name))

    def choice(self, name: str) -> str:
        """Return the chosen word of a file like `[none] scan-time`, or all of a plain one."""
        text = self.text(name)
        return text.partition("[")[2].partition("]")[0] or text

    def write(self, knob: str, value: str | int) -> None:
        """Write a tunable as text. KnobError: the kernel refuses the value; errno_name says how."""
        descriptor = self._descriptor(knob, os.O_WRONLY)
        try:
            os.pwrite(descriptor, str(value).encode(), 0)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            raise KnobError(knob, str(value), name) from None

    def has(self, name: str) -> bool:
        """Tell whether this kernel's KSM has the file."""
        return (self.root / name).exists()

    def save(self) -> dict[str, str]:
        """Return every tunable (files that can be written) and its value now."""
        return {
            path.name: self.choice(path.name) for path in sorted(self.root.iterdir()) if path.stat().st_mode & 0o200
        }

    def close(self) -> None:
        """Close all files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, name: str, flags: int) -> int:
        if (name, flags) not in self._open:
            try:
                self._open[name, flags] = os.open(self.root / name, flags | os.O_CLOEXEC)
            except FileNotFoundError:
                raise EnvironmentLacksError(
                    f"{self.root / name} is missing: this kernel's KSM is too old, use Linux 6.8 or later"
                ) from None
        return self._open[name, flags]
