"""Controllers at work on a host: when they look, what they read, what they have ksmd do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.errors import KnobError
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.controllers.advisor import Advised
from vmdedup.policy.controllers.base import Controlled
from vmdedup.policy.controllers.clear_containers import ClearContainers
from vmdedup.policy.controllers.ksmtuned import Ksmtuned
from vmdedup.policy.controllers.kubevirt import Kubevirt
from vmdedup.policy.controllers.mom import Mom
from vmdedup.policy.controllers.readings import read_host

FRAMES, PAGES = 1000, 400
SECOND = 1000


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of 1000 frames, nothing in it."""
    made = Host.create(4 * PAGES, frames=FRAMES, mms=4)
    yield made
    made.close()


def filled(host: Host, pages: int, seed: int = 1) -> Memory:
    """A guest of PAGES pages, so many of them with contents of their own."""
    memory = host.add(PAGES)
    rows = np.random.default_rng(seed).integers(0, 256, (pages, 4096), dtype=np.uint8)
    memory.write_pages(np.arange(pages), rows)
    return memory


def state(policy: Controlled) -> tuple[int, int, int]:
    """ksmd_run, pages_to_scan, sleep_millisecs."""
    return policy.counters()["ksmd_run"], policy.get("pages_to_scan"), policy.get("sleep_millisecs")


def test_what_is_read(host: Host) -> None:
    memory = filled(host, 300)
    memory.touch(np.array([350]))  # the zero page is nobody's memory
    read = read_host(host)
    assert (read.total, read.free, read.resident, read.virtual) == (4000, 2800, 1200, 1600)
    assert read.anonymous_pages == 300
    assert read_host(host, memory_mib=2).free == 2048 - 1200


def test_resident_counts_shared_pages_with_each_guest(host: Host) -> None:
    policy = Kubevirt(host)
    for _ in range(2):
        policy.enter(filled(host, 100).mm)
    for _ in range(4):
        policy.scan(1000)
    read = read_host(host)
    assert (read.resident, read.free) == (800, 3600)


