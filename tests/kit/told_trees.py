"""The trees of an explained step, put together from what each step says has changed, in the form of engine_state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.engine_state import StableShape
from oracle.snapshot import UnstableShape


class ToldTrees:
    """Follows a document of vmdedup.explained step by step. letters: what each content's letter is elsewhere."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {"pages": {}, "stable": {}, "unstable": {}, "counters": {}}
        self.roots: list[list[str]] = [[], []]
        self.migrated: list[Any] = []

    def follow(self, step: Mapping[str, Any]) -> None:
        """One step on."""
        for name, kept in self.kept.items():
            for key, value in step.get(name, {}).items():
                if value is None:
                    del kept[key]
                else:
                    kept[key] = value
        self.roots = step.get("roots", self.roots)
        self.migrated = step.get("migrated", self.migrated)

    def unstable(self, root: str) -> UnstableShape:
        """The unstable tree below a node."""
        if not root:
            return None
        node = self.kept["unstable"][root]
        name, _, page = node["page"].rpartition(":")
        return self.unstable(node["left"]), (name, int(page)), bool(node["red"]), self.unstable(node["right"])

    def stable(self, root: str) -> StableShape:
        """The stable tree below a node; contents are letters."""
        if not root:
            return None
        node = self.kept["stable"][root]
        here = tuple(dup_of(dup) for dup in node["dups"])
        return self.stable(node["left"]), here, bool(node["red"]), self.stable(node["right"])


def dup_of(dup: Any) -> Any:
    """A stable node: letter, pages."""
    pages = (page.rpartition(":") for page in dup[1])
    return dup[0], tuple((name, int(number)) for name, _, number in pages)
