"""What ansible-playbook says while it runs, one JSON object a line, and what can be read from it.

Source: the callback plugin ansible.posix.jsonl, which names its events after Ansible's callbacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_TASK_STARTS = ("v2_playbook_on_task_start", "v2_playbook_on_handler_task_start")
_FAILURES = ("v2_runner_on_failed", "v2_runner_on_unreachable")


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed. reason: one line, of what the task said."""

    host: str
    task: str
    reason: str


@dataclass(slots=True)
class Task:
    """A task that was begun. seconds: until the last host was done with it."""

    name: str
    began: float
    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """One run of ansible-playbook, filled line by line. recap: by host ok, changed, failures, unreachable, …"""

    tasks: list[Task] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        return {host: counts["changed"] for host, counts in self.recap.items()}

    def take(self, line: str) -> str | None:
        """Take a line of the output. Returns a line for people, or None if it says nothing new."""
        event = _parse(line)
        if event is None:
            return line.rstrip() or None
        kind = event["_event"]
        if kind in _TASK_STARTS:
            task = Task(str(event["task"]["name"]), _time(event["_timestamp"]))
            self.tasks.append(task)
            return f"TASK {task.name}"
        if kind == "v2_playbook_on_play_start":
            return f"PLAY {event['play']['name']}"
        if kind == "v2_playbook_on_stats":
            self.recap = {host: dict(counts) for host, counts in event["stats"].items()}
            return "RECAP " + "; ".join(f"{host}: {_counts(counts)}" for host, counts in self.recap.items())
        return self._outcome(event, kind) if kind.startswith("v2_runner_on_") and "hosts" in event else None

    def _outcome(self, event: Mapping[str, Any], kind: str) -> str | None:
        """What came of a task on a host."""
        outcomes: dict[str, dict[str, Any]] = event["hosts"]
        if not outcomes:
            return None
        host, result = next(iter(outcomes.items()))
        name = str(event["task"]["name"])
        task = next((task for task in reversed(self.tasks) if task.name == name), None)
        if task is not None:
            task.seconds = max(task.seconds, _time(event["_timestamp"]) - task.began)
            if result.get("changed"):
                task.changed.append(host)
        if kind in _FAILURES:
            self.failures.append(Failure(host, name, reason_of(result)))
            return f"  failed: {host}: {reason_of(result, 2000)}"
        word = "skipped" if kind.endswith("skipped") else "changed" if result.get("changed") else "ok"
        return f"  {word}: {host}"


def reason_of(result: Mapping[str, Any], most: int = 400) -> str:
    """Why a task failed, in one line: the words of what it ran go before Ansible's own."""
    words = [str(result.get(key) or "").strip() for key in ("stdout", "stderr", "msg")]
    said = [word for word in words[:2] if word]
    text = " ".join(" ".join(said or words).split()) or "no reason given"
    return text if len(text) <= most else text[: most - 1] + "…"


def _parse(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "_event" in event else None


def _time(stamp: str) -> float:
    return datetime.fromisoformat(stamp.removesuffix("Z") + "+00:00").timestamp()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing done"
