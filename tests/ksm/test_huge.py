"""Huge pages: the engine against the slow obvious one on random scripts, and what no script can show.

Versions between those that were asked are there, too, since a rule may begin with any of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from huge_scripts import huge_script
from kit.huge_hosts import COMPLAINTS, MENDED, broken, host_of
from oracle import OracleMachine
from vmdedup.errors import InvariantError, KnobError
from vmdedup.host.census import count_huge
from vmdedup.host.khugepaged import Khugepaged
from vmdedup.host.layout import (
    CTL_FOLIOS,
    CTL_FREE,
    CTL_SPLIT_ZEROS,
    CTL_THP,
    CTL_THP_COLLAPSE_ALLOC,
    CTL_THP_FAULT_ALLOC,
    CTL_THP_FAULT_FALLBACK,
    CTL_THP_SPLIT_PAGE,
    MAPPED,
    WHOLE,
    WRITABLE,
)
from vmdedup.host.space import Memory
from vmdedup.host.thp import HUGE_PAGES, SPLIT_FREES_ZEROS, THP_ALWAYS, THP_MADVISE, THP_NEVER
from vmdedup.jit.kernel import PYTHON_MODE
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.profile import DEFAULT, profile
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import perform
from vmdedup.replay.script import parse_text

VERSIONS = ("5.10", "6.1", "6.12", "6.16", "6.18", "7.2", "7.3")
SCRIPTS = 42  # compiled; some of them are played as plain Python, too


@pytest.mark.parametrize("version", VERSIONS)
def test_engine_and_oracle_print_the_same(version: str) -> None:
    for seed in range(4 if PYTHON_MODE else SCRIPTS // len(VERSIONS)):
        script = parse_text(huge_script(seed * len(VERSIONS) + VERSIONS.index(version)), Path())
        oracle = OracleMachine(version=profile(version).version)
        with EmulatedMachine(script, profile=profile(version)) as engine:
            for step in script.steps:
                assert perform(step, engine) == perform(step, oracle), f"seed {seed}, line {step.line}"
                engine.host.check()
                engine.ksmd.check()


def whole(memory: Memory) -> list[int]:
    """Which pages are mapped with others, as a whole."""
    return [int(page) for page in np.flatnonzero(memory.entries & WHOLE)]


def test_a_store_brings_two_megabytes_and_no_more() -> None:
    host, (guest,) = host_of(2 * HUGE_PAGES + 100)
    guest.write(700, b"x")
    assert whole(guest) == list(range(HUGE_PAGES, 2 * HUGE_PAGES))
    guest.write(2 * HUGE_PAGES + 5, b"x")
    assert len(whole(guest)) == HUGE_PAGES  # what is left at the end is too small for one
    assert (host.frames_in_use(), host.arrays.ctl[CTL_THP_FAULT_ALLOC]) == (HUGE_PAGES + 1, 1)
    assert guest.read(700) == b"x" + bytes(4095)
    assert guest.read(699) == bytes(4096)
    host.check()
    host.close()


@pytest.mark.parametrize("mode", [THP_NEVER, THP_ALWAYS])
def test_modes(mode: int) -> None:
    host, (guest,) = host_of(HUGE_PAGES, mode=mode)
    other = host.add(1, "unadvised", bits=MAPPED)
    guest.write(0, b"x")
    other.write(0, b"x")
    assert len(whole(guest)) == (HUGE_PAGES if mode == THP_ALWAYS else 0)
    assert host.frames_in_use() == (HUGE_PAGES if mode == THP_ALWAYS else 1) + 1
    host.close()


def test_where_memory_is_short_small_pages_come() -> None:
    host, (one, two) = host_of(HUGE_PAGES, HUGE_PAGES, spare=-HUGE_PAGES + 8)
    one.write(3, b"x")
    two.write(3, b"y")
    assert (len(whole(one)), len(whole(two))) == (HUGE_PAGES, 0)
    assert (two.read(3)[:1], host.arrays.ctl[CTL_THP_FAULT_FALLBACK]) == (b"y", 1)
    host.check()
    host.close()


def test_a_split_gives_zeros_back_that_no_counter_has() -> None:
    host, guests = host_of(HUGE_PAGES, HUGE_PAGES)
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    for guest in guests:
        ksmd.enter(guest.mm)
        guest.write(7, b"the same")
    for _ in range(4):
        ksmd.full_scan()
    ctl, counters = host.arrays.ctl, ksmd.counters()
    assert (ctl[CTL_THP_SPLIT_PAGE], ctl[CTL_SPLIT_ZEROS]) == (2, 2 * 511)
    assert (counters["pages_sharing"], counters["ksm_zero_pages"], host.frames_in_use()) == (1, 0, 1)
    host.check()
    ksmd.check()
    host.close()


def test_khugepaged_has_its_budget_and_its_time() -> None:
    host, guests = host_of(4 * HUGE_PAGES, 2 * HUGE_PAGES)
    host.arrays.ctl[CTL_THP] = THP_NEVER
    for guest in guests:
        for page in range(0, guest.pages, 64):
            guest.write(page, b"x")
    host.arrays.ctl[CTL_THP] = THP_MADVISE
    daemon = Khugepaged(host, {"pages_to_scan": 2 * HUGE_PAGES, "scan_sleep_millisecs": 100})
    assert (daemon.run(99), daemon.run(1), daemon.run(100)) == (0, 2, 2)
    assert (len(whole(guests[0])), len(whole(guests[1]))) == (4 * HUGE_PAGES, 0)
    daemon.set("max_ptes_none", "503")
    assert daemon.run(1000) == 0  # 8 of 512 are there: 504 are not
    daemon.set("max_ptes_none", "504")
    assert daemon.run(300) == 2  # after four of the first guest, which are looked at too
    assert host.arrays.ctl[CTL_THP_COLLAPSE_ALLOC] == 6
    assert guests[1].read(64)[:2] == b"x\0"
    host.check()
    host.close()


@pytest.mark.parametrize(
    ("knob", "text", "errno_name"),
    [
        ("max_ptes_none", "512", "EINVAL"),
        ("pages_to_scan", "0", "EINVAL"),
        ("defrag", "no", "EINVAL"),
        ("x", "1", "ENOENT"),
    ],
)
def test_what_khugepaged_refuses(knob: str, text: str, errno_name: str) -> None:
    host, _ = host_of(1)
    with pytest.raises(KnobError) as refused:
        Khugepaged(host).set(knob, text)
    assert refused.value.errno_name == errno_name
    host.close()


def test_rules_of_the_default_are_those_of_6_18() -> None:
    host, _ = host_of(1)
    Ksmd(host)
    assert profile("6.18") == DEFAULT
    assert DEFAULT.huge_rules & SPLIT_FREES_ZEROS
    assert not profile("6.1").huge_rules & SPLIT_FREES_ZEROS
    assert profile("6.14").huge_rules != profile("6.18").huge_rules != profile("7.0").huge_rules
    host.close()


# What a check finds, and what recovery mends


@pytest.mark.parametrize("kind", COMPLAINTS)
def test_a_check_finds(kind: str) -> None:
    host = broken(kind)
    with pytest.raises(InvariantError, match=COMPLAINTS[kind]):
        host.check()
    host.close()


@pytest.mark.parametrize("kind", MENDED)
def test_recovery_leaves_pages_with_what_they_held(kind: str) -> None:
    host = broken(kind)
    host.recover()
    host.check()
    guest = next(host.live())
    assert guest.read(0)[:1] == b"x"
    assert whole(guest) == (list(range(HUGE_PAGES)) if kind == "whole at the end" else [])
    host.close()


def test_what_huge_pages_take_and_hide_is_counted() -> None:
    host, (one, two) = host_of(2 * HUGE_PAGES, 10)
    one.write(3, b"x")
    one.write(4, b"y")
    one.touch(np.array([HUGE_PAGES]))  # the huge zero page hides nothing
    two.touch(np.arange(4))
    counts = np.zeros(3, np.int64)
    count_huge(host.arrays, counts)
    assert counts.tolist() == [1, 4, HUGE_PAGES - 2]
    host.close()


def test_nothing_is_put_together_where_memory_is_short() -> None:
    host, (guest,) = host_of(HUGE_PAGES, mode=THP_NEVER, spare=-100)
    guest.write(3, b"x")
    host.arrays.ctl[CTL_THP] = THP_MADVISE
    assert not guest.collapse(0, HUGE_PAGES - 1)
    assert Khugepaged(host, {"scan_sleep_millisecs": 1}).run(5) == 0
    assert (guest.read(3)[:1], whole(guest)) == (b"x", [])
    host.check()
    host.close()


@pytest.mark.parametrize("how", ["collapse", "store"])
def test_where_memory_ends_on_the_way_pages_stay_pages(how: str) -> None:
    """Others may take what there was: what has been mapped, or moved, by then is small pages."""
    host, (guest,) = host_of(HUGE_PAGES, mode=THP_NEVER, spare=-200)
    if how == "collapse":
        guest.write(3, b"x")
    host.arrays.ctl[CTL_FREE] += HUGE_PAGES  # as if there was more
    host.arrays.ctl[CTL_THP] = THP_MADVISE
    if how == "collapse":
        assert not guest.collapse(0, HUGE_PAGES - 1)
    else:
        guest.write(3, b"x")
    assert (guest.read(3)[:1], guest.read(4), whole(guest)) == (b"x", bytes(4096), [])
    host.arrays.ctl[CTL_FREE] -= HUGE_PAGES
    host.check()
    host.close()


def test_recovery_leaves_what_is_right() -> None:
    host, (guest,) = host_of(2 * HUGE_PAGES)
    guest.write(0, b"x")
    guest.touch(np.array([HUGE_PAGES]))  # the huge zero page
    host.recover()
    host.check()
    assert len(whole(guest)) == 2 * HUGE_PAGES
    host.close()


def test_a_fork_stores_to_a_copy_of_one_page() -> None:
    host, (guest,) = host_of(HUGE_PAGES, spare=2 * HUGE_PAGES)
    guest.write(0, b"x")
    child = guest.fork("child")
    child.write(0, b"y")
    assert (guest.read(0)[:1], child.read(0)[:1]) == (b"x", b"y")
    assert (len(whole(guest)), len(whole(child))) == (HUGE_PAGES, 0)
    assert host.frames_in_use() == HUGE_PAGES + 1
    child.exit()
    guest.write(5, b"z")
    assert int(guest.entries[6]) & WRITABLE
    assert host.arrays.ctl[CTL_FOLIOS] == 1
    host.check()
    host.close()
