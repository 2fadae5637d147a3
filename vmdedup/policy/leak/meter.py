"""One attacker, one victim, one policy: guesses are planted, time passes, guesses are used, and judged.

    attacker plants guesses ─► policy scans, in virtual time ─► attacker uses each once ─► slow: it was merged

Half of the guesses are pages of the victim, half are nobody's. Half of each are written to, half are read: a policy
that takes away access for reading too might be told by either. Attack: Suzaki and others, EuroSec 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import CTL_HINTS
from vmdedup.host.memory import Host, Memory
from vmdedup.host.rebuild import frames_behind
from vmdedup.policy.base import Policy
from vmdedup.policy.leak.attack import Attack, Leak
from vmdedup.policy.leak.timing import PRIVATE_NS, AccessTimer
from vmdedup.policy.leak.verdict import Times, area_under_roc, beyond_chance, bits_per_probe, percentiles
from vmdedup.policy.table import load_policy, policy_label
from vmdedup.policy.work import GUEST_PRICES_NS

VICTIM, ATTACKER = 1, 2  # their domains
FULL_SCANS = 6  # after so many, what has not been merged is not going to be
MOST_SECONDS = 24 * 3600
_MS = 1_000_000
_HOUR_S = 3600
# Times above this are taken for merged pages: halfway from a page of one's own to a copy, which errs least under noise.
THRESHOLD_NS = PRIVATE_NS + GUEST_PRICES_NS["cow_break"] / 2


def measure_leak(name: str, attack: Attack, tunables: Mapping[str, str] | None = None) -> Leak:
    """Try the attack under a policy, by its name or as FILE.py. The same attack gives the same result.

    tunables: what is written to the policy before anybody is there. Raises KnobError.
    """
    kind = load_policy(name)
    host = Host.create(2 * attack.pages, mms=2, swap=kind.needs_swap)
    host.arrays.ctl[CTL_HINTS] = int(kind.wants_hints)
    try:
        policy = kind(host, attack.seed)
        for knob, text in (tunables or {}).items():
            policy.set(knob, text)
        return _Trial(host, policy, attack).run(policy_label(name))
    finally:
        host.close()


class _Trial:
    """One run. n guesses each: right to write to, right to read, wrong to write to, wrong to read.

    They lie among the attacker's first pages in any order, so that how far a scan has come tells nothing of them.
    """

    def __init__(self, host: Host, policy: Policy, attack: Attack) -> None:
        self._host = host
        self._policy = policy
        self._attack = attack
        self._random = np.random.default_rng(attack.seed)
        self._now = 0  # ns
        self._victim = self._admit("victim", VICTIM)
        self._attacker = self._admit("attacker", VICTIM if attack.together else ATTACKER)
        self._places = self._random.permutation(4 * attack.guesses)  # the page of each guess
        secrets = self._victim.read_pages(self._secret)
        self._attacker.write_pages(self._right, secrets)
        self._merged_at = np.full(2 * attack.guesses, -1, np.int64)

    @property
    def _right(self) -> NDArray[np.int64]:
        """The attacker's pages that are right guesses."""
        return self._places[: 2 * self._attack.guesses]

    @property
    def _secret(self) -> NDArray[np.int64]:
        """Pages of the victim that are guessed rightly: from a quarter of its memory on."""
        return np.arange(2 * self._attack.guesses) + self._attack.pages // 4

    def _admit(self, name: str, domain: int) -> Memory:
        memory = self._host.add(self._attack.pages, name, domain=domain)
        rows = self._random.integers(0, 256, (self._attack.pages, self._host.page_size), dtype=np.uint8)
        memory.write_pages(np.arange(self._attack.pages), rows)
        self._policy.enter(memory.mm)
        return memory

    def run(self, label: str) -> Leak:
        """Wait, write, read, judge."""
        self._wait()
        saved = int(self._host.allocated()[0].sum()) - self._host.frames_in_use()
        timer = AccessTimer(self._attacker, self._attack.noise, self._random)
        written, read = self._times(timer.write, 0), self._times(timer.read, 1)
        return self._judge(label, written, read, saved, timer.caused)

    def _times(self, access: Callable[[int], float], part: int) -> tuple[Times, Times]:
        """Use that part of the guesses, in any order. Returns the times of right and wrong ones."""
        n = self._attack.guesses
        pages = self._places.reshape(4, n)[[part, 2 + part]].ravel()
        times = np.zeros(2 * n)
        for place in self._random.permutation(2 * n).tolist():
            times[place] = access(int(pages[place]))
        return times[:n], times[n:]

    def _wait(self) -> None:
        """Let the policy scan to the end of the round in which all right guesses are merged, or it had its chance.

        Nobody tells an attacker when that is: it waits for so long that a round more or less does not matter.
        """
        merged_in = FULL_SCANS
        while self._now < MOST_SECONDS * 1000 * _MS:
            self._policy.charge(self._now // _MS, self._policy.work_ns() // _MS)
            looked, before = 0, self._policy.work_ns()
            if self._policy.get("run") == 1:
                looked = self._policy.scan(self._policy.get("pages_to_scan"))
            self._now += self._policy.work_ns() - before + max(1, self._policy.get("sleep_millisecs")) * _MS
            self._note_merged()
            rounds = self._policy.counters()["full_scans"]
            if (self._merged_at >= 0).all():
                merged_in = min(merged_in, rounds)
            idle = looked == 0 and rounds == 0 and self._now > _HOUR_S * 1000 * _MS
            if idle or rounds >= FULL_SCANS or rounds > merged_in:
                return

    def _note_merged(self) -> None:
        mine = frames_behind(self._attacker.entries[self._right])
        theirs = frames_behind(self._victim.entries[self._secret])
        self._merged_at[(self._merged_at < 0) & (mine == theirs) & (mine != 0)] = self._now

    def _judge(
        self, label: str, written: tuple[Times, Times], read: tuple[Times, Times], saved: int, caused: int
    ) -> Leak:
        right, wrong = written
        hits, misses = float((right > THRESHOLD_NS).mean()), float((wrong > THRESHOLD_NS).mean())
        merged_at = self._merged_at[: self._attack.guesses]
        merged = merged_at[merged_at >= 0]
        bits = beyond_chance(bits_per_probe(hits, misses), 2 * self._attack.guesses)
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
            right_percentiles_ns=percentiles(right),
            wrong_percentiles_ns=percentiles(wrong),
            read_auc=area_under_roc(*read),
            read_right_ns=float(np.median(read[0])),
            read_wrong_ns=float(np.median(read[1])),
            copies=caused,
            saved_pages=saved,
        )
