"""How long pages stay equal, on lives that are known; and the moments at which runs of XLH are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.papers.xlh.hints import at, found, visits, wait
from vmdedup.papers.xlh.lifetimes import Lifetimes
from vmdedup.result.run import Result

SHORT, LONG = 2000, 5000


@pytest.fixture
def observed() -> Iterator[tuple[Lifetimes, Memory]]:
    """Sixteen pages, unlike each other, and an observer that looks once a second."""
    host = Host.create(pages=16, frames=64, mms=1)
    memory = host.add(16, "vm")
    observer = Lifetimes(host)
    for name, value in (("interval", 1000), ("short", SHORT), ("long", LONG), ("until", 8000)):
        observer.set(name, str(value))
    _write(memory, range(16), range(1, 17))
    yield observer, memory
    host.close()


def _write(memory: Memory, pages: range | list[int], values: range | list[int]) -> None:
    content = np.repeat(np.array(list(values), np.uint8)[:, None], memory.page_size, axis=1)
    memory.write_pages(np.array(list(pages)), content)


def _look(observer: Lifetimes, second: int) -> dict[str, int]:
    observer.charge(1000 * second, 0)
    assert observer.scan(100) == 0
    return {name: count for name, count in observer.counters().items() if name.startswith("lives")}


def test_lives_are_counted_once_by_their_length(observed: tuple[Lifetimes, Memory]) -> None:
    observer, memory = observed
    _look(observer, 0)
    _write(memory, [0, 1, 2, 3, 4, 5], [101, 101, 102, 102, 103, 103])
    _look(observer, 1)
    _write(memory, [1], [201])  # after a second: of both pages, for neither is equal to another now
    assert _look(observer, 2) == {"lives_short": 2, "lives_between": 0, "lives_long": 0}
    _look(observer, 3)
    _write(memory, [2], [202])
    assert _look(observer, 4) == {"lives_short": 2, "lives_between": 2, "lives_long": 0}
    _look(observer, 5)
    for second in (6, 7, 8):  # at five seconds they are long, and are not counted again, also not when they end
        assert _look(observer, second) == {"lives_short": 2, "lives_between": 2, "lives_long": 2}
    _write(memory, [4], [203])
    assert _look(observer, 9) == {"lives_short": 2, "lives_between": 2, "lives_long": 2}


def test_another_content_is_another_life_and_late_lives_do_not_count(observed: tuple[Lifetimes, Memory]) -> None:
    observer, memory = observed
    for second in range(3):
        _write(memory, [0, 1], [101 + second, 101 + second])
        lives = _look(observer, second)
    assert lives == {"lives_short": 4, "lives_between": 0, "lives_long": 0}
    _write(memory, [0, 1], [1, 2])
    assert _look(observer, 3)["lives_short"] == 6
    _look(observer, 9)
    _write(memory, [0, 1], [111, 111])
    _look(observer, 10)
    _write(memory, [0, 1], [1, 2])
    assert _look(observer, 11)["lives_short"] == 6


def test_it_looks_no_more_often_than_it_is_told(observed: tuple[Lifetimes, Memory]) -> None:
    observer, memory = observed
    _write(memory, [0, 1], [101, 101])
    _look(observer, 0)
    _write(memory, [0], [1])
    observer.charge(900, 0)
    observer.scan(100)
    assert observer.counters()["lives_short"] == 0
    assert _look(observer, 1)["lives_short"] == 2


def test_figures_of_a_run() -> None:
    columns = {"found_by_hint": [0, 6], "found_by_scan": [0, 4], "pages_scanned": [10, 50]}
    columns |= {"found_hinted": [0, 4], "found_hinted_wait_ms": [0, 6000], "time_s": [0, 10], "saved_pages": [3, 8]}
    run = Result({}, pl.DataFrame(columns), pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    assert (found(run), visits(run), wait(run)) == (10, 5, 1.5)
    assert (at(run, "saved_pages", 9.9), at(run, "saved_pages", 10), at(run, "saved_pages", 99)) == (3, 8, 8)
