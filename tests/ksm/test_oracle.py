"""The engine against the slow obvious KSM: random lives of a few processes, compared in everything.

After every batch: counters, the state of every rmap item (checksum, age, skips), the exact shape of both trees with
colours, sharers in order, and what every page maps.
"""

from __future__ import annotations

from operator import methodcaller
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.ksm_pair import Pair
from script_generator import generate_into
from vmdedup.conform.generator import generate
from vmdedup.jit import PYTHON_MODE
from vmdedup.ksm.profile import DEFAULT, Profile, profile
from vmdedup.replay.content import Content, Key, Seed, Zero
from vmdedup.replay.script import Script, parse, parse_text

PROCESSES = 7
PAGES = 16
EXAMPLES = 25 if PYTHON_MODE else 150
PROGRAMS = 5  # that are run anew


def room(nodes: int) -> Script:
    """A script for whose machine there is room for PROCESSES of PAGES pages, and PROGRAMS, on each node, and swap."""
    lines = ["swapon", *(f"vm v{n} {PAGES}" for n in range(PROCESSES)), *["exec v0"] * PROGRAMS]
    return parse_text("\n".join([*lines, f"node v0 {nodes - 1}"]), Path())


CONTENTS: list[Content] = [Zero(), Key(1), Key(2), Key(1, 1), Seed(1), Seed(2), Seed(1, 1)]
KNOBS = [
    ("smart_scan", "0", "1"),
    ("use_zero_pages", "0", "1"),
    ("max_page_sharing", "2", "3", "256"),
    ("stable_node_chains_prune_millisecs", "0", "2000", "4294967295"),
    ("run", "0", "1", "1", "2"),
    ("merge_across_nodes", "0", "1"),
]
# What may happen, and how often in proportion.
EVENTS = {
    "scan": 10,
    "pass": 5,
    "fill": 8,
    "poke": 8,
    "vm": 4,
    "fork": 3,
    "exit": 3,
    "read": 2,
    "discard": 4,
    "unmap": 2,
    "unmergeable": 3,
    "mergeable": 2,
    "set": 4,
    "tick": 1,
}
MOVES = {"migrate": 10, "node": 2}
WHOLE_LIVES = {"prctl": 4, "execute": 2}
SWAPS = {"pageout": 8, "reclaim": 3, "swap": 1, "read": 6}
NUMBER = st.integers(0, 63)
Event = tuple[str, int, int, int]


def lives_of(events: dict[str, int]) -> st.SearchStrategy[list[Event]]:
    """Lists of events, each with three numbers."""
    names = [name for name, times in events.items() for _ in range(times)]
    return st.lists(st.tuples(st.sampled_from(names), NUMBER, NUMBER, NUMBER), min_size=25, max_size=80)


LIVES = lives_of(EVENTS)


START = st.tuples(
    st.sampled_from(["0", "1"]),
    st.sampled_from(["0", "1"]),
    st.sampled_from(["2", "2", "3", "256"]),
    st.sampled_from(["0", "2000", "4294967295"]),
)


class Lives:
    """Makes steps that the grammar allows of an event and three numbers. mapped: what each living process maps."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.sizes: dict[str, int] = {}
        self.mapped: dict[str, list[int]] = {}
        self.born = self.executed = 0

    def happen(self, event: str, a: int, b: int, c: int) -> None:
        """One event; nothing if nobody lives to whom it could happen."""
        if event in ("scan", "pass"):
            scans, pages = 1 + b % 4, (0, 1, 2, 3, 5, 8, 30, 200)[a % 8]
            self.pair.do(lambda m: m.scan(pages) if event == "scan" else m.full_pass(scans))
            self.pair.compare()
        elif event == "tick":
            self.pair.tick((1, 1999, 2000, 5000)[a % 4])
        elif event == "set":
            knob, *values = KNOBS[a % len(KNOBS)]
            self.pair.do(lambda m: m.set(knob, values[b % len(values)]))
        elif event in ("vm", "fork"):
            self.be_born(event, a, b)
        elif event == "reclaim":
            self.pair.do(lambda m: m.reclaim((1 + b % 5 * a) << 12))
            self.look()
        elif event == "swap":
            self.pair.do(lambda m: m.swapoff() if a % 2 else m.swapon(("disk", "zram")[b % 2]))
            self.look()
        elif self.mapped:
            self.live(event, sorted(self.mapped)[a % len(self.mapped)], b, c)

    def look(self) -> None:
        """What swap has done."""
        self.pair.do(lambda m: m.kinds())
        self.pair.do(lambda m: m.mem())

    def be_born(self, event: str, a: int, b: int) -> None:
        """A new process, or a child."""
        name = f"v{self.born}"
        if self.born == PROCESSES or (event == "fork" and not self.mapped):
            return
        self.born += 1
        if event == "fork":
            parent = sorted(self.mapped)[a % len(self.mapped)]
            self.mapped[name] = list(self.mapped[parent])
            self.sizes[name] = self.sizes[parent]
            self.pair.do(lambda m: m.fork(parent, name))
            return
        pages = 1 + a % PAGES
        self.sizes[name] = pages
        self.mapped[name] = list(range(pages))
        self.pair.do(lambda m: m.vm(name, pages))
        self.pair.do(lambda m: m.cgroup(name))
        self.pair.do(lambda m: m.fill(name, 0, pages - 1, CONTENTS[b % len(CONTENTS)]))

    def live(self, event: str, name: str, b: int, c: int) -> None:
        """Something happens to a process, mostly to some of its pages."""
        if event == "exit":
            del self.mapped[name]
            self.pair.do(lambda m: m.exit(name))
            return
        if event == "execute":
            self.execute(name, bool(c % 2))
            return
        if not self.mapped[name]:
            return
        if event == "prctl":
            self.pair.do(lambda m: m.prctl(name, bool(c % 2)))
            self.pair.do(lambda m: m.status(name))
            return
        if event == "node":
            self.pair.do(lambda m: m.node(name, c % self.pair.nodes))
            return
        lo, hi = self.stretch(name, b, c)
        if event == "migrate":
            self.pair.do(lambda m: m.migrate(name, lo, hi, (b + c) % self.pair.nodes, c % 5 > 0))
        elif event == "fill":
            self.pair.do(lambda m: m.fill(name, lo, hi, CONTENTS[(b + c) % len(CONTENTS)]))
        elif event == "poke":
            self.pair.do(lambda m: m.poke(name, lo, (0, 7, 8, 4095)[c % 4], (c >> 2) % 3))
        else:
            self.pair.do(lambda m: getattr(m, event)(name, lo, hi))
            if event == "pageout":
                self.look()
            if event == "unmap":
                self.mapped[name] = [page for page in self.mapped[name] if not lo <= page <= hi]

    def execute(self, name: str, mergeable: bool) -> None:
        """A new program, whose mapping is of the size of the old one's."""
        if self.executed < PROGRAMS:
            self.executed += 1
            self.mapped[name] = list(range(self.sizes[name]))
            self.pair.do(lambda m: m.execute(name, mergeable))
            self.pair.do(lambda m: m.status(name))

    def stretch(self, name: str, b: int, c: int) -> tuple[int, int]:
        """A range of mapped pages."""
        mapped = self.mapped[name]
        first = last = b % len(mapped)
        while last + 1 < len(mapped) and mapped[last + 1] == mapped[last] + 1 and last - first < c // 4:
            last += 1
        return mapped[first], mapped[last]


