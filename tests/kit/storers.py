"""Guests that store while a policy scans, and know what they have stored."""

from __future__ import annotations

import threading

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.base import Policy

PAGES, GUESTS, ROUNDS = 64, 2, 400


class Storer(threading.Thread):
    """A guest that stores few different contents, whole and in part, and keeps a copy of what it stored."""

    def __init__(self, memory: Memory, seed: int) -> None:
        super().__init__()
        self.memory = memory
        self.random = np.random.default_rng(seed)
        self.known = np.zeros((PAGES, 4096), np.uint8)
        self.wrong = 0

    def run(self) -> None:
        """Store, and look whether what was stored is there."""
        for _ in range(ROUNDS):
            some = self.random.choice(PAGES, 8, replace=False)
            self.known[some] = self.random.integers(0, 3, 8, np.uint8)[:, np.newaxis]
            self.memory.write_pages(some, self.known[some])
            page = int(self.random.integers(PAGES))
            self.known[page, 4000] = self.random.integers(3)
            self.memory.write(page, bytes([self.known[page, 4000]]), 4000)
            self.wrong += int((self.memory.read_pages(some) != self.known[some]).any())


def race(policy: Policy, host: Host) -> list[Storer]:
    """Scan until every guest has come to its end; then what each knows must be what is there."""
    storers = [Storer(host.add(PAGES, f"g{number}"), number) for number in range(GUESTS)]
    for storer in storers:
        policy.enter(storer.memory.mm)
        storer.start()
    while any(storer.is_alive() for storer in storers):
        policy.scan(200)
        policy.charge(policy.now_ms + 20, 0)
    for storer in storers:
        storer.join()
        assert storer.wrong == 0
        np.testing.assert_array_equal(storer.memory.read_pages(np.arange(PAGES)), storer.known)
    policy.check()
    return storers
