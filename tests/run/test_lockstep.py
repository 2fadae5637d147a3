"""Lockstep runs: the same rows every time, counters that add up, guests that come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from kit.by_hand import Counting
from kit.small_runs import SMALL, Watching, run
from vmdedup.errors import HostError, UsageError
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.result.tables import to_parquet
from vmdedup.run.run import COMPLETE, EXHAUSTED
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("small"))


@pytest.fixture
def one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def test_a_run_saves_what_is_possible(small: Result) -> None:
    last = small.series.row(-1, named=True)
    assert small.run["ended"] == COMPLETE
    assert last["time_s"] == 3.0
    assert last["saved_pages"] > 0.9 * last["possible_pages"] > 0
    assert last["between_guests_pages"] > last["within_guest_pages"]
    assert small.series.height == 4


@pytest.mark.parametrize("zeros", [0, 1])
def test_every_row_is_what_is_counted_by_hand(zeros: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame by frame. Without KSM's zero pages every content is kept once at best, that of zeros too."""
    watcher = Counting(monkeypatch, zeros_are_free=bool(zeros))
    result = run(tmp_path, SMALL.replace('"idle"', '"build"'), Overrides(knobs=[f"use_zero_pages={zeros}"]), watcher)
    rows = list(result.series.iter_rows(named=True))
    assert len(watcher.counted) == len(rows) == 4
    assert rows[-1]["within_guest_pages"] > 0
    assert (rows[-1]["ksm_zero_pages"] > 0) == bool(zeros)
    for row, counted in zip(rows, watcher.counted, strict=True):
        assert {name: row[name] for name in counted} == counted
    assert set(columns.SERIES) < set(result.series.columns)


def test_the_profit_is_what_is_saved_less_a_record_for_each_item(small: Result) -> None:
    """Linux, Documentation/admin-guide/mm/ksm.rst: ksm_saved_pages * page size - all rmap_items * their size, 64."""
    last = small.series.row(-1, named=True)
    items = int(small.guests["ksm_rmap_items"].sum())
    assert items > 0
    assert last["general_profit"] == (last["pages_sharing"] + last["ksm_zero_pages"]) * 4096 - items * 64


def test_guests_add_up_to_the_host(small: Result) -> None:
    last = small.series.row(-1, named=True)
    for column in ("allocated_pages", "used_pages", "saved_pages", "zero_pages", "between_guests_pages"):
        assert small.guests[column].sum() == pytest.approx(last[column])
    assert small.guests["ksm_merging_pages"].sum() == last["pages_shared"] + last["pages_sharing"]
    assert small.guests.columns == list(columns.GUESTS)
    assert small.matrix.columns == list(columns.MATRIX)
    assert small.timing.columns == list(columns.TIMING)


def test_the_same_seed_gives_the_same_bytes_also_on_one_core(small: Result, tmp_path: Path, one_core: None) -> None:
    again = run(tmp_path)
    for name in ("series", "guests", "matrix"):
        assert to_parquet(getattr(again, name)) == to_parquet(getattr(small, name)), name
    assert again.summary == small.summary


def test_another_seed_gives_another_run(small: Result, tmp_path: Path) -> None:
    other = run(tmp_path, overrides=Overrides(seed=2))
    assert not other.series.equals(small.series)


def test_a_stopped_ksmd_saves_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, overrides=Overrides(knobs=["run=0"], guests=2, duration="1s"))
    assert result.summary["saved_mib"] == 0
    assert result.summary["possible_mib"] > 0
    assert result.summary["pages_scanned"] == 0


def test_zero_pages_are_counted_apart(tmp_path: Path) -> None:
    knobs = ["use_zero_pages=1", "pages_to_scan=5000"]
    result = run(tmp_path, overrides=Overrides(knobs=knobs, guests=2))
    last = result.series.row(-1, named=True)
    assert last["zero_pages"] >= last["ksm_zero_pages"] > 0
    assert result.summary["possible_zero_frames"] == 0
    assert last["saved_pages"] <= last["possible_pages"]


EVENTS = (
    SMALL
    + """\
[[guests.events]]
at = "1s"
do = "pause"
guests = [0]
[[guests.events]]
at = "1s"
do = "reboot"
guests = [1]
[[guests.events]]
at = "2s"
do = "leave"
guests = [2]
[[guests.events]]
at = "2500ms"
do = "resume"
guests = [0, 2]
"""
)


def test_guests_pause_reboot_and_leave(tmp_path: Path) -> None:
    watcher = Watching()
    result = run(tmp_path, EVENTS, watcher=watcher)
    events = [(event["time_s"], event["text"]) for event in result.run["events"]]
    assert events == [
        (1.0, "vm-0: pause"),
        (1.0, "vm-1: reboot"),
        (2.0, "vm-2: leave"),
        (2.5, "vm-0: resume"),
        (2.5, "vm-2 cannot resume: it is left"),
    ]
    assert result.guests["state"].to_list() == ["running", "running", "left"]
    gone = result.guests.filter(pl.col("guest") == "vm-2").row(0, named=True)
    assert gone["allocated_pages"] == gone["ksm_rmap_items"] == 0
    assert result.series["guests"].to_list() == [3, 3, 3, 2]


def test_one_after_another(tmp_path: Path) -> None:
    text = SMALL + 'start = "one_after_another"\ndelay = "1s"\n'
    result = run(tmp_path, text)
    assert result.series["guests"].to_list() == [1, 1, 2, 3]


