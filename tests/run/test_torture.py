"""Everybody against everybody in real time: no byte is read that was not written, and the host stays consistent.

TORTURE_SECONDS and KILLS in the environment make it longer than the suite has time for.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from kit.torture import PAGES, Torture

SECONDS = float(os.environ.get("TORTURE_SECONDS", "20"))
KILLS = int(os.environ.get("KILLS", "30"))


def _swapped_in(torture: Torture) -> int:
    """Pages that came back so far."""
    return sum(torture.host.memory(guest.mm).counter("swapped_in") for guest in torture.guests)


@pytest.mark.slow
def test_eight_guests_write_while_ksmd_scans_and_pages_go_out() -> None:
    with Torture(guests=8) as torture:
        torture.run()
        with torture.scanning() as died, torture.swapping():
            deadline = time.monotonic() + SECONDS
            latest = deadline + 180  # where kernels of swap are compiled first
            while time.monotonic() < deadline or (_swapped_in(torture) <= 1000 and time.monotonic() < latest):
                assert not died.wait(0.5)
                for guest in torture.guests:
                    guest.peek()  # raises if the guest has read what it did not write
        torture.stand()
        torture.check()
        counters = torture.ksmd.counters()
        assert counters["full_scans"] > 2
        assert sum(torture.host.memory(g.mm).counter("cow_ksm") for g in torture.guests) > 1000
        assert _swapped_in(torture) > 1000
        for guest in torture.guests:
            assert guest.verify() > PAGES // 4
        saved_by = torture.host.allocated()[0].sum() - torture.settle()
        assert saved_by > 0
        torture.check()
        for guest in torture.guests:
            assert guest.verify() > PAGES // 4


@pytest.mark.slow
def test_guests_killed_at_any_moment_leave_the_host_consistent() -> None:
    moments = random.Random(5)
    with Torture(guests=3) as torture:
        for _ in range(KILLS):
            torture.run()
            victim = moments.choice(torture.guests)
            pid = victim.pid
            assert pid is not None
            with torture.scanning() as died, torture.swapping():
                time.sleep(moments.uniform(0.0, 0.05))
                os.kill(pid, signal.SIGKILL)
                assert not died.is_set()
            torture.stand()
            assert victim not in torture.guests
            torture.check()
            assert not torture.host.memory(victim.mm).entries.any()
            torture.add()
        for guest in torture.guests:
            guest.verify()
            guest.leave()
            torture.ksmd.exit(guest.mm)
        torture.guests.clear()
        torture.ksmd.full_scan()
        torture.check()
        assert torture.host.frames_in_use() == 0, "all memory is back"


@pytest.mark.slow
def test_ksmd_killed_at_any_moment_is_started_again() -> None:
    moments = random.Random(6)
    with Torture(guests=3) as torture:
        for _ in range(KILLS):
            torture.run()
            with torture.scanning() as died:
                time.sleep(moments.uniform(0.0, 0.05))
                os.kill(torture.ksmd.pid, signal.SIGKILL)
                assert died.wait(10)
            torture.stand()
            torture.ksmd.revive()
            torture.check()
            for guest in torture.guests:
                assert guest.verify() > 0
        settled = torture.settle()
        counters = torture.ksmd.counters()
        merged = counters["pages_sharing"] + counters["ksm_zero_pages"]
        assert merged == torture.host.allocated()[0].sum() - settled > 0
        torture.check()
