"""How many words of a page are hashed: adapted to what that spares and costs. Source: uksm 0.1.2.6, rshash_adjust.

Once per *hash round*, when a quarter of all pages was hashed: benefit is words not read less the failed comparisons'
words, per page. Without failed comparisons the hash is made weaker, with too many it is made stronger; when the
benefit has changed, or from time to time, weaker and stronger ones are tried, and the best is kept.
"""

from __future__ import annotations

from typing import Final

INITIAL: Final = 64  # words of 1,024: a sixteenth of a page
LARGEST_STEP: Final = 5  # steps are 1, 2, 4 … 32 words
ZERO_ROUNDS: Final = 3  # rounds without failed comparisons until it is made weaker
TOO_DEAR: Final = 90  # failed comparisons in per cent of what is spared
DEVIATION: Final = 50  # per cent from the stable benefit
DEVIATING_ROUNDS: Final = 3
TRY_EVERY: Final = 32  # rounds of standing still; the source says only that it is done periodically
WINDOW, BELOW = 5, 3  # a trial ends when in a window of five rounds three are worse than the stable benefit
UP, DOWN, TRY, STAY = "up", "down", "try", "stay"


class Strength:
    """The strength and how it came to be. words: of a page; strongest: the greatest strength."""

    def __init__(self, words: int, strongest: int) -> None:
        self.value = INITIAL if words >= 1024 else max(1, words // 16)
        self.phase = "new"  # then "still", "trying weaker", "trying stronger"
        self._strongest = strongest
        self._stable_benefit = 0
        self._step = 0
        self._last = STAY
        self._zero_rounds = self._deviating = self._still = 0
        self._window = self._below = 0
        self._stable_value = self.value
        self._best = (0, self.value)  # benefit and strength, best of those tried

    def adjust(self, spared: int, lost: int, pages: int) -> int:
        """The strength from now on. spared: words not read, lost: words' worth of failed comparisons, over pages."""
        benefit = max(0, spared - lost) // max(1, pages)
        if self.phase == "new":
            self._stable_benefit, self.phase, self._step = benefit, "still", 0
            self._still = self._deviating = 0
        elif self.phase == "still":
            self._stand(benefit, self._direction(spared, lost, benefit))
        else:
            self._go_on_trying(benefit, self._direction(spared, lost, benefit))
        return self.value

    def _direction(self, spared: int, lost: int, benefit: int) -> str:
        self._zero_rounds = self._zero_rounds + 1 if lost == 0 else 0
        if lost == 0:
            if self._zero_rounds < ZERO_ROUNDS:
                return STAY
            self._zero_rounds = 0
            return DOWN
        if lost * 100 > spared * TOO_DEAR:
            return UP
        far = abs(benefit - self._stable_benefit) * 100 > self._stable_benefit * DEVIATION
        self._deviating = self._deviating + 1 if far else 0
        self._still += 1
        return TRY if self._deviating >= DEVIATING_ROUNDS or self._still >= TRY_EVERY else STAY

    def _stand(self, benefit: int, direction: str) -> None:
        if direction in (UP, DOWN):
            if direction != self._last:
                self._step = 0
            self._last = direction
            self._move(direction)
            self._stable_benefit = benefit
        elif direction == TRY:
            self._stable_value, self._best = self.value, (benefit, self.value)
            self._stable_benefit = benefit
            self._try("trying weaker", DOWN)

    def _try(self, phase: str, direction: str) -> None:
        self.phase = phase
        self._step = self._window = self._below = 0
        self._move(direction)

    def _go_on_trying(self, benefit: int, direction: str) -> None:
        if self._window % WINDOW == 0:
            self._below = 0
        self._window += 1
        if benefit < self._stable_benefit:
            self._below += 1
        elif benefit > self._best[0]:
            self._best = (benefit, self.value)
        weaker = self.phase == "trying weaker"
        at_end = self.value == (1 if weaker else self._strongest)
        if self._below < BELOW and direction != (UP if weaker else DOWN) and not at_end:
            self._move(DOWN if weaker else UP)
        elif weaker:
            self.value = self._stable_value
            self._try("trying stronger", UP)
        else:
            self.value, self.phase = self._best[1], "new"

    def _move(self, direction: str) -> None:
        """A step, each twice as long as the one before."""
        length = 1 << min(self._step, LARGEST_STEP)
        self._step += 1
        self.value = min(self._strongest, max(1, self.value + (length if direction == UP else -length)))
