"""A kernel that runs in a guest, and its processes, each of which does the system calls that it is told."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from vmdedup.closing import Closing
from vmdedup.errors import GuestError
from vmdedup.vmkernel import agent
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.agent import CALL, COPY, END, FORK, SLOT, WINDOW
from vmdedup.vmkernel.archive import DEVICE, FILE, FOLDER, Entry, archive
from vmdedup.vmkernel.qemu import WINDOW_ADDRESS, WINDOW_SIZE, Qemu, Shape
from vmdedup.vmkernel.unpacked import unpacked

PROGRAM = b"/process"
PART = 4096  # bytes that a read of /proc gives at most
_BYTES = 0x100  # in the window: bytes 0 to 255, to be written to pipes
_FIRST, _WORKER = 1, 2  # slots
DATA = 3 * SLOT  # from here on the window is free for what calls point at


@dataclass(frozen=True)
class File:
    """A file that a list reads. opened: the place of the call that opens it. parts: of each read, and where it goes."""

    opened: int
    parts: tuple[tuple[int, int], ...]


class Calls:
    """A list of calls in the making, and what they point at in the window."""

    def __init__(self, window: memoryview) -> None:
        self._window = window
        self.calls: list[tuple[int, ...]] = []
        self._free = DATA

    def add(self, number: int, *arguments: int) -> int:
        """Append a call; returns its place in the list."""
        self.calls.append((number, *arguments))
        return len(self.calls) - 1

    def add_for(self, place: int, number: int, *arguments: int) -> int:
        """Append a call of the first process's, whose first argument is what the call at a place returns."""
        copy = len(self.calls)
        source, target = (WINDOW + _FIRST * SLOT + at * CALL.size for at in (place, copy + 1))
        self.add(COPY, target + 8, source + CALL.size - 8, 8)
        return self.add(number, 0, *arguments)

    def add_read(self, path: str, reads: int = 1) -> File:
        """Append what reads a file of the first process's, by so many reads of at most PART bytes."""
        opened = self.add(sys.OPEN, self.put(path.encode()), sys.O_CLOEXEC)
        parts = []
        for _ in range(reads):
            room = self.room(PART)
            parts.append((self.add_for(opened, sys.READ, room, PART), room))
        self.add_for(opened, sys.CLOSE)
        return File(opened, tuple(parts))

    def room(self, size: int) -> int:
        """An address in the window, for so many bytes."""
        place, self._free = self._free, self._free + (size + 63) // 64 * 64
        if self._free > WINDOW_SIZE:
            raise ValueError(f"{size} bytes do not fit into the window")
        return WINDOW + place

    def put(self, data: bytes) -> int:
        """The address of a copy of data, followed by a zero byte."""
        address = self.room(len(data) + 1)
        self._window[address - WINDOW : address - WINDOW + len(data) + 1] = data + b"\0"
        return address

    def get(self, address: int, size: int) -> bytes:
        """What is there now."""
        return bytes(self._window[address - WINDOW : address - WINDOW + size])

    def text(self, address: int) -> str:
        """The line of text that ends there with a zero byte."""
        start = address - WINDOW
        return bytes(self._window[start : start + PART]).partition(b"\0")[0].decode().strip()

    def file(self, file: File, results: list[int]) -> bytes | int:
        """What a file held; the negative error, if it cannot be read."""
        error = min(results[file.opened], *(results[place] for place, _ in file.parts))
        return error if error < 0 else b"".join(self.get(room, results[place]) for place, room in file.parts)

    def is_whole(self, file: File, results: list[int]) -> bool:
        """Whether all of a file was read."""
        return results[file.parts[-1][0]] < (1 if len(file.parts) > 1 else PART)


