"""What is tried, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.errors import UsageError


@dataclass(frozen=True)
class Attack:
    """How it is tried.

    pages: of each guest. guesses: right ones to be written to, and as many wrong ones; the same again to be read.
    noise: standard deviation of a time, ns. together: attacker and victim are of one domain.
    """

    pages: int = 8192
    guesses: int = 256
    noise: float = 100
    seed: int = 1
    together: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.guesses <= self.pages // 4:
            raise UsageError(f"{self.guesses} guesses do not fit: give from 1 to {self.pages // 4}, or more memory")


@dataclass(frozen=True)
class Leak:
    """What came of it. Rates are from 0 to 1; seconds are virtual; times are medians of first accesses.

    auc: area under the ROC curve, by writes; read_auc: by reads. waited: from planting to the first access. merged: of
    the right guesses that are written to, how many were found merged with the victim's page; seconds_to_merge: their
    mean, None if none was. copies: what the attacker's accesses, four times `guesses`, had the host copy or rebuild.
    saved_pages: before them, of all memory. bits_per_guess and bytes_per_hour are of writes, and 0 where chance alone
    might show as much. percentiles: 5th, 25th, 50th, 75th and 95th, of writes.
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
    read_right_ns: float
    read_wrong_ns: float
    copies: int
    saved_pages: int
