"""Steps of Difference Engine timed one by one: each is really done, and what the paper says of two is judged."""

from __future__ import annotations

import numpy as np
import pytest

from kit.engine_bench import family, noise, repeating
from vmdedup.papers.bench.published import published_figures
from vmdedup.papers.difference_engine.de_costs import _claim
from vmdedup.policy.difference_engine.workbench import BATCH, WARM, Workbench

PAPER = published_figures("difference_engine_costs").levels


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Pages that can be patched, compressed, and neither."""
    pages = np.concatenate([family(BATCH, 1), repeating(BATCH, 2), noise(2 * BATCH, 3)])
    return Workbench(pages)


def test_every_operation_of_table_2_is_timed_as_often_as_it_can_be_done(bench: Workbench) -> None:
    times = bench.all_steps()
    assert {f"{name}_us" for name in times} == set(PAPER)
    assert {name: len(values) for name, values in times.items()} == {
        **dict.fromkeys(("share_page", "cow_break", "swap_out", "swap_in"), 4 - WARM),
        **dict.fromkeys(("patch_page", "unpatch"), BATCH - 1 - WARM),
        **dict.fromkeys(("compress", "uncompress"), BATCH - WARM),
    }
    assert all(value > 0 for values in times.values() for value in values)
    bench.host.check()


def test_libraries_take_less_than_the_steps_that_call_them(bench: Workbench) -> None:
    times = bench.all_steps()
    for name, alone in bench.libraries().items():
        assert 0 < alone < np.median(times[name])


@pytest.mark.parametrize("name", sorted(PAPER))
def test_an_operation_s_claim_fails_where_it_is_the_other_way_round(name: str) -> None:
    """Cheaper than what the paper says it is dearer than, or dearer than a patch: nothing else changes the claim."""
    times = {each.removesuffix("_us"): level.value for each, level in PAPER.items()}
    operation = name.removesuffix("_us")
    claim, holds = _claim(operation, times)
    assert holds
    dearer = f"{operation} > " in claim
    assert _claim(operation, times | {operation: 0.01 if dearer else 9999.0}) == (claim, False)
    others = {each: 1.0 for each in times if each not in claim.split()}
    assert _claim(operation, times | others) == (claim, True)
