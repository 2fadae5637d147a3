"""Live processes as dumps: what is there, what KSM cannot see, processes that end or may not be read."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from kit.dump_contents import contents
from vmdedup.dump.mappings import Mapping, chosen
from vmdedup.dump.open import open_dump
from vmdedup.dump.process import ProcessDump
from vmdedup.errors import DumpError, EnvironmentLacksError

# 64 pages: 10 to 19 written, 20 written with zeros, 30 only read, the others never touched; then it waits.
CHILD = """
import ctypes, mmap, sys
area = mmap.mmap(-1, 64 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(10, 20):
    area[page * 4096 : (page + 1) * 4096] = bytes([page]) * 4096
area[20 * 4096] = 0
area[30 * 4096]
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
sys.stdin.read()
"""


@contextmanager
def child() -> Iterator[tuple[int, int]]:
    """A process, and the page number at which its area begins."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CHILD], text=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline()) // 4096
        finally:
            process.kill()


def test_a_process() -> None:
    with child() as (pid, first):
        os.kill(pid, signal.SIGSTOP)
        with open_dump(f"pid:{pid}:all") as dump:
            assert dump.format == "process"
            assert dump.name == f"pid:{pid}"
            area = {number - first: page for number, page in contents(dump).items() if 0 <= number - first < 64}
        expected = {**{page: bytes([page]) * 4096 for page in range(10, 20)}, 20: bytes(4096)}
        if os.geteuid() == 0:  # others see no frame numbers, and the zero page is like any other
            assert area == expected
        assert area.items() >= expected.items()
        with open_dump(f"pid:{pid}:largest") as dump:
            assert len(dump.regions) == 1
            assert dump.present > 100
        with pytest.raises(DumpError, match=f"pid:{pid}:all"):
            open_dump(f"pid:{pid}")


def test_a_process_that_ends_while_it_is_read() -> None:
    with child() as (pid, _), ProcessDump(pid, "all") as dump:
        blocks = list(dump.blocks())
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DumpError, match="ended while it was read"):
            blocks[0].load()


def test_pages_given_up_in_between_are_zeros() -> None:
    """The lowest pages of a large mapping, which nothing takes the place of at once."""
    area = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    area[: 3 * 4096] = b"x" * 3 * 4096
    holder = ctypes.c_char.from_buffer(area)
    first = ctypes.addressof(holder) // 4096
    with ProcessDump(os.getpid(), "all") as dump:
        del holder
        area.close()
        [block] = [block for block in dump.blocks() if first in block.numbers]
        rows = block.load()[np.isin(block.numbers, range(first, first + 3))]
        assert len(rows) == 3
        assert not rows.any()
        assert dump.lost == 3


def test_no_such_process() -> None:
    with pytest.raises(DumpError, match="no such process"):
        ProcessDump(2**22 + 1)
    with pytest.raises(DumpError, match="are no mappings"):
        open_dump(f"pid:{os.getpid()}:some")


def test_a_process_of_somebody_else() -> None:
    if os.geteuid() != 0:
        with pytest.raises(EnvironmentLacksError, match="run as root"):
            ProcessDump(1, "all")
        return
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            ProcessDump(1, "all")
        except EnvironmentLacksError as error:
            os._exit(0 if "run as root" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_which_mappings_are_chosen() -> None:
    ram = Mapping(0, 1 << 20, "", 4096, frozenset({"rd", "mg"}))
    heap = Mapping(1 << 21, 1 << 22, "[heap]", 8192, frozenset({"rd"}))
    assert chosen("a", [ram, heap], "mergeable") == [ram]
    assert chosen("a", [ram, heap], "largest") == [heap]
    assert chosen("a", [ram, heap], "all") == [ram, heap]
    with pytest.raises(DumpError, match="kernel thread"):
        chosen("a", [], "all")