def live(
    start: tuple[str, ...],
    events: list[Event],
    force_rebase: bool = False,
    kernel: Profile = DEFAULT,
    nodes: int = 1,
) -> None:
    """Let all of it happen on both, and look at everything at the end."""
    pair = Pair(room(nodes), force_rebase, kernel)
    for (knob, *_), text in zip(KNOBS, start, strict=False):
        pair.do(methodcaller("set", knob, text))
    if nodes > 1:
        pair.do(methodcaller("set", "merge_across_nodes", "0"))
    lives = Lives(pair)
    for content in (2, 5):
        lives.be_born("vm", PAGES - 1, content)
    for event in events:
        lives.happen(*event)
    pair.do(lambda m: m.set("run", "1"))
    for _ in range(2):
        pair.do(lambda m: m.full_pass())
        pair.compare()
    assert pair.engine.digest() == pair.oracle.digest()
    pair.close()


@settings(max_examples=EXAMPLES)
@given(START, LIVES)
def test_the_engine_does_what_the_oracle_does(start: tuple[str, ...], events: list[Event]) -> None:
    live(start, events)


@settings(max_examples=EXAMPLES)
@given(START, LIVES, st.sampled_from(["5.10", "6.1", "6.5", "6.8", "6.11", "7.3"]))
def test_so_it_does_as_any_version_of_linux(start: tuple[str, ...], events: list[Event], kernel: str) -> None:
    """Versions between those that were asked have some of the differences, in whichever mixture."""
    live(start, events, kernel=profile(kernel))


@settings(max_examples=EXAMPLES)
@given(START, lives_of(EVENTS | MOVES), st.sampled_from([2, 3]), st.sampled_from(["6.1", "6.18", "7.3"]))
def test_so_it_does_where_frames_move(start: tuple[str, ...], events: list[Event], nodes: int, kernel: str) -> None:
    live(start, events, kernel=profile(kernel), nodes=nodes)


@settings(max_examples=EXAMPLES // 2)
@given(START, lives_of(EVENTS | WHOLE_LIVES), st.sampled_from(["5.10", "6.12", "6.18"]))
def test_so_it_does_of_all_memory_and_of_new_programs(start: tuple[str, ...], events: list[Event], kernel: str) -> None:
    live(start, events, kernel=profile(kernel))


@settings(max_examples=EXAMPLES)
@given(START, lives_of(EVENTS | SWAPS), st.sampled_from(["5.10", "6.1", "6.12", "6.18", "7.3"]), st.booleans())
def test_so_it_does_where_pages_go_out(start: tuple[str, ...], events: list[Event], kernel: str, zram: bool) -> None:
    live(start, [("swap", 0, int(zram), 0), *events], kernel=profile(kernel))


@settings(max_examples=EXAMPLES // 2)
@given(START, LIVES)
def test_whatever_page_keys_are_relative_to_nothing_changes(start: tuple[str, ...], events: list[Event]) -> None:
    """Decisions never depend on the base page, so one that changes at every batch changes none."""
    live(start, events, force_rebase=True)


@pytest.mark.parametrize("seed", range(3 if PYTHON_MODE else 40))
def test_generated_scripts(tmp_path: Path, seed: int) -> None:
    script = parse(generate_into(tmp_path, seed, "small"))
    pair = Pair(script, force_rebase=seed % 4 == 3)
    pair.play(script)
    pair.close()


@pytest.mark.parametrize("seed", range(2 if PYTHON_MODE else 16))
def test_generated_scripts_of_several_nodes(seed: int) -> None:
    script = parse_text(generate(seed, 12, nodes=2 + seed % 2), Path())
    pair = Pair(script, force_rebase=seed % 4 == 3)
    pair.play(script)
    pair.close()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "size"), [(s, n) for s in range(100, 130) for n in ("small", 80)] + [(1, "medium")])
def test_more_generated_scripts(seed: int, size: str | int) -> None:
    script = parse_text(generate(seed, size), Path())
    pair = Pair(script)
    pair.play(script)
    pair.close()
