"""Phones that store while a policy scans: what is read back is what was stored, in whatever form it was kept."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FOREGROUND
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.table import load_policy

pytestmark = pytest.mark.compiled  # threads run at the same time only there
PAGES, ROUNDS = 96, 400
IMPATIENT = {"fresh_millisecs": "0", "settle_millisecs": "1", "longest_wait_millisecs": "1", "idle_millisecs": "1"}
IMPATIENT |= {"compress_cut_off": "3072"}


class Phone(threading.Thread):
    """Stores equal, similar and compressible pages; its one app goes to the background and comes back."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory
        self.random = np.random.default_rng(2)
        self.known = np.zeros((PAGES, 4096), np.uint8)
        self.bases = self.random.integers(0, 256, (3, 4096), dtype=np.uint8)
        self.wrong = 0
        memory.declare(0, 0, 8, ANONYMOUS, 0, 0)

    def run(self) -> None:
        for number in range(ROUNDS):
            self.memory.declare(1, 8, PAGES - 8, ANONYMOUS, 1, (FOREGROUND, BACKGROUND)[number % 2])
            some = self.random.choice(PAGES, 8, replace=False)
            rows = self.bases[self.random.integers(0, 3, 8)]
            rows[:4, number % 4096] ^= 1
            rows[6] = number % 3
            self.known[some] = rows
            self.memory.write_pages(some, rows)
            others = self.random.choice(PAGES, 12, replace=False)
            self.wrong += int((self.memory.read_pages(others) != self.known[others]).any())


@pytest.mark.parametrize("name", ["exclusion", "n_chance", "group_limited", "similar_page", "zram", "background"])
def test_it_scans_while_the_phone_stores(name: str) -> None:
    host = Host.create(PAGES, mms=2, frames=3 * PAGES)
    phone, policy = Phone(host.add(PAGES, "phone")), load_policy(name)(host, 5)
    for knob in IMPATIENT.keys() & policy.tunables.keys():
        policy.set(knob, IMPATIENT[knob])
    policy.enter(phone.memory.mm)
    phone.start()
    while phone.is_alive():
        policy.charge(policy.now_ms + 20, 0)
        policy.scan(2 * PAGES)
    phone.join()
    assert phone.wrong == 0
    policy.check()
    np.testing.assert_array_equal(phone.memory.read_pages(np.arange(PAGES)), phone.known)
    assert policy.work.done["visit"] > 10 * PAGES
    phone.memory.exit()
    policy.exit(phone.memory.mm)
    assert host.frames_in_use() == 0
    host.close()
