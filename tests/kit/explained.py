"""Explained scripts held against the oracle: what is drawn, after every visit of a page, node by node."""

from __future__ import annotations

from typing import Any, Final

from kit.engine_state import oracle_state
from kit.ksm_pair import answer
from kit.told_trees import ToldTrees, dup_of
from oracle import OracleMachine
from oracle.snapshot import content_key
from vmdedup.explained.document import document
from vmdedup.explained.story import Story, Told
from vmdedup.replay.play import perform
from vmdedup.replay.script import Script
from vmdedup.replay.steps import Pass, Scan

OFTEN, MANY_PAGES = 600, 300  # a script with more pages than that is compared every so many steps only
VERSIONS: Final = {"versions": ("6.1", "7.3"), "numa": ("7.3",)}  # of which scripts in these folders are played, too


class Beside(Story):
    """A story, with the oracle playing the same script a step behind."""

    def __init__(self, script: Script, kernel: str | None) -> None:
        super().__init__(script, kernel)
        self.oracle = OracleMachine(version=self.profile.version, nodes=script.nodes())
        self.steps = {step.line: step for step in script.steps}
        self.states: list[Any] = []
        self.letters: dict[str, str] = {}  # content to letter
        self.every = 1 if script.pages() <= MANY_PAGES else OFTEN

    def tell(self, listener: Any) -> None:
        """The oracle does what is told."""

        def hear(told: Told) -> None:
            listener(told)
            self.follow(told)

        super().tell(hear)

    def follow(self, told: Told) -> None:
        """One step."""
        if not told.says.startswith("line "):
            self.oracle.scan(1)
        elif not isinstance(self.steps[told.line], Scan | Pass):
            answer(lambda machine: perform(self.steps[told.line], machine), self.oracle)
        self.name_contents(told)
        is_due = len(self.states) % self.every == 0
        self.states.append((oracle_state(self.oracle), self.oracle.counters()) if is_due else None)

    def name_contents(self, told: Told) -> None:
        """Learn what letters stand for, and, where a line of the script is done, hold every page against its own."""
        known = set(self.letters.values())
        for page, held in told.state.pages.items():
            if held.content and (held.content not in known or told.says.startswith("line ")):
                name, _, number = page.rpartition(":")
                key = content_key(self.oracle.living[name].ptes[int(number)].data)
                assert self.letters.setdefault(key, held.content) == held.content, page
                known.add(held.content)
        assert len(known) == len(self.letters)


def compare(script: Script, kernel: str | None) -> int:
    """Explain a script and compare every state with the oracle's. Returns how many tree nodes were compared."""
    story = Beside(script, kernel)
    told, trees, letters, compared = document(story), ToldTrees(), story.letters, 0
    assert len(told["steps"]) == len(story.states)
    for step, state in zip(told["steps"], story.states, strict=True):
        trees.follow(step)
        if state is None:
            continue
        oracle, counters = state
        drawn = [trees.stable(root) for root in trees.roots[0]] or [None] * len(oracle.stable)
        assert [lettered(shape, letters) for shape in oracle.stable] == drawn, step["says"]
        migrated = [lettered_dup(dup, letters) for dup in oracle.migrated]
        assert migrated == [dup_of(dup) for dup in trees.migrated], step["says"]
        if not step["says"].startswith("line "):  # else nobody has looked at the unstable tree
            assert [trees.unstable(root) for root in trees.roots[1]] == oracle.unstable, step["says"]
        figures = {name: value for name, value in counters.items() if name != "vms" and value is not None}
        assert {name: trees.kept["counters"][name] for name in figures} == figures
        kinds = {f"{name}:{page}" for (name, page), kind in oracle.kinds.items() if kind.startswith("ksm")}
        assert {page for page, (kind, *_) in trees.kept["pages"].items() if kind == "k"} == kinds
        compared += len(trees.kept["stable"]) + len(trees.kept["unstable"])
    return compared


def lettered(shape: Any, letters: dict[str, str]) -> Any:
    """An oracle's stable tree with letters for its contents: each content has one, and no other has it."""
    if shape is None:
        return None
    left, here, red, right = shape
    return lettered(left, letters), tuple(lettered_dup(dup, letters) for dup in here), red, lettered(right, letters)


def lettered_dup(dup: Any, letters: dict[str, str]) -> Any:
    """A stable node of the oracle's."""
    return (letters[dup[0]] if dup[0] else ""), dup[1]