def test_a_run_ends_when_the_last_guest_has_left(tmp_path: Path) -> None:
    text = SMALL + '[[guests.events]]\nat = "1s"\ndo = "leave"\n'
    result = run(tmp_path, text)
    assert result.run["ended"] == COMPLETE
    last = result.series.row(-1, named=True)
    assert last["time_s"] < 3
    assert (last["guests"], last["allocated_pages"], last["used_pages"]) == (0, 0, 0)


def test_the_advisor_works_in_virtual_time(tmp_path: Path) -> None:
    knobs = ["advisor_mode=scan-time", "advisor_target_scan_time=1"]
    text = SMALL.replace("pages_to_scan = 1000\n", "")
    result = run(tmp_path, text, Overrides(knobs=knobs, duration="5s"))
    assert result.series["pages_to_scan"][0] == 500
    assert result.series["pages_to_scan"].n_unique() > 1


def test_two_nodes_do_not_share(tmp_path: Path) -> None:
    text = SMALL + "[host]\nnuma_nodes = 2\n"
    both = run(tmp_path, text, Overrides(guests=2, knobs=["merge_across_nodes=1"]))
    apart = run(tmp_path, text, Overrides(guests=2, knobs=["merge_across_nodes=0"]))
    assert both.summary["between_guests_mib"] > 1
    assert apart.summary["between_guests_mib"] == 0


@pytest.mark.parametrize("policy", ["ksm", "uksm"])
def test_a_guest_that_moves_to_the_other_node_shares_there(policy: str, tmp_path: Path) -> None:
    """With ksmd, which follows its merged frames; what another policy has merged stays where it is."""
    move = 'events = [{ at = "1s", do = "move", node = 1, guests = [0] }]\n'
    text = f"{SMALL}{move}[host]\nnuma_nodes = 2\nmemory = '64MiB'\n"
    knobs = ["merge_across_nodes=0"] if policy != "uksm" else []
    result = run(tmp_path, text, Overrides(guests=2, knobs=knobs, policy=policy))
    rows = result.series["between_guests_pages"].to_list()
    said = [event["text"] for event in result.run["events"] if "node 1" in event["text"] or "stay" in event["text"]]
    assert len(said) == 1 + (policy == "uksm")
    if policy == "ksm":
        assert rows[1] == 0 < rows[-1]


def test_too_little_host_memory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="host memory is exhausted"):
        run(tmp_path, SMALL + '[host]\nmemory = "4MiB"\n')


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_where_memory_runs_out_the_largest_guest_is_killed_and_the_run_goes_on(clock: str, tmp_path: Path) -> None:
    """Room for one guest; two more start after three seconds, and there is room for one again."""
    late = SMALL.partition("[[guests]]")[2].replace("count = 3", 'name = "late"\ncount = 2\nstart_at = "3s"')
    host = '[host]\nmemory = "10MiB"\nsample_interval = "500ms"\n'
    text = f"{SMALL.replace('count = 3', 'count = 1')}[[guests]]\n{late}{host}"
    watcher = Watching()
    length = "6s" if clock == "lockstep" else "5s"
    result = run(tmp_path, text, Overrides(clock=clock, duration=length, knobs=["run=0"]), watcher)
    assert result.run["ended"] == COMPLETE
    states = result.guests["state"].to_list()
    assert sorted(states) == ["dead", "dead", "running"]
    assert result.series.height >= 2
    # Who lives has its pages, and who was killed has none any more.
    assert [pages > 0 for pages in result.guests["allocated_pages"]] == [state == "running" for state in states]
    killed = [event["text"] for event in result.run["events"] if event["text"].startswith("out of memory: ")]
    assert len(killed) == 2
    if clock == "lockstep":  # else anybody's next page may be the one too many
        assert states[0] == "dead"
        assert killed[0].startswith("out of memory: vm is killed: 6.")
        assert "MiB resident, 24KiB of page tables" in killed[0]
        assert result.series["time_s"].to_list() == [half / 2 for half in range(13)]
    assert result.series["used_pages"][-1] == result.guests["allocated_pages"].sum() > 1000
    assert watcher.rows == result.series.to_dicts()


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_with_the_last_guest_the_run_ends_and_keeps_what_is_there(clock: str, tmp_path: Path) -> None:
    """The only guest fills its memory, which is more than the host has, by two megabytes a second."""
    text = SMALL.replace("count = 3", "count = 1").replace('"8MiB"', '"16MiB"').replace('"idle"', '"phases"')
    text += 'parameters = { kind = "random", fill_share = 0.6, mib_s = 2 }\nkernel_mib = 2\n'
    text += '[host]\nmemory = "10MiB"\nsample_interval = "500ms"\n'
    watcher = Watching()
    result = run(tmp_path, text, Overrides(clock=clock, duration="60s", knobs=["run=0"]), watcher)
    assert result.run["ended"] == EXHAUSTED
    assert result.run["events"][-1]["text"].startswith("host memory is exhausted: vm was killed, and no guest is left")
    assert result.guests["state"].to_list() == ["dead"]
    used = result.series["used_pages"].to_list()
    assert len(used) > 2
    assert max(used) > 2000
    assert used[-1] == 0
    assert watcher.rows == result.series.to_dicts()


def test_more_host_memory_than_this_machine_has_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"give less in \[host\] memory"):
        run(tmp_path, SMALL + '[host]\nmemory = "900TiB"\n')


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_disk_that_will_not_do(what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    text = SMALL.replace('{ kind = "generated", mib = 16 }', f'{{ path = "{what}" }}')
    with pytest.raises(UsageError, match=r"does not exist|holds no readable file|is empty"):
        run(tmp_path, text)
