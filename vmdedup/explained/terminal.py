"""A story on a terminal: what there is after a step, as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

COUNTERS = ("full_scans", "pages_scanned", "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")


class Screen:
    """A document of explain.document, at one of its steps."""

    def __init__(self, story: Mapping[str, Any]) -> None:
        self.story = story
        self.steps: list[Mapping[str, Any]] = story["steps"]
        self.at = -1
        self._clear()
        self.go(0)

    def _clear(self) -> None:
        self.at = -1
        self.pages: dict[str, Any] = {}
        self.stable: dict[str, Any] = {}
        self.unstable: dict[str, Any] = {}
        self.roots: list[list[str]] = [[], []]
        self.counters: dict[str, Any] = {}

    def go(self, to: int) -> None:
        """To a step; beyond the ends, to the first or the last."""
        to = max(0, min(len(self.steps) - 1, to))
        if to < self.at:
            self._clear()
        while self.at < to:
            self.at += 1
            step = self.steps[self.at]
            for kept, name in ((self.pages, "pages"), (self.stable, "stable"), (self.unstable, "unstable")):
                _change(kept, step.get(name, {}))
            self.counters.update(step.get("counters", {}))
            self.roots = step.get("roots", self.roots)

    def next_line(self) -> None:
        """To where the script's next line begins."""
        line = self.steps[self.at]["line"]
        to = self.at + 1
        while to < len(self.steps) - 1 and self.steps[to]["line"] == line:
            to += 1
        self.go(to)

    def lines(self) -> Iterator[str]:
        """All that is shown."""
        step = self.steps[self.at]
        yield f"step {self.at + 1} of {len(self.steps)}   line {step['line']}: {self._text(step['line'])}"
        yield from self._said(step)
        met = {event[3] for event in step.get("events", ()) if event[3]}
        yield from self._tree("stable", self.stable, self.roots[0], met)
        yield from self._tree("unstable", self.unstable, self.roots[1], met)
        yield from self._memory()
        yield "counters: " + ", ".join(f"{name} {self.counters.get(name, 0)}" for name in COUNTERS)

    def brief(self) -> Iterator[str]:
        """What is printed of a step among all of them: trees only where they have changed."""
        step = self.steps[self.at]
        yield from self._said(step)
        for name, nodes, roots in (("stable", self.stable, self.roots[0]), ("unstable", self.unstable, self.roots[1])):
            if name in step or "roots" in step:
                yield from self._tree(name, nodes, roots, {event[3] for event in step.get("events", ()) if event[3]})

    def _text(self, line: int) -> str:
        return str(self.story["lines"][line - 1]).strip() if line else ""

    def _said(self, step: Mapping[str, Any]) -> Iterator[str]:
        if "note" in step:
            yield f"# {step['note']}"
        yield str(step["says"])
        for event in step.get("events", ()):
            yield f"    {event[1]}"
        if "printed" in step:
            yield f"    printed: {json.dumps(step['printed'])}"

    def _tree(self, name: str, nodes: Mapping[str, Any], roots: list[str], met: set[str]) -> Iterator[str]:
        for number, root in enumerate(roots):
            where = f" of NUMA node {number}" if len(roots) > 1 else ""
            yield f"{name} tree{where}:" + ("" if root else " empty")
            yield from (f"  {line}" for line in self._drawn(nodes, root, "", "", met))

    def _drawn(self, nodes: Mapping[str, Any], x: str, before: str, corner: str, met: set[str]) -> Iterator[str]:
        """On its side: what is greater stands above, what is less below."""
        if x not in nodes:
            return
        node = nodes[x]
        above, below = before, before
        if corner:
            above += "   " if corner == "┌" else "│  "
            below += "│  " if corner == "┌" else "   "
        yield from self._drawn(nodes, node["right"], above, "┌", met)
        branch = f"{before}{corner}─ " if corner else before
        colour = "red" if node["red"] else "black"
        yield f"{branch}{self._face(node)} ({colour}){' ◀' if x in met else ''}"
        yield from self._drawn(nodes, node["left"], below, "└", met)

    def _face(self, node: Mapping[str, Any]) -> str:
        if "page" in node:
            now = self.pages.get(node["page"], [".", "", 0])[1]
            is_moved = node["was"] and now != node["was"]
            return f"{now or '-'} {node['page']}" + (f", put here as {node['was']}" if is_moved else "")
        shared = [f"{content or '†'} {' '.join(pages) or 'nobody'}" for content, pages in node["dups"]]
        return ("chain: " if node["chain"] else "") + " + ".join(shared)

    def _memory(self) -> Iterator[str]:
        rows: dict[str, list[tuple[int, str]]] = {}
        for name, (kind, content, _) in self.pages.items():
            process, _, number = name.rpartition(":")
            rows.setdefault(process, []).append((int(number), f"{content or '·'}{'*' if kind == 'k' else ''}"))
        if rows:
            yield "memory (*: merged):"
        for process, cells in rows.items():
            yield f"  {process}: " + " ".join(cell for _, cell in sorted(cells))


def _change(kept: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