class Guest(Closing):
    """A booted kernel. A context manager; GuestError from anything: it has broken down."""

    def __init__(self, image: Path, shape: Shape | None = None) -> None:
        """Boot it. EnvironmentLacksError: there is no QEMU. GuestError: it does not boot."""
        packed = image.read_bytes()
        self.qemu = Qemu(unpacked(packed) or packed, _files(), shape or Shape())
        try:
            self.window = memoryview(self.qemu.window)
            self.qemu.wait()
            self.window[_BYTES : _BYTES + 256] = bytes(range(256))
            self.write("/sys/class/tty/ttyS1/rx_trig_bytes", b"1")
            self.do(sys.SCHED_SETAFFINITY, 0, 8, bytes([1]) + bytes(7))  # on node 0, with all its forks
        except BaseException:
            self.close()
            raise

    def calls(self) -> Calls:
        """An empty list."""
        return Calls(self.window)

    def run(self, calls: Calls) -> list[int]:
        """Have the first process do them. Returns what each returned, errors as negative numbers."""
        self._place(_FIRST, calls.calls)
        self.qemu.ask(_FIRST)
        return self._results(_FIRST, len(calls.calls))

    def run_in(self, process: Process, calls: Calls) -> list[int]:
        """Have another process do them. GuestError: it has not survived them."""
        self._place(_WORKER, calls.calls)
        self._place(_FIRST, _turn(process))
        self.qemu.ask(_FIRST)
        if self._results(_FIRST, 2)[1] != 1:
            raise GuestError("a process in the guest has been killed; it may need more memory than the guest has")
        return self._results(_WORKER, len(calls.calls))

    def _place(self, slot: int, calls: list[tuple[int, ...]]) -> None:
        data = agent.calls(calls)
        if len(data) > SLOT:
            raise ValueError(f"{len(calls)} calls are too many for a list")
        self.window[slot * SLOT : slot * SLOT + len(data)] = data

    def _results(self, slot: int, count: int) -> list[int]:
        words = self.window[slot * SLOT : slot * SLOT + count * 64].cast("q")
        return words[7::8].tolist()

    # Files, by the first process

    def read(self, path: str, reads: int = 1) -> bytes | int:
        """What a file of the guest's holds; the negative error, if it cannot be read. reads: as many as may do."""
        while True:
            calls = self.calls()
            file = calls.add_read(path, reads)
            results = self.run(calls)
            if calls.is_whole(file, results):
                return calls.file(file, results)
            reads *= 4

    def write(self, path: str, data: bytes) -> int:
        """Store data in a file. Returns 0, or the negative error."""
        calls = self.calls()
        opened = calls.add(sys.OPEN, calls.put(path.encode()), sys.O_WRONLY | sys.O_CLOEXEC)
        written = calls.add_for(opened, sys.WRITE, calls.put(data), len(data))
        calls.add_for(opened, sys.CLOSE)
        results = self.run(calls)
        return min(0, results[opened] if results[opened] < 0 else results[written])

    def open(self, path: str, flags: int = 0) -> int:
        """A descriptor of the first process's; or the negative error."""
        return self.do(sys.OPEN, path.encode(), flags | sys.O_CLOEXEC)

    def do(self, number: int, *arguments: int | bytes) -> int:
        """One system call of the first process's; bytes are put into the window, and their address is given."""
        calls = self.calls()
        calls.add(number, *(calls.put(word) if isinstance(word, bytes) else word for word in arguments))
        return self.run(calls)[0]

    def close_descriptor(self, descriptor: int) -> None:
        """Close it."""
        self.do(sys.CLOSE, descriptor)

    def fork(self, parent: Process | None = None) -> Process:
        """A new process: a fork of another, or of the first one."""
        calls = self.calls()
        ends = calls.room(16)
        calls.add(sys.PIPE2, ends, sys.O_CLOEXEC)
        calls.add(sys.PIPE2, ends + 8, sys.O_CLOEXEC)
        self.run(calls)
        theirs_in, to, back, theirs_out = struct.unpack("4i", calls.get(ends, 16))
        calls = self.calls()
        child = WINDOW + _WORKER * SLOT + 2 * 64
        flags = sys.SIGCHLD | (sys.CLONE_PARENT if parent else 0)
        calls.add(FORK, child, flags)
        calls.add(END)
        calls.add(sys.CLOSE, 0)
        calls.add(sys.OPEN, calls.put(b"/proc/1/fd/%d" % theirs_in), 0)
        calls.add(sys.CLOSE, 1)
        calls.add(sys.OPEN, calls.put(b"/proc/1/fd/%d" % theirs_out), sys.O_WRONLY)
        calls.add(sys.CLOSE_RANGE, 2, 0xFFFF_FFFF, 0)
        self._place(_WORKER, calls.calls)
        turn = _turn(parent) if parent else calls.calls[:1]
        self._place(_FIRST, [*turn, (sys.READ, back, WINDOW, 1)])  # the new process says that it is there
        self.qemu.ask(_FIRST)
        pid = self._results(_WORKER if parent else _FIRST, 1)[0]
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        calls = self.calls()
        calls.add(sys.CLOSE, theirs_in)
        calls.add(sys.CLOSE, theirs_out)
        self.run(calls)
        return Process(pid, to, back)

    def end(self, process: Process) -> None:
        """End a process; its memory is gone when this returns."""
        calls = self.calls()
        calls.add(sys.KILL, process.pid, sys.SIGKILL)
        calls.add(sys.WAIT4, process.pid, 0, 0, 0)
        calls.add(sys.CLOSE, process.to)
        calls.add(sys.CLOSE, process.back)
        self.run(calls)

    def close(self) -> None:
        """End the guest. Harmless when done already."""
        self.qemu.close()


