"""A child process whose memory's content is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from kit.memory_dumps import page

PAGES = 4096


CHILD = f"""
import ctypes, mmap, sys
memory = mmap.mmap(-1, {PAGES} * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
for line in sys.stdin:
    for order in line.split():
        if order == "spin":
            number = 0
            print("spinning", flush=True)
            while True:
                number += 1
                for place in range(0, 64 * 4096, 4096):
                    memory[place:place + 8] = number.to_bytes(8, "little")
        number, sign, content = order.partition("=")
        if sign:
            at = int(number) * 4096
            memory[at:at + 4096] = int(content).to_bytes(8, "little") * 512
        else:
            memory.madvise(mmap.MADV_DONTNEED, int(order[:-1]) * 4096, 4096)
    print("done", flush=True)
"""


class Child:
    """A process whose memory's content is known. first: the page number of its memory; pages: what it holds."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = int(self._line()) // 4096
        self.pages: dict[int, bytes] = {}

    @property
    def pid(self) -> int:
        return self.process.pid

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def tell(self, *orders: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(orders) + "\n")
        self.process.stdin.flush()
        assert self._line() in ("done\n", "spinning\n")

    def fill(self) -> None:
        """So that this is its largest memory by far."""
        self.change({number: number // 2 for number in range(PAGES)})

    def change(self, contents: dict[int, int | None]) -> None:
        self.tell(*(f"{n}-" if content is None else f"{n}={content}" for n, content in contents.items()))
        for number, content in contents.items():
            self.pages.pop(self.first + number, None)
            if content is not None:
                self.pages[self.first + number] = page(content)

    def state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def children() -> Iterator[Callable[[], Child]]:
    """Start a child; they end with the test."""
    made: list[Child] = []

    def begin() -> Child:
        made.append(Child())
        made[-1].fill()
        return made[-1]

    yield begin
    for child in made:
        with suppress(OSError):
            os.kill(child.pid, signal.SIGCONT)
        child.end()


@pytest.fixture
def named() -> Iterator[Callable[[str], int]]:
    """Start a process with `-name` and a text on its command line, as a QEMU has it; its pid. Ended with the test."""
    with ExitStack() as stack:

        def begin(text: str) -> int:
            words = [sys.executable, "-I", "-S", "-c", "print(flush=True); input()", "-name", text]
            process = stack.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process.pid

        yield begin
