"""Controllers' laws, step by step against tables worked out by hand from their sources."""

from __future__ import annotations

import pytest

from vmdedup.policy.controllers.ksmtuned_law import KsmtunedLaw
from vmdedup.policy.controllers.kubevirt_law import KubevirtLaw
from vmdedup.policy.controllers.mom_law import MomLaw
from vmdedup.policy.controllers.readings import Readings, Setting
from vmdedup.policy.controllers.throttler_law import AGGRESSIVE, PACES, SLOW, STANDARD

GIB = 1024 * 1024  # KiB
STOP = Setting(run=False)


def read(total: int, free: int, resident: int = 0, virtual: int = 0) -> Readings:
    """A host of these many KiB."""
    return Readings(total, free, resident, virtual)


def test_ksmtuned_threshold_is_a_fifth_or_two_mebibytes() -> None:
    """thres_const is in KiB: it matters only on hosts below 10 MiB."""
    law = KsmtunedLaw()
    assert law.threshold(64 * GIB) == 13_421_772  # 67,108,864 * 20 / 100
    assert law.threshold(10_240) == 2_048
    assert law.threshold(10_239) == 2_048
    assert law.threshold(10_250) == 2_050


@pytest.mark.parametrize(("gib", "millisecs"), [(4, 40), (8, 20), (16, 10), (64, 10), (6, 26)])
def test_ksmtuned_sleeps_less_on_larger_hosts(gib: int, millisecs: int) -> None:
    assert KsmtunedLaw().sleep(gib * GIB) == millisecs


def test_ksmtuned_sleeps_ten_times_as_long_on_proxmox() -> None:
    assert KsmtunedLaw(sleep_msec=100).sleep(64 * GIB) == 25


def test_ksmtuned_goes_up_by_300_and_down_by_50() -> None:
    """A host of 10 GiB: thres is 2 GiB; sleep 10*16/10 = 16."""
    law, npages = KsmtunedLaw(), 0
    steps = [
        # free, committed (GiB), what is written
        (5, 5, STOP),
        (2, 8, Setting(True, 64, 16)),  # free is not above thres, not below it either: -50, at least 64
        (1, 9, Setting(True, 364, 16)),
        (1, 9, Setting(True, 664, 16)),
        (1, 9, Setting(True, 964, 16)),
        (1, 9, Setting(True, 1250, 16)),  # 1264 is too many
        (1, 9, Setting(True, 1250, 16)),
        (3, 8, Setting(True, 1200, 16)),  # much is free, but committed + thres is not less than total
        (3, 9, Setting(True, 1150, 16)),
        (3, 7, STOP),
        (1, 7, Setting(True, 1250, 16)),  # npages is kept while ksmd stands: 1150 + 300
    ]
    for number, (free, committed, expected) in enumerate(steps):
        written, npages = law.adjust(read(10 * GIB, free * GIB), committed * GIB, npages)
        assert written == expected, f"step {number}"


def test_ksmtuned_that_sees_no_guest_needs_little_free_memory_to_start() -> None:
    law = KsmtunedLaw()
    host = read(10 * GIB, 3 * GIB)
    assert law.adjust(host, 9 * GIB, 0)[0].run
    assert law.adjust(host, 0, 0)[0] == STOP
    assert law.adjust(read(10 * GIB, 1 * GIB), 0, 0)[0] == Setting(True, 300, 16)


def test_mom_averages_free_memory_and_counts_whole_guests() -> None:
    """A host of 20 GiB: threshold 4 GiB, sleep 10*16/20 = 8: no least value here."""
    law = MomLaw()
    assert law.adjust(read(20 * GIB, 0, virtual=15 * GIB), 5.0 * GIB, 100) == STOP
    assert law.adjust(read(20 * GIB, 0, virtual=15 * GIB), 4.0 * GIB, 100) == Setting(True, 64, 8)
    assert law.adjust(read(20 * GIB, 0, virtual=16 * GIB), 5.0 * GIB, 200) == Setting(True, 150, 8)
    assert law.adjust(read(20 * GIB, 0, virtual=15 * GIB), 3.9 * GIB, 200) == Setting(True, 500, 8)
    assert law.adjust(read(20 * GIB, 0, virtual=15 * GIB), 3.9 * GIB, 1_000) == Setting(True, 1250, 8)
    assert law.adjust(read(256 * GIB, 0), 1.0, 100).sleep_millisecs == 0


@pytest.mark.parametrize(("used_gib", "millisecs"), [(8, 200), (16, 100), (64, 25), (160, 10), (512, 10), (100, 16)])
def test_kubevirt_sleeps_by_what_is_used(used_gib: int, millisecs: int) -> None:
    assert KubevirtLaw().sleep(read(1024 * GIB, (1024 - used_gib) * GIB)) == millisecs


def test_kubevirt_with_nothing_used_divides_by_no_zero() -> None:
    assert KubevirtLaw().sleep(read(GIB, GIB)) == 100 * 16 * GIB


def test_kubevirt_starts_at_100_and_stops_below_64() -> None:
    """A host of 20 GiB: pressure at 4 GiB free and below."""
    law = KubevirtLaw()
    steps = [
        # free GiB, running, pages as they are, what is written
        (10, False, 100, STOP),
        (4, False, 700, Setting(True, 100, 100)),  # 16 GiB used: 100 ms; it starts at 100 again
        (4, True, 100, Setting(True, 400, 100)),
        (4, True, 1000, Setting(True, 1250, 100)),
        (5, True, 1250, Setting(True, 1200, 106)),  # 15 GiB used: 100*16/15
        (5, True, 114, Setting(True, 64, 106)),
        (5, True, 113, STOP),
    ]
    for number, (free, running, pages, expected) in enumerate(steps):
        assert law.adjust(read(20 * GIB, free * GIB), running, pages) == expected, f"step {number}"


def test_throttler_paces() -> None:
    assert PACES[AGGRESSIVE].setting(10_000) == Setting(True, 1_000, 1)
    assert PACES[STANDARD].setting(10_000) == Setting(True, 100, 10)
    assert PACES[SLOW].setting(10_000) == Setting(True, 20, 100)
