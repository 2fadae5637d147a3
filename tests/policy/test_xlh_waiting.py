"""XLH: what a hinted page waits in, and what becomes of it there. Source: Miller et al., ATC 2013, Table 4."""

from __future__ import annotations

import numpy as np
import pytest

from kit.making import maker_of
from kit.xlh_host import VARIANTS, Make, XlhHost
from vmdedup.host.layout import FRAME_SHIFT, WRITABLE
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.trial import try_policy
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.policy import Xlh

make = maker_of(XlhHost)


def test_a_read_only_page_is_stored_to_without_a_copy(make: Make) -> None:
    x = make()
    one = x.guest(5)
    frame = int(one.entries[0]) >> FRAME_SHIFT
    assert one.entries[0] & WRITABLE
    x.hinted(one, 0)
    assert not one.entries[0] & WRITABLE
    x.fill(one, 0, 6)
    assert one.entries[0] & WRITABLE
    assert int(one.entries[0]) >> FRAME_SHIFT == frame
    assert (one.counter("cow_ksm"), one.counter("cow_fork"), x.host.frames_in_use()) == (0, 0, 1)
    assert x.get("pages_protected") == 1


@pytest.mark.parametrize("variant", [layout.READ_WRITE, layout.HASH_TABLE])
def test_other_variants_leave_pages_writable(make: Make, variant: int) -> None:
    x = make(variant=variant)
    one = x.guest(5, 6)
    x.hinted(one, 0, 1)
    assert (one.entries & WRITABLE).all()


def _stir(x: XlhHost) -> tuple[Memory, Memory]:
    """200 pages wait; then every third of them is stored to. Another guest has the same pages, unchanged."""
    random = np.random.default_rng(3)
    contents = random.permutation(10_000)[:200] + 1
    one = x.guest(*contents.tolist())
    two = x.guest(*contents.tolist())
    x.hinted(one, *range(200))
    for page in range(0, 200, 3):
        x.fill(one, page, int(random.integers(20_000, 30_000)))
    return one, two


@pytest.mark.parametrize("variant", VARIANTS)
def test_changed_pages_mislead_searches_in_an_unprotected_tree_only(make: Make, variant: int) -> None:
    x = make(variant=variant)
    _, two = _stir(x)
    waiting, reachable = x.policy._hinted.reachable()
    share = reachable / waiting
    unchanged = [page for page in range(200) if page % 3]
    x.hinted(two, *unchanged)
    found = x.get("pages_sharing") / len(unchanged)
    if variant == layout.READ_WRITE:
        assert share < 0.6
        assert found < 0.7
    else:
        assert found == 1
        assert share == (1 if variant == layout.READ_ONLY else pytest.approx(len(unchanged) / 200))


def test_a_page_that_changed_is_taken_out_once_met(make: Make) -> None:
    x = make()
    one = x.guest(50, 51)
    x.hinted(one, 0, 1)
    x.fill(one, 0, 90)
    x.fill(one, 1, 91)
    x.hinted(x.guest(52), 0)
    assert (x.get("pages_changed"), x.get("pages_unshared")) == (2, 1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_share_is_measured_when_a_scan_ends(make: Make, variant: int) -> None:
    x = make(variant=variant, measure_reachable=1)
    x.guest(*range(100, 164))
    while x.get("full_scans") < 2:
        x.policy.scan(10)
    assert (x.get("waiting_pages"), x.get("waiting_reachable")) == (64, 64)
    x.policy.check()


def test_pages_with_the_same_slot_wait_side_by_side(make: Make) -> None:
    x = make(variant=layout.HASH_TABLE)
    hinted = x.policy._hinted
    hinted.records = hinted.records._replace(heads=np.zeros(2, np.int32))
    one, two = x.guest(*range(1, 41)), x.guest(*range(1, 41))
    x.hinted(one, *range(40))
    assert x.get("pages_unshared") == 40
    x.hinted(two, *range(0, 40, 2))
    assert (x.get("pages_sharing"), x.get("pages_unshared")) == (20, 20)
    x.hinted(two, *range(1, 40, 2))
    assert (x.get("pages_sharing"), x.get("pages_unshared")) == (40, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_numa_nodes_are_kept_apart(variant: int) -> None:
    x = XlhHost(nodes=2, variant=variant)
    try:
        x.policy.set("merge_across_nodes", "0")
        near, far = x.guest(7, 7), x.guest(7, node=1)
        x.hinted(near, 0)
        x.hinted(far, 0)
        assert x.get("pages_sharing") == 0
        x.hinted(near, 1)
        assert x.get("pages_sharing") == 1
    finally:
        x.host.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_keeps_to_the_rules_of_all_policies(variant: int) -> None:
    class Variant(Xlh):
        def __init__(self, host: Host, seed: int = 0) -> None:
            super().__init__(host, seed)
            self.set("variant", str(variant))
            self.set("pages_to_scan", "7")

    failures = {verdict.rule: verdict.failure for verdict in try_policy(Variant) if verdict.failure}
    assert not failures
