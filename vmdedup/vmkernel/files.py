"""The files of a guest's KSM, open as long as the guest runs, since each step reads and writes several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vmdedup.errors import KnobError
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES, as_written
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.guest import Calls, Guest, error_name

KSM = "/sys/kernel/mm/ksm/"
_LINE = 64  # bytes that a file of KSM's has at most


class GuestFiles:
    """Fills live.ksm.knobs.Files."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._open = {name: guest.open(KSM + name, sys.O_RDWR) for name in TUNABLES}
        self._open |= {name: guest.open(KSM + name) for name in COUNTERS}

    def has(self, name: str) -> bool:
        """Whether this kernel has the file."""
        return self._open.get(name, -1) >= 0

    def add_read(self, calls: Calls, name: str) -> int:
        """Append what reads a file. Returns where its text goes, for Calls.text()."""
        room = calls.put(bytes(_LINE))
        calls.add(sys.PREAD, self._open[name], room, _LINE, 0)
        return room

    def texts(self, names: Iterable[str]) -> dict[str, str | None]:
        """What files hold, without the end of the line; None: this kernel has no such file."""
        calls = self._guest.calls()
        rooms = {name: self.add_read(calls, name) for name in names if self.has(name)}
        self._guest.run(calls)
        return {name: calls.text(rooms[name]) if name in rooms else None for name in names}

    def choice(self, name: str) -> str:
        """The value of a tunable, as it is written."""
        return as_written(self.texts([name])[name] or "")

    def write(self, knob: str, value: str | int) -> None:
        """Write a tunable as text. KnobError: the kernel refuses it, or has no such tunable (ENOENT)."""
        if not self.has(knob):
            raise KnobError(knob, str(value), "ENOENT")
        calls = self._guest.calls()
        calls.add(*self.writing(calls.put(str(value).encode()), knob, len(str(value))))
        (result,) = self._guest.run(calls)
        if result < 0:
            raise KnobError(knob, str(value), error_name(result))

    def writing(self, address: int, knob: str, size: int) -> tuple[int, ...]:
        """The call that writes what is at an address to a tunable."""
        return sys.PWRITE, self._open[knob], address, size, 0


def numbers(texts: Mapping[str, str | None]) -> dict[str, int | None]:
    """The same as numbers."""
    return {name: None if text is None else int(text) for name, text in texts.items()}
