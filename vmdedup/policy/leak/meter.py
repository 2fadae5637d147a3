"""One attacker, one victim, one policy: guesses are planted, time passes, guesses are written to, and judged.

    attacker plants guesses ─► policy scans, in virtual time ─► attacker writes to each ─► slow: it was merged

Half of the guesses are pages of the victim, half are nobody's. Attack: Suzaki and others, EuroSec 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.host.layout import CTL_HINTS, FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.host.memory import Host, Memory
from vmdedup.policy.base import Policy
from vmdedup.policy.leak.timing import PRIVATE_WRITE_NS, WriteTimer
from vmdedup.policy.leak.verdict import Times, area_under_roc, bits_per_probe
from vmdedup.policy.table import load_policy, policy_label
from vmdedup.policy.work import GUEST_PRICES_NS

VICTIM, ATTACKER = 1, 2  # their domains
FULL_SCANS = 6  # after so many, what has not been merged is not going to be
MOST_SECONDS = 24 * 3600
_MS = 1_000_000
_HOUR_S = 3600
# Times above this are taken for merged pages: halfway, on a logarithmic scale, from a page of one's own to a copy.
THRESHOLD_NS = float(np.sqrt(PRIVATE_WRITE_NS * GUEST_PRICES_NS["cow_break"]))


@dataclass(frozen=True)
class Attack:
    """How it is tried. pages: of each guest; guesses: right ones and as many wrong ones; noise: of a time, ns."""

    pages: int = 8192
    guesses: int = 256
    noise: float = 100
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.guesses <= self.pages // 2:
            raise UsageError(f"{self.guesses} guesses do not fit: give from 1 to {self.pages // 2}, or more memory")


@dataclass(frozen=True)
class Leak:
    """What came of it. Rates are from 0 to 1; seconds are virtual.

    auc: area under the ROC curve. waited: from planting to writing. merged: of the right guesses, how many were
    found merged with the victim's page; seconds_to_merge: their mean, None if none was.
    """

    policy: str
    auc: float
    true_positives: float
    false_positives: float
    merged: int
    seconds_to_merge: float | None
    waited: float
    bits_per_guess: float
    bytes_per_hour: float
    right_ns: float
    wrong_ns: float


def measure_leak(name: str, attack: Attack) -> Leak:
    """Try the attack under a policy, by its name or as FILE.py. The same attack gives the same result."""
    kind = load_policy(name)
    host = Host.create(2 * attack.pages, mms=2, swap=kind.needs_swap)
    host.arrays.ctl[CTL_HINTS] = int(kind.wants_hints)
    try:
        return _Trial(host, kind(host, attack.seed), attack).run(policy_label(name))
    finally:
        host.close()


class _Trial:
    """One run. Guesses 0 to n - 1 are right, n to 2n - 1 are wrong; both are on the attacker's first pages."""

    def __init__(self, host: Host, policy: Policy, attack: Attack) -> None:
        self._host = host
        self._policy = policy
        self._attack = attack
        self._random = np.random.default_rng(attack.seed)
        self._now = 0  # ns
        self._victim = self._admit("victim", VICTIM)
        self._attacker = self._admit("attacker", ATTACKER)
        secrets = self._victim.read_pages(self._secret)
        self._attacker.write_pages(np.arange(attack.guesses), secrets)
        self._merged_at = np.full(attack.guesses, -1, np.int64)

    @property
    def _secret(self) -> NDArray[np.int64]:
        """Pages of the victim that are guessed rightly: from the middle of its memory on."""
        return np.arange(self._attack.guesses) + self._attack.pages // 4

    def _admit(self, name: str, domain: int) -> Memory:
        memory = self._host.add(self._attack.pages, name, domain=domain)
        rows = self._random.integers(0, 256, (self._attack.pages, self._host.page_size), dtype=np.uint8)
        memory.write_pages(np.arange(self._attack.pages), rows)
        self._policy.enter(memory.mm)
        return memory

    def run(self, label: str) -> Leak:
        """Wait, write, judge."""
        self._wait()
        timer = WriteTimer(self._attacker, self._attack.noise, self._random)
        times = np.zeros(2 * self._attack.guesses)
        for guess in self._random.permutation(len(times)).tolist():
            times[guess] = timer.write(guess)
        return self._judge(label, times[: self._attack.guesses], times[self._attack.guesses :])

    def _wait(self) -> None:
        """Let the policy scan until all right guesses are merged, or it has had its chance."""
        while (self._merged_at < 0).any() and self._now < MOST_SECONDS * 1000 * _MS:
            self._policy.charge(self._now // _MS, self._policy.work_ns() // _MS)
            looked, before = 0, self._policy.work_ns()
            if self._policy.get("run") == 1:
                looked = self._policy.scan(self._policy.get("pages_to_scan"))
            self._now += self._policy.work_ns() - before + max(1, self._policy.get("sleep_millisecs")) * _MS
            self._note_merged()
            rounds = self._policy.counters()["full_scans"]
            if rounds >= FULL_SCANS or (looked == 0 and rounds == 0 and self._now > _HOUR_S * 1000 * _MS):
                return

    def _note_merged(self) -> None:
        mine, theirs = (
            self._frames(self._attacker, np.arange(self._attack.guesses)),
            self._frames(self._victim, self._secret),
        )
        self._merged_at[(self._merged_at < 0) & (mine == theirs) & (mine != 0)] = self._now

    @staticmethod
    def _frames(memory: Memory, pages: NDArray[np.int64]) -> NDArray[np.int64]:
        entries = memory.entries[pages]
        return np.where(entries & PRESENT, (entries >> FRAME_SHIFT) & FRAME_MASK, 0)

    def _judge(self, label: str, right: Times, wrong: Times) -> Leak:
        hits, misses = float((right > THRESHOLD_NS).mean()), float((wrong > THRESHOLD_NS).mean())
        merged = self._merged_at[self._merged_at >= 0]
        bits = bits_per_probe(hits, misses)
        seconds = max((self._now + float(right.sum() + wrong.sum())) / 1e9, 1e-9)
        return Leak(
            policy=label,
            auc=area_under_roc(right, wrong),
            true_positives=hits,
            false_positives=misses,
            merged=len(merged),
            seconds_to_merge=float(merged.mean()) / 1e9 if len(merged) else None,
            waited=self._now / 1e9,
            bits_per_guess=bits,
            bytes_per_hour=bits / 8 * 2 * self._attack.guesses * _HOUR_S / seconds,
            right_ns=float(np.median(right)),
            wrong_ns=float(np.median(wrong)),
        )
