"""Guests and ksmd interrupt each other at every single step, one step at a time.

In Python mode every atomic operation and every look at a whole page is an ordinary call, so a test can stop one side
there, let the other side do something whole, and go on: all interleavings with one interruption, none by chance.
Afterwards host and ksmd must be consistent, every byte what its guest last stored, and what can be saved must be found
by the next scans. A process may also die there, and then nobody else may lose a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from kit.ksm_host import KsmHost
from vmdedup.host import access, fault, frames, mm
from vmdedup.host.layout import MAPPED
from vmdedup.host.space import Memory
from vmdedup.ksm import merge, order, rmap, scan, stable, stable_node, unmerge, unstable
from vmdedup.ksm.ksmd import Ksmd

pytestmark = pytest.mark.interpreted  # kernels are stopped at every step

MODULES = (access, fault, frames, mm, merge, order, rmap, scan, stable, stable_node, unmerge, unstable)
STEPS = ("cas", "fetch_add", "load", "store", "same_page", "compare_from", "checksum", "copy_page", "clear_page")
PAGES = 4
SIZE = 4096

Action = Callable[["Scene"], None]


class Interrupter:
    """Counts steps, and has an action done just before one of them."""

    def __init__(self) -> None:
        self.at = -1
        self.count = 0
        self.action: Callable[[], object] | None = None

    def step(self) -> None:
        """A step is about to be made."""
        if self.action is not None:
            if self.count == self.at:
                action, self.action = self.action, None
                action()
            self.count += 1

    def run(self, body: Callable[[], object], at: int, action: Callable[[], object]) -> bool:
        """Do the body, interrupted once. Returns whether it had that many steps."""
        self.at, self.count, self.action = at, 0, action
        body()
        interrupted = self.action is None
        self.action = None
        return interrupted


@pytest.fixture
def interrupter(monkeypatch: pytest.MonkeyPatch) -> Interrupter:
    """Every step of every kernel goes through it."""
    interrupter = Interrupter()

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        def with_step(*arguments: Any) -> Any:
            interrupter.step()
            return function(*arguments)

        return with_step

    for module in MODULES:
        for name in STEPS:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, stepping(getattr(module, name)))
    return interrupter


class Scene:
    """Two guests; the pages of the first, and what they ought to hold, None if unmapped.

    Page 0 and 1 are equal and wait for the scan that merges them, page 2 is merged with one of the second guest's,
    page 3 is empty.
    """

    def __init__(self, k: KsmHost, zero: bool) -> None:
        self.k = k
        self.one = k.guest(1, 1, 2, 3)
        self.two = k.guest(2, 5)
        k.scans(2)
        k.ksmd.set("use_zero_pages", str(int(zero)))
        k.fill(self.one, range(2), (6, 6))
        k.fill(self.one, range(3, 4), (0,))
        k.scans()  # their checksums are taken; the next scan merges them
        self.child: Memory | None = None
        self.gone = False
        self.held: list[bytes | None] = [bytes([content]) * SIZE for content in (6, 6, 2, 0)]

    def check(self) -> None:
        """Everything is consistent and in its place; then the next scans find all that there is."""
        k = self.k
        if self.gone:
            k.ksmd.exit(self.one.mm)
        self.look()
        k.scans(3)
        self.look()
        held = [] if self.gone else [c for p, c in enumerate(self.held) if c is not None and self.is_stored(p)]
        others = [self.two.read(page) for page in range(2)]
        if self.child is None:
            mine = {content for content in held if any(content) or not k.ksmd.get("use_zero_pages")}
            assert k.host.frames_in_use() == len(mine | set(others))

    def is_stored(self, page: int) -> bool:
        """Whether the page has a content of its own, not that of an untouched one."""
        return bool(int(self.one.entries[page]) >> 16) or bool(int(self.one.entries[page]) & 32)

    def look(self) -> None:
        """Host, ksmd and bytes."""
        self.k.host.check()
        self.k.ksmd.check()
        assert [self.two.read(page)[0] for page in range(2)] == [2, 5]
        for memory in () if self.gone else (self.one,) if self.child is None else (self.one, self.child):
            for page, content in enumerate(self.held):
                if content is None:
                    assert not memory.entries[page] & MAPPED
                else:
                    assert memory.read(page) == content


@contextmanager
def scene(zero: bool = False) -> Iterator[Scene]:
    """A fresh scene."""
    with KsmHost(pages=24, frames=20) as k:
        yield Scene(k, zero)


def write(page: int) -> Action:
    """Store a byte."""

    def act(s: Scene) -> None:
        s.one.write(page, b"!", 9)
        content = s.held[page]
        assert content is not None
        s.held[page] = content[:9] + b"!" + content[10:]

    return act


def write_same(page: int) -> Action:
    """Store what is there."""
    return lambda s: s.one.write(page, s.held[page] or b"")


def write_whole(page: int) -> Action:
    """Store a whole page."""

    def act(s: Scene) -> None:
        s.held[page] = bytes([7]) * SIZE
        s.k.fill(s.one, range(page, page + 1), (7,))

    return act


def read(page: int) -> Action:
    """Load a page, and find what belongs there."""

    def act(s: Scene) -> None:
        assert s.one.read(page) == s.held[page]

    return act


def discard(page: int) -> Action:
    """MADV_DONTNEED."""

    def act(s: Scene) -> None:
        s.one.discard(np.array([page]))
        s.held[page] = bytes(SIZE)

    return act


def renew(page: int) -> Action:
    """Discard, and store what the first two pages held: on another frame, or on the same one again."""

    def act(s: Scene) -> None:
        s.one.discard(np.array([page]))
        s.k.fill(s.one, range(page, page + 1), (6,))
        s.held[page] = bytes([6]) * SIZE

    return act


def pass_on(page: int) -> Action:
    """As renew, but the other guest has the frame by then, and its bytes are others."""

    def act(s: Scene) -> None:
        s.one.discard(np.array([page]))
        s.two.write(0, bytes([2]) * SIZE)
        s.k.fill(s.two, range(1, 2), (5,))
        s.k.fill(s.one, range(page, page + 1), (6,))
        s.held[page] = bytes([6]) * SIZE

    return act


def unmap(page: int) -> Action:
    """munmap."""

    def act(s: Scene) -> None:
        s.one.unmap(page, page)
        s.held[page] = None

    return act


def fork(_: int) -> Action:
    """A child that nobody tells ksmd of."""

    def act(s: Scene) -> None:
        s.child = s.one.fork("child")

    return act


def leave(_: int) -> Action:
    """Exit."""

    def act(s: Scene) -> None:
        s.one.exit()
        s.gone = True

    return act


ACTIONS = [write, write_same, write_whole, read, discard, renew, pass_on, unmap]
CASES = [(action, page) for action in ACTIONS for page in range(PAGES)] + [(fork, 0), (leave, 0)]
IDS = [f"{action.__name__} {page}" for action, page in CASES]


@pytest.mark.parametrize(("action", "page"), CASES, ids=IDS)
@pytest.mark.parametrize("zero", [False, True], ids=["", "zero"])
def test_a_guest_interrupts_ksmd(
    interrupter: Interrupter, action: Callable[[int], Action], page: int, zero: bool
) -> None:
    act, at, interrupted = action(page), 0, True
    while interrupted:
        with scene(zero) as s:
            interrupted = interrupter.run(s.k.ksmd.full_scan, at, partial(act, s))
            s.check()
        at += 1
    assert at > 50


@pytest.mark.parametrize(("action", "page"), CASES, ids=IDS)
def test_a_guest_interrupts_unmerging(interrupter: Interrupter, action: Callable[[int], Action], page: int) -> None:
    act, at, interrupted = action(page), 0, True
    while interrupted:
        with scene(zero=True) as s:
            s.k.scans()
            interrupted = interrupter.run(partial(s.k.ksmd.set, "run", "2"), at, partial(act, s))
            assert s.k.four() == (0, 0, 0, 0)
            if s.child is None:
                assert s.k.get("ksm_zero_pages") == 0
            s.k.ksmd.set("run", "1")
            s.check()
        at += 1
    assert at > 20


@pytest.mark.parametrize(("action", "page"), CASES, ids=IDS)
@pytest.mark.parametrize("zero", [False, True], ids=["", "zero"])
def test_ksmd_interrupts_a_guest(
    interrupter: Interrupter, action: Callable[[int], Action], page: int, zero: bool
) -> None:
    act, at, interrupted = action(page), 0, True
    while interrupted:
        with scene(zero) as s:
            interrupted = interrupter.run(partial(act, s), at, partial(s.k.scans, 1))
            s.check()
        at += 1
    assert at > 2


@pytest.mark.parametrize(("action", "page"), CASES, ids=IDS)
def test_unmerging_interrupts_a_guest(
    interrupter: Interrupter, monkeypatch: pytest.MonkeyPatch, action: Callable[[int], Action], page: int
) -> None:
    """ksmd waits for a pin to end; here, where the guest stands still, it gives up soon."""
    monkeypatch.setattr(fault, "range", lambda turns: range(min(turns, 3)), raising=False)
    act, at, interrupted = action(page), 0, True
    while interrupted:
        with scene(zero=True) as s:
            s.k.scans()
            interrupted = interrupter.run(partial(act, s), at, partial(s.k.ksmd.set, "run", "2"))
            s.k.ksmd.set("run", "1")
            s.check()
        at += 1
    assert at > 2


class KilledError(Exception):
    """What SIGKILL does to a process: nothing more happens there."""


def die() -> None:
    """The end."""
    raise KilledError


@pytest.mark.parametrize(("action", "page"), [case for case in CASES if case[0] is not pass_on])
def test_a_guest_dies_at_any_step(interrupter: Interrupter, action: Callable[[int], Action], page: int) -> None:
    """Its memory is had again, and nobody else loses a byte."""
    act, at, died = action(page), 0, True
    while died:
        with scene() as s:
            died = dies(interrupter, at, partial(act, s))
            for memory in list(s.k.host.live()):
                if memory.mm != s.two.mm:
                    s.k.host.bury(memory.mm)
                    s.k.host.recover()
                    s.k.ksmd.exit(memory.mm)
            s.k.host.check()
            assert s.k.host.frames_in_use() == 2
            s.k.scans(2)
            s.k.ksmd.check()
            assert [s.two.read(p)[0] for p in range(2)] == [2, 5]
            assert s.k.get("pages_unshared") == 1
        at += 1
    assert at > 2


@pytest.mark.parametrize("zero", [False, True], ids=["", "zero"])
def test_ksmd_dies_at_any_step(interrupter: Interrupter, zero: bool) -> None:
    """The next one keeps what is merged, and finds the rest."""
    at, died = 0, True
    while died:
        with scene(zero) as s:
            died = dies(interrupter, at, s.k.ksmd.full_scan)
            s.k.host.recover()
            s.k.host.check()
            in_use = s.k.host.frames_in_use()
            s.k.ksmd = successor(s.k)
            s.check()
            assert s.k.host.frames_in_use() <= in_use
            shared, sharing, unshared, _ = s.k.four()
            assert (shared, sharing, unshared) == ((2, 2, 1) if zero else (2, 2, 2))
        at += 1
    assert at > 50


def dies(interrupter: Interrupter, at: int, body: Callable[[], object]) -> bool:
    """Do the body until the process dies at that step; False if it ends before."""
    try:
        interrupter.run(body, at, die)
    except KilledError:
        return True
    return False


def successor(k: KsmHost) -> Ksmd:
    """A new ksmd with the same tunables, which takes over."""
    ksmd = Ksmd(k.host)
    for knob in ("smart_scan", "use_zero_pages", "run"):
        ksmd.set(knob, str(k.ksmd.get(knob)))
    ksmd.take_over()
    for memory in k.host.live():
        ksmd.enter(memory.mm)
    return ksmd
