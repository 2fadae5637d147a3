"""Random KSM scripts with swap, from a seed: a few processes of a few pages, paged out, reclaimed and used again.

A script is drawn step by step with a small model beside it (who lives, what is mapped), so that each step is one that
the grammar allows. Few contents, so that much merges.

python tests/swap_scripts.py SEED [zram] [pageout]     prints one; pageout: none is reclaimed from the cgroup
"""

from __future__ import annotations

import sys
from random import Random

MOST_PROCESSES = 4
STEPS = {"fill": 7, "poke": 6, "read": 9, "discard": 2, "pageout": 10, "reclaim": 3, "scan": 4, "passes": 7}
STEPS |= {"advise": 1, "fork": 2, "end": 1, "born": 2, "knob": 2, "look": 5}


class _Drawn:
    """The script so far, and what lives."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"swap {seed}")
        self.lines: list[str] = []
        self.sizes: dict[str, int] = {}
        self.names = 0

    def say(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))

    def born(self) -> None:
        if len(self.sizes) < MOST_PROCESSES:
            pages = self.random.randint(2, 12)
            name = self._called(pages)
            self.say("vm", name, pages)
            self.say("cgroup", name)
            self.say("fill", name, f"0..{pages - 1}", self.content())

    def _called(self, pages: int) -> str:
        name, self.names = f"p{self.names}", self.names + 1
        self.sizes[name] = pages
        return name

    def content(self) -> str:
        return self.random.choice(["seed 1+", "seed 1+", "seed 3+", "seed 7", "zero"])

    def ranged(self, word: str, *more: object) -> None:
        name = self.random.choice(list(self.sizes))
        lo = self.random.randrange(self.sizes[name])
        hi = self.random.randrange(lo, self.sizes[name])
        lo = self.random.choice([lo, 0])
        self.say(word, name, lo if lo == hi else f"{lo}..{hi}", *more)

    def fill(self) -> None:
        self.ranged("fill", self.content())

    def poke(self) -> None:
        name = self.random.choice(list(self.sizes))
        self.say("poke", name, self.random.randrange(self.sizes[name]), 8, self.random.randrange(3))

    def read(self) -> None:
        self.ranged("read")

    def discard(self) -> None:
        self.ranged("discard")

    def pageout(self) -> None:
        self.ranged("pageout")

    def reclaim(self) -> None:
        self.say("reclaim 16M")

    def advise(self) -> None:
        self.ranged(self.random.choice(["mergeable", "unmergeable"]))

    def fork(self) -> None:
        if len(self.sizes) < MOST_PROCESSES:
            name = self.random.choice(list(self.sizes))
            self.say("fork", name, self._called(self.sizes[name]))

    def end(self) -> None:
        if len(self.sizes) > 1:
            name = self.random.choice(list(self.sizes))
            del self.sizes[name]
            self.say("exit", name)

    def scan(self) -> None:
        self.say("scan", self.random.choice([1, 3, 10, 20]))

    def passes(self) -> None:
        self.say("pass", self.random.choice([1, 1, 2]))

    def knob(self) -> None:
        knobs = ["use_zero_pages 1", "use_zero_pages 0", "smart_scan 1", "max_page_sharing 3", "run 2"]
        knob = self.random.choice(knobs)
        self.say("set", knob)
        if knob == "run 2":
            self.look()
            self.say("set run 1")

    def look(self) -> None:
        for word in self.random.sample(["counters", "kinds", "mem", "sharing"], 2):
            self.say(word)


def swap_script(seed: int, device: str = "disk", reclaims: bool = True) -> str:
    """The text of a script. reclaims: whether it has `reclaim`, whose answers may depend on time."""
    drawn = _Drawn(seed)
    drawn.say("swapon", device)
    drawn.say("set stable_node_chains_prune_millisecs 3600000")
    drawn.born()
    drawn.born()
    drawn.passes()
    steps = {word: weight for word, weight in STEPS.items() if reclaims or word != "reclaim"}
    for word in drawn.random.choices(list(steps), list(steps.values()), k=drawn.random.randint(15, 45)):
        getattr(drawn, word)()
    for word in ("kinds", "pass 2", "counters", "kinds", "mem", "sharing", "digest"):
        drawn.say(word)
    return "\n".join(drawn.lines) + "\n"


if __name__ == "__main__":
    said = sys.argv[2:]
    sys.stdout.write(swap_script(int(sys.argv[1]), "zram" if "zram" in said else "disk", "pageout" not in said))
