"""Any step of a page's way out and in: somebody else comes in between there, or who does it is killed.

A step is each atomic operation, and each copy of a page, of a process that swaps. Words that are stored in between do
not matter: nobody looks at them before the next atomic one. The host is consistent afterwards (killed: after recovery),
and the living have every byte.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vmdedup.host import absent, fault, frames, pool, swap, swap_in, swap_out, swap_pool, swap_slot
from vmdedup.host.frames import set_stable_node
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, WRITABLE
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.host.swap_device import Kind, SwapDevice

PAGE = 256
PAGES = 4
MODULES: tuple[ModuleType, ...] = (absent, fault, frames, pool, swap_in, swap_out, swap_pool, swap_slot)
STEPS = ("cas", "fetch_add", "store", "copy_page", "_copy_cells")


class Killed(BaseException):
    """Stands for SIGKILL: nothing is put in order on the way out."""


class Accident:
    """A victim, a fork of it that survives, and a survivor that shares a KSM frame with both."""

    def __init__(self, kind: Kind) -> None:
        self.host = Host.create(40, frames=30, mms=4, page_size=PAGE, swap=SwapDevice(kind))
        self.host.arrays = self.host.arrays._replace(pool=self.host.arrays.pool[:1])  # recovery walks through all of it
        random = np.random.default_rng(2)
        self.rows = random.integers(0, 2, (PAGES, PAGE)).astype(np.uint8)
        self.rows[2], self.rows[3] = 7, random.integers(0, 256, PAGE)
        self.victim = self.host.add(PAGES, "victim")
        self.victim.write_pages(np.arange(PAGES), self.rows)
        self.fork = self.victim.fork("fork")
        self.victim.write(0, b"new")
        self.other = self.host.add(PAGES, "other")
        self.other.write(0, b"other")
        pfn = (int(self.victim.entries[1]) >> FRAME_SHIFT) & FRAME_MASK
        self.host.arrays.frames[pfn] += 1
        self.other.entries[3] = int(self.victim.entries[1]) & ~WRITABLE
        set_stable_node(self.host.arrays, pfn, 5)
        self.all = np.concatenate([self.entries(memory) for memory in (self.victim, self.fork, self.other)])

    def entries(self, memory: Memory) -> np.ndarray:
        first = int(self.host.arrays.mms[memory.mm]["first"])
        return np.arange(first, first + PAGES)

    def out(self) -> None:
        swap.swap_out(self.host, self.all)

    def use(self) -> None:
        """What the victim does with its pages."""
        self.victim.touch(np.array([3, 1]))
        self.victim.write(2, b"changed")
        self.victim.write_pages(np.array([1]), self.rows[:1])
        self.victim.discard(np.array([0]))

    def check_living(self) -> None:
        """What the survivors have, before and after their pages go out once more."""
        for _ in range(2):
            self.host.check()
            assert (self.fork.read_pages(np.arange(PAGES)) == self.rows).all()
            assert self.other.read(0)[:5] == b"other"
            assert self.other.read(3) == self.rows[1].tobytes()
            swap.swap_out(self.host, self.all)


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, happening: Callable[[], None]) -> list[int]:
    """Let something happen before the step-th of a process's steps. Returns the number of steps so far, kept on."""
    counted = [0]

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            counted[0] += 1
            if counted[0] == step:
                happening()
            return function(*arguments)

        return run

    for module in MODULES:
        for name in STEPS:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, wrapped(getattr(module, name)))
    return counted


def _die() -> None:
    raise Killed


def die(work: Callable[[], None], step: int) -> bool:
    """Whether somebody who works so is killed at that step; False: the work has fewer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt(monkeypatch, step, _die)
        try:
            work()
        except Killed:
            return True
    return False


@pytest.mark.interpreted
@pytest.mark.parametrize("kind", ["disk", "zswap"])
def test_of_who_takes_pages_out(kind: Kind) -> None:
    step, killed = 0, True
    while killed:
        step += 1
        accident = Accident(kind)
        killed = die(accident.out, step)
        accident.host.recover()
        accident.host.check()
        assert accident.victim.read(0)[:3] == b"new"
        assert (accident.victim.read_pages(np.arange(1, PAGES)) == accident.rows[1:]).all()
        accident.check_living()
        accident.host.close()
    assert step > 60


@pytest.mark.interpreted
@pytest.mark.parametrize("kind", ["disk", "zswap"])
@pytest.mark.parametrize("stays", [False, True])
def test_of_a_guest_that_brings_its_pages_in(kind: Kind, stays: bool) -> None:
    step, killed = 0, True
    while killed:
        step += 1
        accident = Accident(kind)
        swap.swap_out(accident.host, accident.all, stays=stays)
        killed = die(accident.use, step)
        accident.host.bury(accident.victim.mm)
        accident.host.recover()
        accident.check_living()
        accident.host.close()
    assert step > 40


Action = Callable[[Accident], None]


def read(accident: Accident) -> None:
    accident.victim.touch(np.arange(PAGES))


def write(accident: Accident) -> None:
    accident.victim.write(1, b"changed")
    accident.victim.write(3, b"changed")


def discard(accident: Accident) -> None:
    accident.victim.discard(np.arange(PAGES))


def leave(accident: Accident) -> None:
    accident.victim.exit()


def fork(accident: Accident) -> None:
    accident.victim.fork("another").touch(np.array([1]))


def swap_too(accident: Accident) -> None:
    swap.swap_out(accident.host, accident.entries(accident.fork))


@pytest.mark.interpreted
@pytest.mark.parametrize(("number", "action"), list(enumerate((read, write, discard, leave, fork, swap_too))))
@pytest.mark.parametrize("comes_in", [False, True])
def test_somebody_comes_in_between(number: int, action: Action, comes_in: bool) -> None:
    """While pages are taken out, or (comes_in) while another guest brings its own ones in. Steps are taken in turn."""
    step, happened = number % 5 - 4, True
    while happened:
        step += 5
        accident = Accident("zswap")
        if comes_in:
            swap.swap_out(accident.host, accident.all)
        with pytest.MonkeyPatch.context() as monkeypatch:
            counted = interrupt(monkeypatch, step, lambda accident=accident: action(accident))  # type: ignore[misc]
            if comes_in:
                accident.fork.touch(np.arange(PAGES))
            else:
                accident.out()
            happened = counted[0] >= step
        accident.check_living()
        accident.host.close()
    assert step > 40
