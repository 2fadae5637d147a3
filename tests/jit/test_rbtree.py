"""Red-black trees in arrays against trees of objects: the same shape, colours included, after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oracle.rbtree import Node, Tree
from vmdedup.jit import rbtree
from vmdedup.jit.rbtree import NIL, RED

RECORD = np.dtype([("parent", "i4"), ("left", "i4"), ("right", "i4"), ("flags", "u1")])
CAPACITY = 80
OTHER_FLAGS = 0x25  # whatever the user keeps beside the colour

Shape = tuple["Shape", int, bool, "Shape"] | None


class Number(Node):
    """A node of the oracle's tree."""

    def __init__(self, index: int, key: int) -> None:
        super().__init__()
        self.index = index
        self.key = key


class Pair:
    """One tree in an array and one of objects; a record's index names a node in both."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.t = np.zeros(capacity + 1, RECORD)
        self.t["flags"] = OTHER_FLAGS
        self.roots = np.zeros(3, np.int64)
        self.oracle = Tree()
        self.nodes: dict[int, Number] = {}
        self.unused = list(range(capacity, 0, -1))

    def insert(self, key: int) -> None:
        """A new node; equal keys are refused by the caller."""
        index = self.unused.pop()
        parent, on_left, place = NIL, False, int(self.roots[1])
        while place != NIL:
            parent, on_left = place, key < self.nodes[place].key
            place = int(self.t[place]["left" if on_left else "right"])
        rbtree.insert(self.t, self.roots, 1, index, parent, on_left)
        node = self.nodes[index] = Number(index, key)
        self.oracle.insert(node, *self.place(key))

    def place(self, key: int) -> tuple[Node | None, bool]:
        """Where a key belongs in the tree of objects."""
        place, parent, on_left = self.oracle.root, None, False
        while isinstance(place, Number):
            parent, on_left = place, key < place.key
            place = place.left if on_left else place.right
        return parent, on_left

    def erase(self, index: int) -> None:
        """Take a node out of both."""
        rbtree.erase(self.t, self.roots, 1, index)
        self.oracle.erase(self.nodes.pop(index))
        self.unused.append(index)

    def replace(self, index: int) -> None:
        """Put a new node in a node's place in both."""
        new = self.unused.pop()
        rbtree.replace(self.t, self.roots, 1, index, new)
        old = self.nodes.pop(index)
        self.nodes[new] = Number(new, old.key)
        self.oracle.replace(old, self.nodes[new])
        self.unused.insert(0, index)

    def check(self) -> None:
        """Both are the same, and red-black."""
        assert shape(self.t, int(self.roots[1])) == object_shape(self.oracle.root)
        assert rbtree.black_height(self.t, self.roots[1]) == blacks_to_the_left(self.oracle.root)
        assert not self.roots[[0, 2]].any()
        assert ((self.t["flags"] & ~np.uint8(RED)) == OTHER_FLAGS).all()


def shape(t: Any, x: int) -> Shape:
    """A tree in an array as nested tuples."""
    if x == NIL:
        return None
    left, right = int(t[x]["left"]), int(t[x]["right"])
    return shape(t, left), x, bool(t[x]["flags"] & RED), shape(t, right)


def object_shape(node: Node | None) -> Shape:
    """A tree of objects as nested tuples."""
    if node is None:
        return None
    assert isinstance(node, Number)
    return object_shape(node.left), node.index, node.red, object_shape(node.right)


def blacks_to_the_left(node: Node | None) -> int:
    """Black nodes on one path; all paths have as many."""
    return 0 if node is None else blacks_to_the_left(node.left) + (not node.red)


class SameShape(RuleBasedStateMachine):
    """Random inserts, erases and replacements."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    @precondition(lambda self: self.pair.unused)
    @rule(key=st.integers(0, 1000))
    def insert(self, key: int) -> None:
        """A key that is not there yet."""
        if key not in {node.key for node in self.pair.nodes.values()}:
            self.pair.insert(key)

    @precondition(lambda self: self.pair.nodes)
    @rule(choice=st.integers(0, 10**6))
    def erase(self, choice: int) -> None:
        """Any node."""
        self.pair.erase(sorted(self.pair.nodes)[choice % len(self.pair.nodes)])

    @precondition(lambda self: self.pair.nodes and self.pair.unused)
    @rule(choice=st.integers(0, 10**6))
    def replace(self, choice: int) -> None:
        """Any node."""
        self.pair.replace(sorted(self.pair.nodes)[choice % len(self.pair.nodes)])

    @invariant()
    def same(self) -> None:
        """The state is the same in both."""
        self.pair.check()


TestSameShape = SameShape.TestCase
TestSameShape.settings = settings(max_examples=40, stateful_step_count=60)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_tree_is_built_and_emptied(order: str) -> None:
    random = np.random.default_rng(5)
    keys = np.arange(300)
    keys = keys[::-1] if order == "descending" else random.permutation(keys) if order == "random" else keys
    pair = Pair(300)
    for key in keys.tolist():
        pair.insert(key)
    pair.check()
    for index in random.permutation(np.arange(1, 301)).tolist():
        pair.erase(index)
        if index % 7 == 0:
            pair.check()
    assert int(pair.roots[1]) == NIL
    pair.check()


def test_seven_ascending_keys_give_the_textbook_tree() -> None:
    """Worked by hand from Cormen, Leiserson, Rivest, Stein, chapter 13."""
    pair = Pair(7)
    for key in range(1, 8):
        pair.insert(key)
    leaf: dict[int, Shape] = {n: (None, n, True, None) for n in (5, 7)}
    one, three = (None, 1, False, None), (None, 3, False, None)
    right: Shape = (three, 4, True, (leaf[5], 6, False, leaf[7]))
    assert shape(pair.t, int(pair.roots[1])) == (one, 2, False, right)


def full_tree() -> tuple[Any, int]:
    """Nodes 1 to 7, of which 4 is the red inner one of the test above."""
    pair = Pair(7)
    for key in range(1, 8):
        pair.insert(key)
    return pair.t, int(pair.roots[1])


def paint(x: int, red: bool) -> Callable[[Any], None]:
    """Give a node a colour."""

    def corrupt(t: Any) -> None:
        t[x]["flags"] = t[x]["flags"] | RED if red else t[x]["flags"] & ~np.uint8(RED)

    return corrupt


def point(x: int, field: str, to: int) -> Callable[[Any], None]:
    """Let a link lead elsewhere."""

    def corrupt(t: Any) -> None:
        t[x][field] = to

    return corrupt


@pytest.mark.parametrize(
    "corrupt",
    [
        pytest.param(paint(2, red=True), id="the root is red"),
        pytest.param(paint(3, red=True), id="red below red, on the left"),
        pytest.param(paint(6, red=True), id="red below red, on the right"),
        pytest.param(paint(4, red=False), id="a black too many on some paths"),
        pytest.param(paint(7, red=False), id="a black too many on one path"),
        pytest.param(paint(1, red=True), id="a black too few on one path"),
        pytest.param(point(2, "parent", 5), id="the root has a parent"),
        pytest.param(point(6, "parent", 2), id="a right child has another parent"),
        pytest.param(point(1, "parent", 4), id="a left child has another parent"),
        pytest.param(point(2, "left", NIL), id="a subtree is missing"),
    ],
)
def test_black_height_finds_what_is_wrong(corrupt: Callable[[Any], None]) -> None:
    t, root = full_tree()
    assert rbtree.black_height(t, root) == 2
    corrupt(t)
    assert rbtree.black_height(t, root) == -1
