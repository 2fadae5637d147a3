"""The slow obvious KSM, against what a Linux 6.18 kernel printed, and against a kernel that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.golden_answers import FOLDER, GOLDEN, RECORDED
from kit.kernel_lines import counted
from oracle import OracleMachine, counters, item_states, stable_shape, unstable_shape
from oracle.objects import Chain, Frame, StableNode
from oracle.process import ZERO_CHECKSUM
from oracle.rbtree import Node, Tree
from script_generator import generate_into
from vmdedup.conform.generator import generate
from vmdedup.errors import KnobError
from vmdedup.ksm.profile import profile
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.content import Key, Seed
from vmdedup.replay.play import perform, play
from vmdedup.replay.script import Script, parse, parse_text
from vmdedup.replay.steps import Counters, Digest, Sharing, Step


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_scripts(path: Path) -> None:
    printed = "".join(f"{line}\n" for line in play(parse(path), OracleMachine()))
    assert printed == path.with_suffix(".jsonl").read_text()


@pytest.mark.parametrize(("answers", "script", "kernel"), RECORDED, ids=lambda each: getattr(each, "stem", each))
def test_so_does_each_version_of_linux(answers: Path, script: str, kernel: str) -> None:
    parsed = parse(FOLDER / script)
    oracle = OracleMachine(version=profile(kernel).version, nodes=parsed.nodes())
    printed = [counted(line) for line in play(parsed, oracle)]
    assert printed == [counted(line) for line in answers.read_text().splitlines()]


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", 4, "medium"])
def test_random_scripts_on_the_kernel(tmp_path: Path, size: str | int, require_kernel_ksm: KsmSession) -> None:
    for seed in range(15):
        script = parse(generate_into(tmp_path, seed, size))
        with KernelMachine(require_kernel_ksm) as kernel:
            lines = zip(play(script, OracleMachine()), play(script, kernel), strict=True)
            for printed, expected in lines:
                assert printed == expected, f"seed {seed}"


# Knobs. The columns are the answers of Linux 6.18.44 to each store.


@pytest.mark.parametrize(
    ("knobs", "taken", "refused"),
    [
        (
            ("smart_scan", "use_zero_pages"),
            {"1": 1, "y": 1, "Yes": 1, "t": 1, "true": 1, "on": 1, "ON": 1, "onx": 1, "10": 1, "1_0": 1}
            | {"0": 0, "n": 0, "no": 0, "F": 0, "off": 0, "of": 0, "0x1": 0, "none": 0},
            {"2": "EINVAL", "-1": "EINVAL", "+1": "EINVAL", "o": "EINVAL", "oh": "EINVAL", "x": "EINVAL"},
        ),
        (("run",), {"0": 0, "+2": 2, "002": 2}, {"3": "EINVAL", "-1": "EINVAL", "4294967296": "EINVAL"}),
        (
            ("pages_to_scan", "sleep_millisecs", "stable_node_chains_prune_millisecs"),
            {"0": 0, "+7": 7, "4294967295": 4294967295},
            {"4294967296": "EINVAL", "-1": "EINVAL", "-0": "EINVAL", "++1": "EINVAL", "0x10": "EINVAL"}
            | {"1e3": "EINVAL", "1_0": "EINVAL", "٣": "EINVAL", "99999999999999999999999": "EINVAL"},
        ),
        (
            ("max_page_sharing",),
            {"2": 2, "+2": 2, "2147483647": 2147483647},
            {"1": "EINVAL", "-0": "EINVAL", "-2147483648": "EINVAL", "2147483648": "ERANGE"}
            | {"-2147483649": "ERANGE", "99999999999999999999999": "ERANGE", "0x10": "EINVAL"},
        ),
        (
            ("merge_across_nodes",),
            {"0": 0, "01": 1},
            {"2": "EINVAL", "-1": "EINVAL", "18446744073709551615": "EINVAL"} | {"18446744073709551616": "ERANGE"},
        ),
        (
            ("advisor_max_cpu",),
            {"0": 0, "100": 100, "4294967296": 0, "18446744073709551615": 4294967295},
            {"-1": "EINVAL", "18446744073709551616": "EINVAL"},
        ),
        (
            ("advisor_min_pages_to_scan", "advisor_max_pages_to_scan"),
            {"0": 0, "18446744073709551615": 18446744073709551615},
            {"-1": "EINVAL", "18446744073709551616": "EINVAL", "y": "EINVAL"},
        ),
        (
            ("advisor_target_scan_time",),
            {"1": 1, "18446744073709551615": 18446744073709551615},
            {"0": "EINVAL", "-1": "EINVAL", "18446744073709551616": "EINVAL"},
        ),
        (
            ("advisor_mode",),
            {"none": "none", "scan-time": "scan-time"},
            {"0": "EINVAL", "Scan-time": "EINVAL", "nonee": "EINVAL", "scan-tim": "EINVAL"},
        ),
    ],
)
def test_knobs(knobs: tuple[str, ...], taken: dict[str, int | str], refused: dict[str, str]) -> None:
    machine = OracleMachine()
    for knob in knobs:
        for text, value in taken.items():
            machine.set(knob, text)
            assert getattr(machine.ksm.knobs, knob) == value, (knob, text)
        for text, errno_name in refused.items():
            with pytest.raises(KnobError) as caught:
                machine.set(knob, text)
            assert (caught.value.errno_name, text) == (errno_name, text)


def test_the_advisor_keeps_others_from_pages_to_scan() -> None:
    machine = OracleMachine()
    machine.set("advisor_min_pages_to_scan", "7")
    machine.set("advisor_mode", "scan-time")
    assert machine.ksm.knobs.pages_to_scan == 7
    with pytest.raises(KnobError, match="EINVAL"):
        machine.set("pages_to_scan", "5")
    machine.set("advisor_mode", "none")
    assert machine.ksm.knobs.pages_to_scan == 100
    machine.set("pages_to_scan", "5")


# The state inside, after single batches


def test_items_are_none_then_unstable_then_stable() -> None:
    machine = OracleMachine()
    machine.vm("a", 4)
    machine.fill("a", 0, 1, Key(1))
    machine.full_pass()
    assert {state.state for state in item_states(machine.ksm).values()} == {"NONE"}
    machine.scan(1)
    assert [state.state for state in item_states(machine.ksm).values()] == ["UNSTABLE", "NONE"]
    machine.scan(1)
    states = item_states(machine.ksm)
    assert [state.state for state in states.values()] == ["STABLE", "STABLE"]
    assert list(states) == [("a", 0), ("a", 1)]
    shape = stable_shape(machine.ksm)
    assert shape is not None
    assert shape[1][1] == ((("a", 1), ("a", 0)),)
    assert unstable_shape(machine.ksm) is None


def test_the_unstable_tree_is_balanced_as_the_kernel_balances() -> None:
    machine = OracleMachine()
    machine.vm("a", 5)
    machine.fill("a", 0, 4, Key(1, 1))
    machine.full_pass()
    machine.scan(5)
    leaf = [(None, ("a", page), True, None) for page in range(5)]
    right = (leaf[2], ("a", 3), False, leaf[4])
    assert unstable_shape(machine.ksm) == ((None, ("a", 0), False, None), ("a", 1), False, right)


def test_a_unique_page_is_skipped_more_and_more() -> None:
    machine = OracleMachine()
    machine.set("smart_scan", "1")
    machine.vm("a", 1)
    machine.fill("a", 0, 0, Seed(1))
    letters, skipped = "", 0
    for _ in range(60):
        machine.full_pass()
        state = item_states(machine.ksm)["a", 0]
        now = machine.ksm.pages_skipped
        letters += "s" if now > skipped else "U" if state.state == "UNSTABLE" else "V"
        skipped = now
    assert letters.startswith("VUUUsUssUssssUssssssssUssssssssU")
    assert (machine.ksm.pages_scanned, skipped, state.age) == (12, 48, 60)


@pytest.mark.parametrize(
    ("period", "now", "dups"),
    [(2000, 1999, 3), (2000, 2000, 2), (0, 0, 2), ((1 << 31) - 1, 1 << 40, 2), (1 << 31, 1 << 40, 3)],
)
def test_chains_are_pruned_when_their_time_has_come(period: int, now: int, dups: int) -> None:
    clock = [0]
    machine = OracleMachine(lambda: clock[0])
    machine.set("max_page_sharing", "2")
    machine.set("stable_node_chains_prune_millisecs", str(period))
    for name, pages in (("old", 2), ("new", 5)):
        machine.vm(name, pages)
        machine.fill(name, 0, pages - 1, Key(1))
    machine.full_pass(2)
    assert machine.counters()["stable_node_dups"] == 3
    clock[0] = now
    machine.scan(2)
    machine.discard("old", 0, 1)  # one of the three is stale, and ksmd is past those who would notice
    machine.poke("new", 0, 0, 9)  # another has room again
    machine.scan(5)
    assert machine.counters()["stable_node_dups"] == dups


def test_the_checksum_of_zeros() -> None:
    assert ZERO_CHECKSUM == 0x32D8BBDB


# What must hold after every step of any script


@pytest.mark.parametrize("seed", range(12))
def test_the_state_is_sound_after_every_step(seed: int) -> None:
    script = parse_text(generate(seed, 8), Path())
    machine = OracleMachine()
    for step in without_prints(script):
        with suppress(KnobError):
            perform(step, machine)
        check(machine)


def without_prints(script: Script) -> Iterator[Step]:
    return (step for step in script.steps if not isinstance(step, Counters | Sharing | Digest))


def check(machine: OracleMachine) -> None:
    ksm = machine.ksm
    mapped: dict[Frame, int] = {}
    for mm in machine.living.values():
        for frame in mm.ptes.values():
            mapped[frame] = mapped.get(frame, 0) + 1
        assert mm.ksm_zeros <= {page for page, frame in mm.ptes.items() if frame is ksm.zero}
        assert mm.mergeable <= mm.mapped
        assert mm in ksm.mms or not mm.mergeable
    assert all(frame.mapcount == count for frame, count in mapped.items())
    for tree in (*ksm.stable, *ksm.unstable):
        check_tree(tree)
    trees = [list(counters.in_order(tree.root)) for tree in ksm.stable]
    nodes: list[Node] = [*ksm.migrated]
    for nid, places in enumerate(trees):
        here = [node for place in places for node in (place.dups if isinstance(place, Chain) else [place])]
        assert all(isinstance(node, StableNode | Chain) and node.nid == nid for node in (*places, *here))
        nodes += here
    assert all(item.node in nodes for item in ksm.items() if item.node is not None)
    assert all(isinstance(node, StableNode) and node.frame.node is node for node in nodes)
    for places in trees:
        contents = [node.frame.data for node in places if isinstance(node, StableNode)]
        assert contents == sorted(contents)


def check_tree(tree: Tree) -> None:
    assert tree.root is None or (not tree.root.red and tree.root.parent is None)
    black_height(tree.root)


def black_height(node: Node | None) -> int:
    if node is None:
        return 1
    for child in (node.left, node.right):
        assert child is None or (child.parent is node and not (child.red and node.red))
    left, right = black_height(node.left), black_height(node.right)
    assert left == right
    return left + (not node.red)


class Number(Node):
    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30))))
def test_trees_stay_red_black_and_in_order(steps: list[tuple[bool, int]]) -> None:
    tree, held = Tree(), dict[int, Number]()
    for insert, value in steps:
        if insert and value not in held:
            held[value] = put(tree, value)
        elif not insert and value in held:
            tree.erase(held.pop(value))
        check_tree(tree)
        values = [node.value for node in counters.in_order(tree.root) if isinstance(node, Number)]
        assert values == sorted(held)


def put(tree: Tree, value: int) -> Number:
    place, parent, left = tree.root, None, False
    while isinstance(place, Number):
        parent, left = place, value < place.value
        place = place.left if left else place.right
    node = Number(value)
    tree.insert(node, parent, left)
    return node
