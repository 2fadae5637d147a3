"""Red-black trees inside record arrays: Linux's shape, to the last rotation.

A tree's nodes are the records of an array `t` with the int32 fields parent, left and right (indices into t, 0 is
none) and the byte field flags, whose bit RED is the node's colour. The root index lives in roots[slot]. The
searches are written out where the trees are used, since each has side effects of its own; here are only linking,
rebalancing, erasing and replacing. Where a node ends up decides which stale nodes KSM notices and what an
out-of-order unstable tree finds, so the rotations are exactly those of lib/rbtree.c.

Properties held: (1) a node is red or black; (2) the root is black; (3) absent leaves are black; (4) both
children of a red node are black; (5) every path from a node to its leaves has the same number of black nodes.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel

NIL = 0
RED = 128
NOT_RED = 127


@kernel
def is_red(t: Any, x: int) -> bool:
    """Whether x is a red node; an absent node is black."""
    return x != NIL and (t[x]["flags"] & RED) != 0


@kernel
def _paint(t: Any, x: int, red: bool) -> None:
    if red:
        t[x]["flags"] |= RED
    else:
        t[x]["flags"] &= NOT_RED


@kernel
def _change_child(t: Any, roots: Any, slot: int, parent: int, old: int, new: int) -> None:
    """Let parent (or the root) point to new where it pointed to old."""
    if parent == NIL:
        roots[slot] = new
    elif t[parent]["left"] == old:
        t[parent]["left"] = new
    else:
        t[parent]["right"] = new


@kernel
def _rotate_left(t: Any, roots: Any, slot: int, x: int) -> None:
    y = t[x]["right"]
    inner = t[y]["left"]
    parent = t[x]["parent"]
    t[x]["right"] = inner
    if inner != NIL:
        t[inner]["parent"] = x
    t[y]["left"] = x
    t[x]["parent"] = y
    t[y]["parent"] = parent
    _change_child(t, roots, slot, parent, x, y)


@kernel
def _rotate_right(t: Any, roots: Any, slot: int, x: int) -> None:
    y = t[x]["left"]
    inner = t[y]["right"]
    parent = t[x]["parent"]
    t[x]["left"] = inner
    if inner != NIL:
        t[inner]["parent"] = x
    t[y]["right"] = x
    t[x]["parent"] = y
    t[y]["parent"] = parent
    _change_child(t, roots, slot, parent, x, y)


@kernel
def insert(t: Any, roots: Any, slot: int, x: int, parent: int, on_left: bool) -> None:
    """Link x as a red leaf below parent (NIL: the tree is empty) and restore the properties.

    Source: lib/rbtree.c:rb_link_node, __rb_insert.
    """
    t[x]["parent"] = parent
    t[x]["left"] = NIL
    t[x]["right"] = NIL
    t[x]["flags"] |= RED
    if parent == NIL:
        roots[slot] = x
    elif on_left:
        t[parent]["left"] = x
    else:
        t[parent]["right"] = x
    _rebalance_insert(t, roots, slot, x)


@kernel
def _rebalance_insert(t: Any, roots: Any, slot: int, node: int) -> None:
    x = node
    while True:
        parent = t[x]["parent"]
        if parent == NIL:
            t[x]["flags"] &= NOT_RED
            return
        if not t[parent]["flags"] & RED:
            return
        grand = t[parent]["parent"]
        parent_is_left = t[grand]["left"] == parent
        uncle = t[grand]["right"] if parent_is_left else t[grand]["left"]
        if is_red(t, uncle):
            t[uncle]["flags"] &= NOT_RED
            t[parent]["flags"] &= NOT_RED
            t[grand]["flags"] |= RED
            x = grand
            continue
        if parent_is_left:
            if t[parent]["right"] == x:
                _rotate_left(t, roots, slot, parent)
                parent = x
            _rotate_right(t, roots, slot, grand)
        else:
            if t[parent]["left"] == x:
                _rotate_right(t, roots, slot, parent)
                parent = x
            _rotate_left(t, roots, slot, grand)
        t[parent]["flags"] &= NOT_RED
        t[grand]["flags"] |= RED
        return


@kernel
def erase(t: Any, roots: Any, slot: int, x: int) -> None:
    """Take x out of the tree and restore the properties. Source: lib/rbtree.c:rb_erase."""
    left = t[x]["left"]
    right = t[x]["right"]
    parent = t[x]["parent"]
    x_red = is_red(t, x)
    deficit = NIL
    if left == NIL or right == NIL:
        child = right if left == NIL else left
        _change_child(t, roots, slot, parent, x, child)
        if child != NIL:
            t[child]["parent"] = parent
            _paint(t, child, x_red)
        elif not x_red:
            deficit = parent
    else:
        deficit = _splice_successor(t, roots, slot, x)
    if deficit != NIL:
        _rebalance_erase(t, roots, slot, deficit)


@kernel
def _splice_successor(t: Any, roots: Any, slot: int, x: int) -> int:
    """Put x's in-order successor in x's place and colour. Returns the node below which black is missing, or NIL."""
    successor = t[x]["right"]
    while t[successor]["left"] != NIL:
        successor = t[successor]["left"]
    orphan = t[successor]["right"]
    hole = successor
    if successor != t[x]["right"]:
        hole = t[successor]["parent"]
        t[hole]["left"] = orphan
        t[successor]["right"] = t[x]["right"]
        t[t[x]["right"]]["parent"] = successor
    t[successor]["left"] = t[x]["left"]
    t[t[x]["left"]]["parent"] = successor
    successor_red = is_red(t, successor)
    _change_child(t, roots, slot, t[x]["parent"], x, successor)
    t[successor]["parent"] = t[x]["parent"]
    _paint(t, successor, is_red(t, x))
    if orphan != NIL:
        t[orphan]["parent"] = hole
        t[orphan]["flags"] &= NOT_RED
        return NIL
    return NIL if successor_red else hole


@kernel
def _rebalance_erase(t: Any, roots: Any, slot: int, below: int) -> None:
    """Repair the side of parent on which one black node is missing; the deficit starts at an absent leaf."""
    parent = below
    x = NIL
    while True:
        left_side = t[parent]["right"] != x
        sibling = t[parent]["right"] if left_side else t[parent]["left"]
        if is_red(t, sibling):
            if left_side:
                _rotate_left(t, roots, slot, parent)
            else:
                _rotate_right(t, roots, slot, parent)
            t[sibling]["flags"] &= NOT_RED
            t[parent]["flags"] |= RED
            sibling = t[parent]["right"] if left_side else t[parent]["left"]
        far = t[sibling]["right"] if left_side else t[sibling]["left"]
        near = t[sibling]["left"] if left_side else t[sibling]["right"]
        if not is_red(t, far) and not is_red(t, near):
            t[sibling]["flags"] |= RED
            if is_red(t, parent):
                t[parent]["flags"] &= NOT_RED
                return
            x = parent
            parent = t[x]["parent"]
            if parent == NIL:
                return
            continue
        if not is_red(t, far):
            if left_side:
                _rotate_right(t, roots, slot, sibling)
            else:
                _rotate_left(t, roots, slot, sibling)
            sibling, far = near, sibling
        if left_side:
            _rotate_left(t, roots, slot, parent)
        else:
            _rotate_right(t, roots, slot, parent)
        _paint(t, sibling, is_red(t, parent))
        t[parent]["flags"] &= NOT_RED
        t[far]["flags"] &= NOT_RED
        return


@kernel
def replace(t: Any, roots: Any, slot: int, old: int, new: int) -> None:
    """Let new stand where old stood, same colour, no rebalancing. Source: lib/rbtree.c:rb_replace_node."""
    parent = t[old]["parent"]
    left = t[old]["left"]
    right = t[old]["right"]
    t[new]["parent"] = parent
    t[new]["left"] = left
    t[new]["right"] = right
    _paint(t, new, is_red(t, old))
    if left != NIL:
        t[left]["parent"] = new
    if right != NIL:
        t[right]["parent"] = new
    _change_child(t, roots, slot, parent, old, new)


@kernel
def black_height(t: Any, root: int) -> int:
    """Black nodes on every path down from root, absent leaves not counted; -1 if a property is violated.

    A walk with parent pointers, so that a tree of any size is checked without recursion.
    """
    if root == NIL:
        return 0
    if is_red(t, root) or t[root]["parent"] != NIL:
        return -1
    expected = -1
    blacks = 1
    x = root
    came_from = NIL
    while x != NIL:
        left = t[x]["left"]
        right = t[x]["right"]
        if came_from == t[x]["parent"]:
            if is_red(t, x) and (is_red(t, left) or is_red(t, right)):
                return -1
            if (left != NIL and t[left]["parent"] != x) or (right != NIL and t[right]["parent"] != x):
                return -1
            if left == NIL or right == NIL:
                if expected == -1:
                    expected = blacks
                if expected != blacks:
                    return -1
        step = NIL
        if came_from == t[x]["parent"]:
            step = left if left != NIL else right
        elif came_from == left and left != NIL:
            step = right
        came_from = x
        if step == NIL:
            if not is_red(t, x):
                blacks -= 1
            x = t[x]["parent"]
        else:
            x = step
            if not is_red(t, x):
                blacks += 1
    return expected
