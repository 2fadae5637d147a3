"""Random KSM scripts with huge pages, from a seed: one to three processes of a few huge pages, which fork, too.

A script is drawn step by step with a small model beside it (who lives, what is mapped, of what size), so that each step
is one that the grammar allows. Few contents, so that much merges; stores to parts, discards of parts and of wholes,
advice that ends within a huge page.

python tests/huge_scripts.py SEED       prints one
"""

from __future__ import annotations

import sys
from random import Random

HUGE = 512
MOST_PROCESSES = 4
STEPS = {"fill": 8, "poke": 8, "read": 2, "discard": 5, "scan": 9, "passes": 5, "advise": 4, "fork": 3, "end": 2}
STEPS |= {"knob": 3, "collapse": 2, "unmap": 1, "born": 2, "look": 6}


class _Drawn:
    """The script so far, and what lives. mapped: pages of each living process that are not unmapped."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.lines: list[str] = []
        self.sizes: dict[str, int] = {}
        self.holes: dict[str, list[tuple[int, int]]] = {}
        self.names = 0

    def say(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))

    def born(self) -> None:
        if len(self.sizes) < MOST_PROCESSES:
            pages = self.random.choice([HUGE, HUGE, 2 * HUGE, HUGE + self.random.randint(1, 300)])
            option = self.random.choice(["huge", "huge", "huge", "huge plain", "", "anysize"])
            self.say("vm", self._called(pages), pages, option)

    def _called(self, pages: int) -> str:
        name, self.names = f"p{self.names}", self.names + 1
        self.sizes[name], self.holes[name] = pages, []
        return name

    def someone(self) -> str:
        return self.random.choice(list(self.sizes))

    def stretch(self) -> tuple[str, int, int]:
        """Pages of somebody: one, a few, half of a huge page, a whole one, all; none of them unmapped."""
        name = self.someone()
        size = self.sizes[name]
        top = self.random.randrange(0, size, HUGE)
        lo = self.random.choice([top, top, top + self.random.randrange(0, 511), min(size - 1, top + 256)])
        lo = min(lo, size - 1)
        length = self.random.choice([1, 3, 40, 256, HUGE, HUGE, size])
        hi = min(size - 1, lo + length - 1)
        if any(lo <= last and first <= hi for first, last in self.holes[name]):
            return "", 0, 0
        return name, lo, hi

    def ranged(self, word: str, *more: object) -> None:
        name, lo, hi = self.stretch()
        if name:
            self.say(word, name, lo if lo == hi else f"{lo}..{hi}", *more)

    def fill(self) -> None:
        value = self.random.choice([1, 1, 7, 300, self.random.randrange(1, 2000)])
        kinds = ["seed %d+", "seed %d+", "seed %d", "key %d+", "zero"]
        content = self.random.choice(kinds)
        self.ranged("fill", content % value if "%" in content else content)

    def poke(self) -> None:
        name, lo, _ = self.stretch()
        if name:
            self.say("poke", name, lo, self.random.choice([0, 8, 4095]), self.random.randrange(3))

    def read(self) -> None:
        self.ranged("read")

    def discard(self) -> None:
        self.ranged("discard")

    def unmap(self) -> None:
        name, lo, hi = self.stretch()
        if name and hi - lo < HUGE:
            self.say("unmap", name, f"{lo}..{hi}")
            self.holes[name].append((lo, hi))

    def advise(self) -> None:
        self.ranged(self.random.choice(["mergeable", "unmergeable", "hugepage", "nohugepage"]))

    def collapse(self) -> None:
        self.ranged("collapse")

    def fork(self) -> None:
        if len(self.sizes) < MOST_PROCESSES:
            name = self.someone()
            child = self._called(self.sizes[name])
            self.holes[child] = list(self.holes[name])
            self.say("fork", name, child)

    def end(self) -> None:
        if len(self.sizes) > 1:
            name = self.someone()
            del self.sizes[name]
            self.say("exit", name)

    def scan(self) -> None:
        self.say("scan", self.random.choice([1, 2, 10, 100, 513, 700]))

    def passes(self) -> None:
        self.say("pass", self.random.choice([1, 1, 2]))

    def knob(self) -> None:
        choices = ["use_zero_pages 1", "use_zero_pages 0", "smart_scan 1", "max_page_sharing 3", "run 2", "run 1"]
        choice = self.random.choice(choices)
        self.say("set", choice)
        if choice == "run 2":
            self.look()
            self.say("set run 1")

    def look(self) -> None:
        for word in self.random.sample(["counters", "kinds", "mem", "sharing"], 2):
            self.say(word)


def huge_script(seed: int) -> str:
    """The text of a script."""
    drawn = _Drawn(seed)
    drawn.say("set stable_node_chains_prune_millisecs 3600000")
    drawn.born()
    words, weights = list(STEPS), list(STEPS.values())
    for _ in range(drawn.random.randint(12, 40)):
        getattr(drawn, drawn.random.choices(words, weights)[0])()
    for word in ("pass 2", "counters", "kinds", "mem", "sharing", "digest"):
        drawn.say(word)
    return "\n".join(drawn.lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(huge_script(int(sys.argv[1])))
