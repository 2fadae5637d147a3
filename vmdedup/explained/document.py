"""A story as one JSON document: each step has only what has changed since the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmdedup.explained.state import Page, State
from vmdedup.explained.story import Story, Told
from vmdedup.explained.trees import Dup, Place, Waiting

SCHEMA = 1


def document(story: Story, watch: Callable[[int, int], None] = lambda step, line: None) -> dict[str, Any]:
    """Play a story. watch: told how many steps there are so far, and the line. Raises what Story.tell() does.

    Of each step: line, says, page and number (of a visit), events ([what, says, tree, node]), note, printed; then
    what is other than after the step before, None for what is no more: pages (NAME:NUMBER to [kind, content, frame]),
    stable and unstable (node to a tree's place), roots, migrated, counters, and compared, the bytes compared so far.
    """
    steps: list[dict[str, Any]] = []
    before = Told(0, "", "", State())

    def hear(told: Told) -> None:
        nonlocal before
        steps.append(_step(before, told))
        before = told
        watch(len(steps), told.line)

    story.tell(hear)
    return {
        "schema_version": SCHEMA,
        "script": story.script.name,
        "kernel": ".".join(map(str, story.profile.version)),
        "title": story.notes.title,
        "introduction": story.notes.introduction,
        "closing": story.notes.closing,
        "lines": story.script.text.splitlines(),
        "contents": dict(story.contents),
        "steps": steps,
    }


def _step(before: Told, told: Told) -> dict[str, Any]:
    one, two = before.state, told.state
    said: dict[str, Any] = {
        "line": told.line,
        "says": told.says,
        "page": told.page,
        "number": told.number,
        "events": [[event.what, event.says, event.tree, event.node] for event in told.events],
        "note": told.note,
        "printed": told.printed,
        "pages": _changes(one.pages, two.pages, _page),
        "stable": _changes(one.trees.stable, two.trees.stable, _place),
        "unstable": _changes(one.trees.unstable, two.trees.unstable, _waiting),
        "counters": _counters(one, two),
    }
    if one.trees.stable_roots != two.trees.stable_roots or one.trees.unstable_roots != two.trees.unstable_roots:
        said["roots"] = [list(two.trees.stable_roots), list(two.trees.unstable_roots)]
    if one.trees.migrated != two.trees.migrated:
        said["migrated"] = list(map(_dup, two.trees.migrated))
    if before.bytes_compared != told.bytes_compared:
        said["compared"] = told.bytes_compared
    return {name: value for name, value in said.items() if value not in ("", [], {}, None) or name == "migrated"}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], form: Callable[[Any], Any]) -> dict[str, Any]:
    if before is now:
        return {}
    gone = {name: None for name in before if name not in now}
    return gone | {name: form(value) for name, value in now.items() if before.get(name) != value}


def _counters(before: State, now: State) -> dict[str, Any]:
    figures = {name: value for name, value in now.counters.items() if name != "vms"}
    return {name: value for name, value in figures.items() if before.counters.get(name) != value}


def _page(page: Page) -> list[Any]:
    return [page.kind, page.content, page.frame]


def _place(place: Place) -> dict[str, Any]:
    shape = {"red": int(place.red), "left": place.left, "right": place.right}
    return {**shape, "chain": int(place.chain), "dups": list(map(_dup, place.dups))}


def _waiting(waiting: Waiting) -> dict[str, Any]:
    shape = {"red": int(waiting.red), "left": waiting.left, "right": waiting.right}
    return {**shape, "page": waiting.page, "was": waiting.was}


def _dup(dup: Dup) -> list[Any]:
    return [dup.content, list(dup.pages)]
