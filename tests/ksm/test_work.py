"""What ksmd has done, operation by operation, on memory in which each page's fate is known."""

from __future__ import annotations

from itertools import pairwise

from kit.ksm_host import KsmHost

PAGE = 4096


def test_each_operation_is_counted() -> None:
    """Pages 1, 1, 2, and a place without a page."""
    with KsmHost(smart_scan=0) as k:
        guest = k.guest(1, 1, 2)
        done = [k.ksmd.work_done()]
        assert not any(done[0].values())
        for _ in range(3):
            k.scans()
            done.append(k.ksmd.work_done())
        first, merging, steady = (
            {name: now[name] - before[name] for name in now if now[name] != before[name]}
            for before, now in pairwise(done)
        )
        batches = {scan.pop("batch") for scan in (first, merging, steady)}
        assert batches == {1}
        assert first == {"visit": 3, "hash_byte": 3 * PAGE}
        # The second page finds the first in the unstable tree, reading all of it; both are merged. The third looks at
        # the KSM page, and differs in its first bytes.
        assert merging["merge"] == 2
        assert (merging["visit"], merging["hash_byte"]) == (3, 3 * PAGE)
        assert (merging["unstable_level"], merging["stable_level"]) == (1, 1)
        assert PAGE <= merging["compare_byte"] < PAGE + 16
        assert (steady["visit"], steady["hash_byte"], steady["stable_level"]) == (3, PAGE, 1)
        assert "merge" not in steady
        assert guest is not None
