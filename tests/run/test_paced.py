"""A host that keeps step with real time: who asks is answered, who writes is obeyed, a slow machine falls behind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.shown_hosts import ONE
from kit.small_runs import Watching
from vmdedup.errors import KnobError, VmdedupError
from vmdedup.result.run import Result
from vmdedup.run.clock.desk import Desk
from vmdedup.run.clock.paced import Paced
from vmdedup.run.emulation import Emulation
from vmdedup.run.run import run_scenario
from vmdedup.scenario.load import load_scenario
from vmdedup.units import SECOND_NS

Visitor = Callable[[Desk], None]


def host(folder: Path, visitor: Visitor, text: str = ONE, **how: Any) -> tuple[Result, list[str]]:
    """A run that lasts as long as its visitor, who has a thread of his own, and what was said of it."""
    path, desk, watching = folder / "host.toml", Desk(), Watching()
    path.write_text(text)

    @contextmanager
    def visit() -> Iterator[Callable[[], bool]]:
        thread = threading.Thread(target=visitor, args=(desk,))
        thread.start()
        yield lambda: not thread.is_alive()
        thread.join()

    clock = Paced(desk, visit, **how)
    return run_scenario(load_scenario(path), watching, logging.NullHandler(), clock=clock), watching.events


@pytest.mark.compiled
def test_it_keeps_step_and_answers(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    def visitor(desk: Desk) -> None:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            seen.append((time.monotonic(), desk.ask(lambda emulation: emulation.now / SECOND_NS)))
            time.sleep(0.05)

    result, _ = host(tmp_path, visitor, speed=4.0)
    (began, first), (ended, last) = seen[0], seen[-1]
    assert last - first <= 4 * (ended - began) + 0.2, "never faster than it is told"
    assert last > first
    assert [now for _, now in seen] == sorted(now for _, now in seen)
    assert result.series.height == 2, "a row at each end: nobody wants more"


@pytest.mark.compiled
def test_writes_are_seen_by_the_next_tick_and_wake_a_ksmd_that_sleeps(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    def scanned(emulation: Emulation) -> int:
        return emulation.ksmd.counters()["pages_scanned"]

    def visitor(desk: Desk) -> None:
        with pytest.raises(KnobError):
            desk.ask(lambda emulation: emulation.ksmd.set("run", "7"))
        with pytest.raises(OSError, match="mine"):
            desk.ask(lambda emulation: raise_(OSError("mine")))
        time.sleep(0.5)
        told["asleep"] = desk.ask(scanned)
        time.sleep(0.5)
        told["still"] = desk.ask(scanned)
        desk.ask(lambda emulation: emulation.ksmd.set("sleep_millisecs", "20"))
        time.sleep(0.5)
        told["awake"] = desk.ask(scanned)

    host(tmp_path, visitor, ONE.replace("run = 1", "run = 1\nsleep_millisecs = 1000000"))
    assert told["asleep"] == told["still"] <= 1000
    assert told["awake"] > told["still"]


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.compiled
def test_a_machine_that_is_too_slow_says_so_and_is_obeyed_all_the_same(tmp_path: Path) -> None:
    answered: list[int] = []

    def visitor(desk: Desk) -> None:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            answered.append(desk.ask(lambda emulation: emulation.now))

    _, events = host(tmp_path, visitor, speed=1e6)
    assert any("too slow for the host's pace" in event for event in events)
    assert sum("too slow" in event for event in events) == 1
    assert len(answered) > 3


@pytest.mark.compiled
def test_it_ends_by_its_length_with_rows_of_each_interval(tmp_path: Path) -> None:
    result, _ = host(tmp_path, lambda desk: time.sleep(2), speed=20.0, length=SECOND_NS, has_rows=True)
    assert result.series["time_s"].to_list() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_desk_that_is_closed_says_so() -> None:
    desk = Desk()
    asked: list[str] = []

    def ask() -> None:
        try:
            desk.ask(lambda emulation: None)
        except VmdedupError as error:
            asked.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    desk.close()
    thread.join(5)
    ask()
    assert asked == ["the emulated host has ended"] * 2
