"""ESX with salts: equal contents of guests with different salts never meet."""

from __future__ import annotations

import numpy as np
import pytest

from vmdedup.host.memory import Host
from vmdedup.policy.esx.policy import Esx
from vmdedup.policy.esx.salt import DOMAIN, GUEST, salt_of

PAGES = 32


def test_salts_of_different_domains_differ_in_the_upper_half_alone() -> None:
    host = Host.create(8, mms=2)
    mm = host.add(1).mm
    salts = set()
    for domain in range(5000):
        host.arrays.mms[mm]["domain"] = domain
        salts.add(salt_of(host, mm, DOMAIN))
    assert len(salts) == 5000
    assert 0 in salts
    assert all(salt & 0xFFFFFFFF == 0 and -(1 << 63) <= salt < 1 << 63 for salt in salts)
    host.close()


@pytest.mark.parametrize(("salting", "copies"), [(0, 1), (DOMAIN, 2), (GUEST, 4)])
def test_each_content_is_there_once_for_each_salt(salting: int, copies: int) -> None:
    """Four guests alike, two of each domain; every content is there twice in each."""
    host = Host.create(4 * PAGES, mms=4)
    rows = np.random.default_rng(1).integers(0, 256, (PAGES // 2, 4096), dtype=np.uint8)
    rows = np.concatenate([rows, rows])
    policy = Esx(host, seed=1)
    for knob, text in (("host_pages_per_second", "0"), ("vm_pages_per_second", "0"), ("salting", str(salting))):
        policy.set(knob, text)
    for domain in (1, 1, 2, 2):
        memory = host.add(PAGES, domain=domain)
        memory.write_pages(np.arange(PAGES), rows)
        policy.enter(memory.mm)
    for _ in range(40):
        policy.scan(4 * PAGES)
    policy.check()
    assert host.frames_in_use() == copies * PAGES // 2
    for memory in host.live():
        np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), rows)
    host.close()
