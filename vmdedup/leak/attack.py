"""What is tried, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vmdedup.errors import UsageError

TRIALS: Final = range(8, 257)  # with fewer, chance could not be told


@dataclass(frozen=True)
class Attack:
    """How it is tried.

    pages: of each guest. guesses: right ones to be written to, and as many wrong ones; the same again to be read.
    noise: standard deviation of a time, ns. together: attacker and victim are of one domain. trials: of the channels
    room and pace each, seeds being seed, seed + 1, …; their guests are smaller (leak.channels.MOST_PAGES). 0: neither.
    """

    pages: int = 8192
    guesses: int = 256
    noise: float = 100
    seed: int = 1
    together: bool = False
    trials: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.guesses <= self.pages // 4:
            raise UsageError(f"{self.guesses} guesses do not fit: give from 1 to {self.pages // 4}, or more memory")
        if self.trials and self.trials not in TRIALS:
            raise UsageError(f"{self.trials} trials: give from {TRIALS.start} to {TRIALS.stop - 1}, or 0 for none")


@dataclass(frozen=True)
class Channel:
    """What came of one more channel: room, or pace.

    secret_unit, seen_unit: of what. auc: of two trials with unlike secrets, how often that with the larger secret
    showed more; 0.5 is nothing. chance: how often chance alone shows as much; where that is once in a thousand times
    or more, nothing was told: bits are 0, and error, seen_per_secret and guessed None. bits: what one trial tells of
    the secret, of bits_possible that there are to know. error: root mean square of what guesses were off, secret_unit.
    seen_per_secret: what is seen for one more of the secret. secrets, seen, guessed: of each trial.
    """

    name: str
    secret_unit: str
    seen_unit: str
    auc: float
    chance: float
    bits: float
    bits_possible: float
    error: float | None
    seen_per_secret: float | None
    secrets: tuple[int, ...]
    seen: tuple[float, ...]
    guessed: tuple[int, ...] | None


@dataclass(frozen=True)
class Leak:
    """What came of it. Rates are from 0 to 1; seconds are virtual; times are medians of first accesses.

    auc: area under the ROC curve, by writes; read_auc: by reads. waited: from planting to the first access. merged: of
    the right guesses that are written to, how many were found merged with the victim's page; seconds_to_merge: their
    mean, None if none was. copies: what the attacker's accesses, four times `guesses`, had the host copy or rebuild.
    saved_pages: before them, of all memory. bits_per_guess and bytes_per_hour are of writes, read_bits_per_guess of
    reads, and 0 where chance alone might show as much. percentiles: 5th, 25th, 50th, 75th and 95th, of writes.
    channels: room and pace, if there were trials.
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
    right_percentiles_ns: tuple[float, ...]
    wrong_percentiles_ns: tuple[float, ...]
    read_auc: float
    read_bits_per_guess: float
    read_right_ns: float
    read_wrong_ns: float
    copies: int
    saved_pages: int
    channels: tuple[Channel, ...] = ()
