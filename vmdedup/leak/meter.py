"""One attacker, one victim, one policy: guesses are planted, time passes, guesses are used, and judged.

    attacker plants guesses ─► policy scans, in virtual time ─► attacker uses each once ─► slow: it was merged

Half of the guesses are pages of the victim, half are nobody's. Half of each are written to, half are read: a policy
that takes away access for reading too might be told by either. Attack: Suzaki and others, EuroSec 2011. What can be
told otherwise than by the time of accesses is measured beside it: leak.channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.rebuild import frames_behind
from vmdedup.leak.attack import Attack, Channel, Leak
from vmdedup.leak.channels import measure_channels
from vmdedup.leak.scene import ATTACKER, VICTIM, Scene, scene
from vmdedup.leak.timing import PRIVATE_NS, AccessTimer
from vmdedup.leak.verdict import Times, area_under_roc, beyond_chance, bits_per_probe, percentiles
from vmdedup.policy.table import policy_label
from vmdedup.policy.work import GUEST_PRICES_NS

_HOUR_S = 3600
# Times above this are taken for merged pages: halfway from a page of one's own to a copy, which errs least under noise.
THRESHOLD_NS = PRIVATE_NS + GUEST_PRICES_NS["cow_break"] / 2


def measure_leak(name: str, attack: Attack, tunables: Mapping[str, str] | None = None) -> Leak:
    """Try the attack under a policy, by its name or as FILE.py. The same attack gives the same result.

    tunables: what is written to the policy before anybody is there. Raises what leak.scene.scene does.
    """
    channels = measure_channels(name, attack, tunables or {})
    with scene(name, tunables or {}, 2 * attack.pages, attack.seed) as here:
        return _Trial(here, attack).run(policy_label(name), channels)


class _Trial:
    """One run. n guesses each: right to write to, right to read, wrong to write to, wrong to read.

    They lie among the attacker's first pages in any order, so that how far a scan has come tells nothing of them.
    """

    def __init__(self, here: Scene, attack: Attack) -> None:
        self._here = here
        self._attack = attack
        self._victim = here.admit("victim", attack.pages, VICTIM)
        self._attacker = here.admit("attacker", attack.pages, VICTIM if attack.together else ATTACKER)
        self._places = here.random.permutation(4 * attack.guesses)  # the page of each guess
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

    def run(self, label: str, channels: tuple[Channel, ...]) -> Leak:
        """Wait, write, read, judge."""
        self._here.wait(self._all_merged)
        host = self._here.host
        saved = int(host.allocated()[0].sum()) - host.frames_in_use()
        timer = AccessTimer(self._attacker, self._attack.noise, self._here.random)
        written, read = self._times(timer.write, 0), self._times(timer.read, 1)
        return self._judge(label, written, read, (saved, timer.caused), channels)

    def _times(self, access: Callable[[int], float], part: int) -> tuple[Times, Times]:
        """Use that part of the guesses, in any order. Returns the times of right and wrong ones."""
        n = self._attack.guesses
        pages = self._places.reshape(4, n)[[part, 2 + part]].ravel()
        times = np.zeros(2 * n)
        for place in self._here.random.permutation(2 * n).tolist():
            times[place] = access(int(pages[place]))
        return times[:n], times[n:]

    def _all_merged(self) -> bool:
        """Whether all right guesses have been merged by now; when each was is noted."""
        mine = frames_behind(self._attacker.entries[self._right])
        theirs = frames_behind(self._victim.entries[self._secret])
        self._merged_at[(self._merged_at < 0) & (mine == theirs) & (mine != 0)] = self._here.now
        return bool((self._merged_at >= 0).all())

    def _judge(
        self,
        label: str,
        written: tuple[Times, Times],
        read: tuple[Times, Times],
        counts: tuple[int, int],
        channels: tuple[Channel, ...],
    ) -> Leak:
        """counts: pages saved before, and what accesses caused."""
        right, wrong = written
        hits, misses, bits = _told(written)
        merged_at = self._merged_at[: self._attack.guesses]
        merged = merged_at[merged_at >= 0]
        seconds = max((self._here.now + float(right.sum() + wrong.sum())) / 1e9, 1e-9)
        return Leak(
            policy=label,
            auc=area_under_roc(right, wrong),
            true_positives=hits,
            false_positives=misses,
            merged=len(merged),
            seconds_to_merge=float(merged.mean()) / 1e9 if len(merged) else None,
            waited=self._here.now / 1e9,
            bits_per_guess=bits,
            bytes_per_hour=bits / 8 * 2 * self._attack.guesses * _HOUR_S / seconds,
            right_ns=float(np.median(right)),
            wrong_ns=float(np.median(wrong)),
            right_percentiles_ns=percentiles(right),
            wrong_percentiles_ns=percentiles(wrong),
            read_auc=area_under_roc(*read),
            read_bits_per_guess=_told(read)[2],
            read_right_ns=float(np.median(read[0])),
            read_wrong_ns=float(np.median(read[1])),
            copies=counts[1],
            saved_pages=counts[0],
            channels=channels,
        )


def _told(times: tuple[Times, Times]) -> tuple[float, float, float]:
    """Of right guesses and of wrong ones, what part is taken for merged; and bits a guess, 0 by chance."""
    hits, misses = (float((each > THRESHOLD_NS).mean()) for each in times)
    return hits, misses, beyond_chance(bits_per_probe(hits, misses), len(times[0]) + len(times[1]))