class Process:
    """A process in the guest. to, back: the first process's descriptors of the pipes to it and from it."""

    def __init__(self, pid: int, to: int, back: int) -> None:
        self.pid, self.to, self.back = pid, to, back


def error_name(result: int) -> str:
    """The name of a negative error."""
    return errno.errorcode.get(-result, str(-result))


def _turn(process: Process) -> list[tuple[int, ...]]:
    """Have a process do what stands in its slot, and wait until it has, or has ended."""
    return [(sys.WRITE, process.to, WINDOW + _BYTES + _WORKER, 1), (sys.READ, process.back, WINDOW, 1)]


_WINDOW_PATH = b"/sys/bus/pci/devices/%s/" % WINDOW_ADDRESS.encode()
# Raw, 8 bits, at the highest speed; a byte is what a read waits for. Source: termios(3).
_RAW = struct.pack("<4IB19B", 0, 0, 0x18B2, 0, 0, *[0] * 6, 1, *[0] * 12)


def _files() -> bytes:
    """The first file system: the program twice, as the first process and as that of a script."""
    texts = [b"proc", b"/proc", b"sysfs", b"/sys", b"/dev/ttyS1", _RAW, _WINDOW_PATH + b"enable", b"1"]
    texts += [_WINDOW_PATH + b"resource2"]
    at = {text: -1000 - number for number, text in enumerate(texts)}
    window = at[_WINDOW_PATH + b"resource2"]
    mapping = (WINDOW, WINDOW_SIZE, sys.PROT_READ_WRITE, sys.MAP_SHARED | sys.MAP_FIXED)
    map_window = [(sys.OPEN, window, sys.O_RDWR), (sys.MMAP, *mapping, 2, 0), (sys.CLOSE, 2)]
    first: list[tuple[int, ...]] = [
        *((sys.CLOSE, descriptor) for descriptor in range(3)),
        (sys.MOUNT, at[b"proc"], at[b"/proc"], at[b"proc"], 0, 0),
        (sys.MOUNT, at[b"sysfs"], at[b"/sys"], at[b"sysfs"], 0, 0),
        (sys.OPEN, at[b"/dev/ttyS1"], sys.O_RDWR | sys.O_NOCTTY),
        (sys.DUP, 0),
        (sys.IOCTL, 0, sys.TCSETS, at[_RAW]),
        (sys.OPEN, at[_WINDOW_PATH + b"enable"], sys.O_WRONLY),
        (sys.WRITE, 2, at[b"1"], 1),
        (sys.CLOSE, 2),
        *map_window,
    ]
    folders = [Entry(name, FOLDER) for name in ("dev", "proc", "sys", "cgroup")]
    lines = Entry("dev/ttyS1", DEVICE, device=(4, 65))
    programs = ("init", first), (PROGRAM.decode().strip("/"), map_window)
    return archive(
        [*folders, lines, *(Entry(name, FILE, agent.program(agent.listed(list_, texts))) for name, list_ in programs)]
    )
