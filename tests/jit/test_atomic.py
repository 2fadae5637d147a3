"""Atomic operations: what each does, and that no update is lost between processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.host.segment import Segment
from vmdedup.host.workers import fork_server, without_main
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel

WORDS = 8
SUM, SWAPPED, LOCK, GUARDED, READY = range(5)
ROUNDS = 60_000
PROCESSES = 3
STEP = 3


@kernel
def do_cas(words: Any, index: int, old: int, new: int) -> bool:
    """cas, callable from Python."""
    swapped: bool = cas(words, index, old, new)
    return swapped


@kernel
def do_fetch_add(words: Any, index: int, amount: int) -> int:
    """fetch_add, callable from Python."""
    before: int = fetch_add(words, index, amount)
    return before


@kernel
def do_load(words: Any, index: int) -> int:
    """load, callable from Python."""
    value: int = load(words, index)
    return value


@kernel
def do_store(words: Any, index: int, value: int) -> None:
    """store, callable from Python."""
    store(words, index, value)


@kernel
def read_plainly(words: Any, index: int) -> int:
    """An ordinary look-up, without a bounds check of its own."""
    value: int = words[index]
    return value


@kernel
def hammer(words: Any, rounds: int, processes: int) -> None:
    """Wait for the others; then add, increment by compare-and-swap, increment plainly under a spin lock."""
    fetch_add(words, READY, 1)
    while load(words, READY) < processes:
        pass
    for _ in range(rounds):
        fetch_add(words, SUM, STEP)
        while True:
            old = load(words, SWAPPED)
            if cas(words, SWAPPED, old, old + 1):
                break
        while not cas(words, LOCK, 0, 1):
            pass
        words[GUARDED] += 1
        store(words, LOCK, 0)


def work(segment: Segment) -> None:
    """What each process does."""
    hammer(np.frombuffer(segment.buffer, np.int64, WORDS), ROUNDS, PROCESSES)


@pytest.mark.compiled
def test_processes_lose_no_update() -> None:
    segment = Segment(4096)
    words = np.frombuffer(segment.buffer, np.int64, WORDS)
    hammer(words, 0, 0)  # compiled once, here
    words[:] = 0
    context = fork_server()
    processes = [context.Process(target=work, args=(segment,), daemon=True) for _ in range(PROCESSES)]
    with without_main():
        for process in processes:
            process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    total = ROUNDS * PROCESSES
    assert words[[SUM, SWAPPED, LOCK, GUARDED, READY]].tolist() == [STEP * total, total, 0, total, PROCESSES]
    segment.close()


WORD = st.integers(0, 2**62) | st.integers(0, 3)


@given(st.lists(WORD, min_size=1, max_size=5), st.data())
def test_each_operation_does_what_it_says(values: list[int], data: st.DataObject) -> None:
    words = np.array(values, np.int64)
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(values) - 1))
        old, new = data.draw(st.sampled_from(values)), data.draw(WORD)
        assert do_load(words, index) == values[index]
        assert do_cas(words, index, old, new) == (values[index] == old)
        values[index] = new if values[index] == old else values[index]
        assert do_fetch_add(words, index, 5) == values[index]
        assert do_fetch_add(words, index, -4) == values[index] + 5
        values[index] += 1
        assert words.tolist() == values
        do_store(words, index, old)
        values[index] = old
        assert words.tolist() == values


@pytest.mark.checked
@pytest.mark.parametrize("index", [WORDS, 10 * WORDS])
def test_beyond_the_end_is_an_error_where_bounds_are_checked(index: int) -> None:
    """In the bounds-checked run this fails if kernels come from a cache compiled without the checks."""
    words = np.zeros(WORDS, np.int64)
    for attempt in (
        lambda: read_plainly(words, index),
        lambda: do_load(words, index),
        lambda: do_store(words, index, 1),
        lambda: do_fetch_add(words, index, 1),
        lambda: do_cas(words, index, 0, 1),
    ):
        with pytest.raises(IndexError):
            attempt()
