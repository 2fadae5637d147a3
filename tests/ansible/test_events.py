"""What is read from the output of ansible-playbook."""

from __future__ import annotations

import json
import os
from typing import Any

from vmdedup.live.provision.events import Record, reason_of
from vmdedup.live.provision.lines import lines_of


def event(
    kind: str, second: int, task: str = "", hosts: dict[str, dict[str, Any]] | None = None, **more: object
) -> str:
    """A line as the callback ansible.posix.jsonl writes it."""
    body: dict[str, Any] = {"_event": kind, "_timestamp": f"2026-11-23T12:55:{second:02}.250000Z", **more}
    if task:
        body |= {"task": {"name": task, "id": task}, "hosts": hosts or {}}
    return json.dumps(body)


OUTPUT = [
    event("v2_playbook_on_play_start", 0, play={"name": "Define and start the guests"}),
    event("v2_playbook_on_task_start", 1, "guests : Start it"),
    event("v2_runner_on_ok", 3, "guests : Start it", {"a": {"changed": True}}),
    event("v2_runner_on_ok", 5, "guests : Start it", {"b": {"changed": False}}),
    event("v2_playbook_on_task_start", 6, "guests : Wait until it is up"),
    event("v2_runner_on_skipped", 7, "guests : Wait until it is up", {"a": {"skipped": True}}),
    event("v2_runner_on_failed", 9, "guests : Wait until it is up", {"b": {"msg": "too\n  late", "stdout": ""}}),
    "[WARNING]: something of Ansible's own",
    event(
        "v2_playbook_on_stats",
        9,
        stats={"a": {"ok": 1, "changed": 1, "failures": 0}, "b": {"ok": 1, "changed": 0, "failures": 1}},
    ),
]


def test_tasks_hosts_and_times() -> None:
    record = Record()
    said = [record.take(line) for line in OUTPUT]
    assert [(task.name, task.seconds, task.changed) for task in record.tasks] == [
        ("guests : Start it", 4.0, ["a"]),
        ("guests : Wait until it is up", 3.0, []),
    ]
    assert record.changed == {"a": 1, "b": 0}
    assert [(f.host, f.task, f.reason) for f in record.failures] == [("b", "guests : Wait until it is up", "too late")]
    assert said == [
        "PLAY Define and start the guests",
        "TASK guests : Start it",
        "  changed: a",
        "  ok: b",
        "TASK guests : Wait until it is up",
        "  skipped: a",
        "  failed: b: too late",
        "[WARNING]: something of Ansible's own",
        "RECAP a: ok 1, changed 1; b: ok 1, failures 1",
    ]


def test_lines_that_are_no_events_are_passed_on() -> None:
    record = Record()
    assert record.take("") is None
    assert record.take("{broken") == "{broken"
    assert record.take('{"_event_less": 1}') == '{"_event_less": 1}'
    assert record.take(event("v2_something_new", 1)) is None
    assert record == Record()


def test_the_words_of_what_was_run_go_before_ansibles() -> None:
    assert (
        reason_of({"msg": "non-zero return code", "stdout": "no such\nthing\n", "stderr": "bad"}) == "no such thing bad"
    )
    assert reason_of({"msg": "non-zero return code", "stdout": ""}) == "non-zero return code"
    assert reason_of({}) == "no reason given"
    assert len(reason_of({"msg": "x" * 1000})) == 400


def test_lines_come_as_they_are_written_with_beats_between() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        lines = lines_of(pipe, beat=0.01)
        assert next(lines) == ""
        os.write(writing, b"one\ntwo\nth")
        assert [next(lines), next(lines)] == ["one", "two"]
        assert next(lines) == ""
        os.write(writing, b"ree")
        os.close(writing)
        assert list(lines)[-1] == "three"
