"""The scan-time advisor, step by step. All divisions truncate.

factor = target·100 / scan_time          change = (70·change + 30·(scan_time·100 / last)) / 100
pages  = pages·100 / factor · change / 100
cost   = pages_to_scan / cpu_percent     at least cost·10, at most cost·max_cpu and max_pages
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kit.ksm_host import KsmHost
from vmdedup.ksm.advisor import Advisor


class Step(NamedTuple):
    """A full scan of so many ms, after which ksmd has had cpu_ms of CPU time in all."""

    scan_ms: int
    cpu_ms: int
    pages_to_scan: int


# 500 pages at the start, target 200 s, max_cpu 70 %, at most 30000 pages, unless said.


def play(steps: list[Step], pages: int = 500, target: int = 200, max_cpu: int = 70, most: int = 30000) -> list[int]:
    """pages_to_scan after each full scan."""
    advisor, seen = Advisor(), []
    for step in steps:
        pages = advisor.pages_to_scan(pages, step.scan_ms, step.cpu_ms, target, max_cpu, most)
        seen.append(pages)
    return seen


def expected(steps: list[Step]) -> list[int]:
    """The last column."""
    return [step.pages_to_scan for step in steps]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [
                Step(40, 134_080, 10),  # factor 20000, change 30: 0 pages; cost 500/13408, so 1; 1·10
                Step(60, 134_090, 100),  # cost 10/1; 10·10
                Step(70, 134_100, 1000),  # cost 100/1
                Step(90, 134_110, 10000),  # cost 1000/1
                Step(400, 134_120, 30000),  # cost 10000/1: 100000, but at most 30000
            ],
            id="as a kernel did: a scan takes no time, so only the CPU's least share counts",
        ),
        pytest.param(
            [
                # factor 200·100/400 = 50; change 30; 500·100/50·30/100 = 300; 10 % CPU: cost 50, 500 to 3500
                Step(400_000, 40_000, 500),
                # change (70·30 + 30·100)/100 = 51; 500·2·51/100 = 510; 40 %: cost 12, 120 to 840
                Step(400_000, 200_000, 510),
                # 100 s: factor 200; 100·100/400 = 25; change (70·51 + 30·25)/100 = 43; 510/2·43/100 = 109;
                # 60 %: cost 510/60 = 8, 80 to 560
                Step(100_000, 260_000, 109),
                # 199.999 s are 199: factor 20000/199 = 100; 199·100/100 = 199; change (3010 + 5970)/100 = 89;
                # 109·89/100 = 97; 1 %: cost 109, at least 1090
                Step(199_999, 260_001, 1090),
            ],
            id="slow and fast scans",
        ),
        pytest.param(
            [
                # 3000 s: factor 20000/3000 = 6; 500·100/6 = 8333·30/100 = 2499; 100 %: cost 5, 50 to 350
                Step(3_000_000, 3_000_000, 350),
                # factor max(1, 20000/30000) = 1; 30000·100/3000 = 1000; change 21+300 = 321;
                # 350·100/1 = 35000·321/100 = 112350; 1 %: cost 350, 3500 to 24500
                Step(30_000_000, 3_300_000, 24_500),
            ],
            id="scans that never end",
        ),
    ],
)
def test_pages_to_scan_follows_the_time_of_the_last_scans(steps: list[Step]) -> None:
    assert play(steps) == expected(steps)


def test_other_bounds() -> None:
    steps = [Step(400_000, 40_000, 0)]
    # As "slow and fast scans": 300 wanted, cost 50 (10 % CPU).
    assert play(steps, max_cpu=100) == [500]  # the least, 10 %, is above what is wanted
    assert play(steps, max_cpu=2) == [500]  # and above max_cpu
    assert play(steps, most=123) == [123]
    assert play(steps, target=100) == [600]  # factor 25: 500·4·30/100 = 600, at most 3500
    assert play(steps, target=100, max_cpu=11) == [550]
    assert play(steps, pages=0) == [10]  # nothing wanted, cost at least 1


def test_ksmd_asks_it_at_the_end_of_each_full_scan() -> None:
    """The second case above, by a ksmd that is told the time; a batch in the midst of a scan changes nothing."""
    with KsmHost() as k:
        k.guest(1, 2, 3, 4)
        k.ksmd.set("advisor_mode", "scan-time")
        seen, now = [k.ksmd.get("pages_to_scan")], 7_000
        for scan_ms, cpu_ms in ((400_000, 40_000), (400_000, 200_000), (100_000, 260_000), (199_999, 260_001)):
            k.ksmd.charge(now, k.ksmd.cpu_ms)
            k.ksmd.scan(2)  # begins the scan
            assert k.ksmd.get("pages_to_scan") == seen[-1]
            now += scan_ms
            k.ksmd.charge(now, cpu_ms)
            k.scans()
            seen.append(k.ksmd.get("pages_to_scan"))
            now += 20_000  # between two scans; not the advisor's business
        assert seen == [500, 500, 510, 109, 1090]
        k.ksmd.set("advisor_mode", "none")
        assert k.ksmd.get("pages_to_scan") == 100
        k.scans()
        assert k.ksmd.get("pages_to_scan") == 100
        k.ksmd.set("advisor_mode", "scan-time")  # starts afresh: all CPU time so far counts as this scan's
        assert k.ksmd.get("pages_to_scan") == 500
        k.ksmd.charge(now, 260_001)
        k.ksmd.scan(2)
        k.ksmd.charge(now + 1000, 260_001)
        k.scans()
        assert k.ksmd.get("pages_to_scan") == 10  # cost 500 / 26000 is 1


def test_its_bounds_are_tunables() -> None:
    with KsmHost(advisor_min_pages_to_scan=40, advisor_max_pages_to_scan=123, advisor_target_scan_time=1) as k:
        k.guest(1, 2)
        k.ksmd.set("advisor_mode", "scan-time")
        assert k.ksmd.get("pages_to_scan") == 40
        k.ksmd.scan(1)
        k.ksmd.charge(1000, 10)
        k.scans()  # factor 100, change 30: 12; 1 %: cost 40, at least 400
        assert k.ksmd.get("pages_to_scan") == 123
