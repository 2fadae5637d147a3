"""Runs on a host with huge pages: the same every time, with columns that say what these cost and hide."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.small_runs import SMALL, Acting, host_of, run, write
from vmdedup.errors import ScenarioError
from vmdedup.result.columns import HUGE, REAL
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.scenario.load import load_scenario

pytestmark = pytest.mark.compiled  # guests run beside each other

OF_HUGE_PAGES = {*HUGE, *REAL}
LARGER = SMALL.replace('memory = "8MiB"', 'memory = "12MiB"').replace("huge_pages = false\n", "")


def rows(tmp_path: Path, mode: str, more: str = "", guest: str = "") -> list[Row]:
    """The rows of a small scenario on a host with huge pages. more: of the host's table, guest: of its guests'."""
    text = LARGER.replace("[ksm]", f'[host]\nhuge_pages = "{mode}"\n{more}[ksm]') + guest
    return run(tmp_path, text).series.to_dicts()


def test_a_host_has_them_as_qemu_asks(tmp_path: Path) -> None:
    series = rows(tmp_path, "madvise")
    last = series[-1]
    assert rows(tmp_path, "madvise") == series
    assert last["thp_fault_alloc"] > 0 < last["thp_split_page"]
    assert last["huge_pages"] == last["thp_fault_alloc"] + last["thp_collapse_alloc"] - last["thp_split_page"]
    assert last["split_zero_pages"] > 0
    assert 0 <= last["needless_pages"] <= last["huge_pages"] * 512
    assert last["saved_pages"] > 0


def test_they_take_more_memory_at_first(tmp_path: Path) -> None:
    """What was never asked for is there as zeros, until ksmd comes by."""
    small, huge = (rows(tmp_path, mode)[0] for mode in ("never", "madvise"))
    assert huge["allocated_pages"] >= small["allocated_pages"]
    assert not OF_HUGE_PAGES & small.keys()
    assert small.keys() | OF_HUGE_PAGES == huge.keys()


def test_a_guest_that_does_not_ask_has_none(tmp_path: Path) -> None:
    unasked, always = (rows(tmp_path, mode, guest="huge_pages = false\n")[-1] for mode in ("madvise", "always"))
    assert unasked["thp_fault_alloc"] == unasked["huge_pages"] == 0 < always["thp_fault_alloc"]


def test_khugepaged_puts_together_what_ksmd_splits(tmp_path: Path) -> None:
    eager = "[host.khugepaged]\npages_to_scan = 100000\nscan_sleep_millisecs = 100\n"
    lazy, busy = rows(tmp_path, "madvise")[-1], rows(tmp_path, "madvise", eager)[-1]
    assert lazy["thp_collapse_alloc"] == 0 < busy["thp_collapse_alloc"]
    assert busy["thp_split_page"] > lazy["thp_split_page"]


def test_the_host_is_consistent_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(emulation: Emulation) -> None:
        host_of(emulation).check()

    text = LARGER.replace("[ksm]", '[host]\nhuge_pages = "madvise"\n[ksm]')
    for number in (1, 2):
        assert run(tmp_path, text, watcher=Acting(number, check, monkeypatch)).run["ended"] == "complete"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('huge_pages = "sometimes"', "huge_pages"),
        ("[host.khugepaged]\nmax_ptes_none = 512", "max_ptes_none"),
        ("[host.khugepaged]\ndefrag = 1", "defrag"),
    ],
)
def test_what_is_refused(keys: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("[ksm]", f"[host]\n{keys}\n[ksm]"))
    with pytest.raises(ScenarioError, match=words):
        load_scenario(path)
