"""Red-black trees whose shapes are the kernel's. The search loops are the callers' own.

Source: lib/rbtree.c (v6.18), behaviour only; Cormen, Leiserson, Rivest, Stein, chapter 13, has the algorithm.
"""

from __future__ import annotations


class Node:
    """What a tree keeps in each object it links."""

    def __init__(self) -> None:
        self.left: Node | None = None
        self.right: Node | None = None
        self.parent: Node | None = None
        self.red = False


class Tree:
    """A root; the order of nodes is the caller's business."""

    def __init__(self) -> None:
        self.root: Node | None = None

    def insert(self, node: Node, parent: Node | None, left: bool) -> None:
        """Link a node as a red leaf below parent (None: as the root), then rebalance."""
        node.left = node.right = None
        node.parent, node.red = parent, True
        if parent is None:
            self.root = node
        elif left:
            parent.left = node
        else:
            parent.right = node
        self._rebalance_after_insert(node)

    def erase(self, node: Node) -> None:
        """Unlink a node, then rebalance."""
        if node.left is not None and node.right is not None:
            lost_black, hole, child = self._put_successor_in_place(node)
        else:
            child = node.left or node.right
            lost_black, hole = not node.red, node.parent
            self._substitute(node, child)
        if child is not None:
            child.red = False  # it was red: with a black child its side would have been too deep
        elif lost_black:
            self._rebalance_after_erase(hole)

    def replace(self, old: Node, new: Node) -> None:
        """Put new in the place and colour of old; nothing moves."""
        new.left, new.right, new.red = old.left, old.right, old.red
        for child in (new.left, new.right):
            if child is not None:
                child.parent = new
        self._substitute(old, new)

    def _substitute(self, old: Node, new: Node | None) -> None:
        """Let old's parent point to new."""
        parent = old.parent
        if parent is None:
            self.root = new
        elif parent.left is old:
            parent.left = new
        else:
            parent.right = new
        if new is not None:
            new.parent = parent

    def _put_successor_in_place(self, node: Node) -> tuple[bool, Node | None, Node | None]:
        """Relink the in-order successor into node's place.

        Returns (a black node left its old place, the parent of that place, the child that moved up there).
        """
        successor = node.right
        assert successor is not None
        while successor.left is not None:
            successor = successor.left
        lost_black, child = not successor.red, successor.right
        hole = successor.parent if successor.parent is not node else successor
        self._substitute(successor, child)
        self.replace(node, successor)
        return lost_black, hole, child

    def _rotate(self, node: Node, left: bool) -> None:
        """Rotate at node: its right (left rotation) or left child takes its place."""
        up = node.right if left else node.left
        assert up is not None
        middle = up.left if left else up.right
        self._substitute(node, up)
        if left:
            up.left, node.right = node, middle
        else:
            up.right, node.left = node, middle
        node.parent = up
        if middle is not None:
            middle.parent = node

    def _rebalance_after_insert(self, node: Node) -> None:
        """Mend a red node below a red parent."""
        while (parent := node.parent) is not None and parent.red:
            grandparent = parent.parent
            assert grandparent is not None
            on_left = grandparent.left is parent
            uncle = grandparent.right if on_left else grandparent.left
            if uncle is not None and uncle.red:
                parent.red = uncle.red = False
                grandparent.red = True
                node = grandparent
                continue
            if node is (parent.right if on_left else parent.left):
                self._rotate(parent, left=on_left)
                parent = node
            self._rotate(grandparent, left=not on_left)
            parent.red, grandparent.red = False, True
            break
        if node.parent is None:
            node.red = False

    def _rebalance_after_erase(self, parent: Node | None) -> None:
        """Mend a side of parent that has one black node too few; at first that side is empty."""
        node: Node | None = None
        while parent is not None:
            on_left = parent.left is node
            sibling = parent.right if on_left else parent.left
            assert sibling is not None
            if sibling.red:
                self._rotate(parent, left=on_left)
                sibling.red, parent.red = False, True
                sibling = parent.right if on_left else parent.left
                assert sibling is not None
            near, far = (sibling.left, sibling.right) if on_left else (sibling.right, sibling.left)
            if _is_black(near) and _is_black(far):
                sibling.red = True
                if parent.red:
                    parent.red = False
                    return
                node, parent = parent, parent.parent
                continue
            if _is_black(far):
                assert near is not None
                self._rotate(sibling, left=not on_left)
                sibling.red, near.red = True, False
                sibling, far = near, sibling
            assert far is not None
            self._rotate(parent, left=on_left)
            sibling.red, parent.red, far.red = parent.red, False, False
            return


def _is_black(node: Node | None) -> bool:
    return node is None or not node.red