def test_ksmtuned_looks_every_minute_and_stops_ksmd(host: Host) -> None:
    policy = Ksmtuned(host)
    policy.enter(filled(host, 300).mm)
    policy.charge(0, 0)
    assert policy.scan(10) == 10  # it has not looked yet
    policy.charge(60 * SECOND - 1, 0)
    assert policy.counters()["adjustments"] == 0
    policy.charge(60 * SECOND, 0)
    assert state(policy) == (0, 100, 20)
    assert policy.get("run") == 0  # there is one switch; is_steered has whoever drives it go on telling the time
    assert policy.scan(10) == 0
    filled(host, 400, 2)
    filled_up = host.add(1)
    filled_up.write(0, b"x")
    policy.charge(119 * SECOND, 0)
    assert policy.scan(10) == 0
    # 701 frames of 1000 used; 2800 KiB resident and thres 2048 KiB (more than a fifth of 4000) are not below 4000.
    policy.charge(120 * SECOND, 0)
    assert state(policy) == (1, 300, 10 * 16 * 1024 * 1024 // 4000)
    assert policy.scan(10) == 10


@pytest.mark.parametrize(("sees", "running"), [(1, 1), (0, 0)])
def test_whether_guests_are_seen_decides(host: Host, sees: int, running: int) -> None:
    """As ksmd has shared much: 3,200 KiB are free of 4,000, but guests have 2,400 of them and more."""
    policy = Ksmtuned(host)
    policy.set("sees_guests", str(sees))
    for _ in range(2):
        policy.enter(filled(host, 300).mm)
    for _ in range(4):
        policy.scan(1000)
    policy.set("thres_const", "0")
    policy.set("thres_coef", "60")  # 2,400 KiB: committed + thres is above total, free is above thres
    policy.charge(0, 0)
    policy.charge(60 * SECOND, 0)
    assert read_host(host).free == 4000 - 1200
    assert policy.counters()["ksmd_run"] == running


def test_mom_looks_every_ten_seconds_at_an_average(host: Host) -> None:
    policy = Mom(host)
    memory = filled(host, 300)
    filled(host, 400, 2)
    policy.charge(0, 0)
    policy.charge(5 * SECOND, 0)
    assert policy.counters()["adjustments"] == 0
    policy.charge(10 * SECOND, 0)
    # 1200 KiB are free, threshold 800; guests' sizes, 3200, with it are not below 4000: 100 - 50, at least 64.
    assert state(policy) == (1, 64, 10 * 16 * 1024 * 1024 // 4000)
    memory.write_pages(np.arange(300, 400), np.ones((100, 4096), np.uint8))
    filled(host, 50, 3)  # 600 KiB are free now
    policy.charge(15 * SECOND, 0)
    policy.charge(20 * SECOND, 0)
    assert state(policy)[:2] == (1, 64)  # 900 on the average of four samples
    policy.charge(25 * SECOND, 0)
    policy.charge(30 * SECOND, 0)
    assert policy.get("pages_to_scan") == 64  # 800: just the threshold
    policy.charge(35 * SECOND, 0)
    policy.charge(40 * SECOND, 0)
    assert policy.get("pages_to_scan") == 364  # 750
    assert policy.counters()["adjustments"] == 4


def test_kubevirt_looks_at_once_then_every_ten_minutes(host: Host) -> None:
    policy = Kubevirt(host)
    filled(host, 400)
    policy.charge(7 * SECOND, 0)
    assert state(policy) == (0, 100, 20)  # 60 % free: 100 - 50 is below 64
    filled(host, 400, 2)
    filled(host, 1)  # 199 frames of 1000 left
    policy.charge(606 * SECOND, 0)
    assert state(policy)[0] == 0
    policy.charge(607 * SECOND, 0)
    assert state(policy) == (1, 100, 100 * 16 * 1024 * 1024 // 3204)
    policy.charge(1207 * SECOND, 0)
    assert state(policy)[:2] == (1, 400)


def test_one_that_was_kept_from_looking_looks_once(host: Host) -> None:
    policy = Kubevirt(host)
    policy.charge(0, 0)
    policy.charge(100_000 * SECOND, 0)
    assert policy.counters()["adjustments"] == 2
    policy.charge(100_599 * SECOND, 0)
    assert policy.counters()["adjustments"] == 2
    policy.charge(100_600 * SECOND, 0)
    assert policy.counters()["adjustments"] == 3


def test_throttler_slows_down_step_by_step_and_starts_again(host: Host) -> None:
    policy = ClearContainers(host)
    policy.set("host_pages", "0")
    policy.set("pages_to_scan", "77")
    policy.set("sleep_millisecs", "33")
    policy.charge(0, 0)
    assert state(policy) == (1, 77, 33)
    policy.charge(10 * SECOND, 0)
    guest = filled(host, 299)
    policy.enter(guest.mm)
    guest.write(299, b"!")  # it boots; what it has is looked at when it stands
    policy.charge(10 * SECOND, 0)
    assert state(policy) == (1, 30, 1)
    policy.charge(40 * SECOND - 1, 0)
    assert state(policy) == (1, 30, 1)
    policy.charge(40 * SECOND, 0)
    assert state(policy) == (1, 3, 10)
    policy.charge(160 * SECOND, 0)
    assert state(policy) == (1, 0, 100)
    policy.charge(200 * SECOND, 0)
    policy.enter(filled(host, 400, 2).mm)
    policy.charge(200 * SECOND, 0)
    assert state(policy) == (1, 70, 1)
    for seconds, expected in ((229, 70), (230, 7), (349, 7), (350, 1), (469, 1), (470, 77)):
        policy.charge(seconds * SECOND, 0)
        assert policy.get("pages_to_scan") == expected
    assert state(policy) == (1, 77, 33)
    policy.charge(10_000 * SECOND, 0)
    assert state(policy) == (1, 77, 33)


@pytest.mark.parametrize("kind", [Ksmtuned, Mom, Kubevirt])
def test_a_controller_starts_a_ksmd_that_did_not_run(host: Host, kind: type[Controlled]) -> None:
    """[ksm] run = 0 is what a host has before its controller writes 1."""
    policy = kind(host)
    policy.set("run", "0")
    policy.enter(filled(host, 300).mm)
    filled(host, 399, 2)
    filled(host, 280, 3)
    assert (state(policy)[0], policy.scan(10)) == (0, 0)
    for seconds in (0, 60, 600, 1200):
        policy.charge(seconds * SECOND, 0)
    assert (state(policy)[0], policy.get("run"), policy.scan(10)) == (1, 1, 10)


def test_the_throttler_starts_ksmd_for_a_guest_and_leaves_it_as_it_was(host: Host) -> None:
    policy = ClearContainers(host)
    policy.set("run", "0")
    policy.charge(0, 0)
    policy.enter(filled(host, 300).mm)
    assert policy.scan(10) == 0
    policy.charge(SECOND, 0)
    assert (state(policy)[0], policy.scan(10)) == (1, 10)
    for seconds in (31, 151, 271):
        policy.charge(seconds * SECOND, 0)
    assert state(policy) == (0, 100, 20)
    assert policy.counters()["looks"] == 4


def test_ksmd_does_not_run_before_the_controller_looks_if_so_said(host: Host) -> None:
    policy = Ksmtuned(host)
    policy.set("initial_run", "0")
    policy.enter(filled(host, 300).mm)
    policy.charge(0, 0)
    assert policy.scan(10) == 0


def test_the_advisor_starts_at_500_and_aims_at_its_target(host: Host) -> None:
    """A full scan of 400 pages at 50 a second takes 8 s with half a CPU; it is to take 1 s.

    factor 100/8 = 12, change 30 % of 100, 50*100/12 = 416, of which 30 % are 124; a per cent of CPU is a page, so 70.
    """
    policy = Advised(host)
    assert policy.get("pages_to_scan") == 500
    policy.set("advisor_target_scan_time", "1")
    policy.set("pages_to_scan", "50")
    assert (policy.get("pages_to_scan"), policy.get("advisor_min_pages_to_scan")) == (50, 500)
    policy.enter(filled(host, 400).mm)
    for second in range(9):
        policy.charge(second * SECOND, second * SECOND // 2)
        assert policy.get("pages_to_scan") == 50
        policy.scan(50)
    assert policy.get("pages_to_scan") == 70


def test_unknown_tunables_are_refused(host: Host) -> None:
    for kind in (Ksmtuned, Mom, Kubevirt, ClearContainers, Advised):
        with pytest.raises(KnobError, match="ENOENT"):
            kind(host).set("no_such", "1")
    with pytest.raises(KnobError, match="EINVAL"):
        Ksmtuned(host).set("sees_guests", "2")
