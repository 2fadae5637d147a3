"""Hosts with less memory than their guests want: reclaim to swap, who waits, what rows tell; the same each time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.small_runs import Acting, host_of, run, write
from vmdedup.cli import run_command
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.run.emulation import Emulation
from vmdedup.run.run import COMPLETE
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

TEXT = """\
name = "short"
duration = "5s"
[host]
memory = "20MiB"
swap = { kind = "KIND", size = "32MiB" }
[ksm]
run = 1
pages_to_scan = 50
[[guests]]
count = 3
memory = "12MiB"
workload = "phases"
parameters = { kind = "mixed", fill_share = 0.6, base_bytes = 64, pause_s = 0.3, mib_s = 40 }
disk = { kind = "generated", mib = 4 }
kernel_mib = 2
start = "one_after_another"
"""
CHECKED: list[int] = []


def check(emulation: Emulation) -> None:
    """Frames, entries, records and cells against each other, and every guest against what it stored."""
    host_of(emulation).check()
    CHECKED.append(sum(guest.verify() for guest in emulation.alive()))
    host_of(emulation).check()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    found = {}
    for kind in ("disk", "zram", "zswap"):
        with pytest.MonkeyPatch.context() as patch:
            watcher = Acting(4, check, patch)
            found[kind] = run(tmp_path_factory.mktemp(kind), TEXT.replace("KIND", kind), watcher=watcher)
    return found


@pytest.mark.parametrize("kind", ["disk", "zram", "zswap"])
def test_a_host_with_swap_holds_more_than_it_has(kind: str, results: Mapping[str, Result]) -> None:
    result = results[kind]
    assert result.run["ended"] == COMPLETE
    assert result.guests["state"].to_list() == ["running"] * 3
    last = result.series.row(-1, named=True)
    assert set(columns.PRESSURE) < set(last)
    assert last["pswpout"] > 1000
    assert last["pswpin"] > 0
    assert last["swap_used_pages"] > 500
    assert (last["swap_frames"] > 0) == (kind != "disk")
    if kind == "disk":
        assert last["swap_stored_bytes"] % 4096 == 0, "pages as they are, but those of zeros, which are not written"
    assert 0 < last["swap_stored_bytes"] < last["swap_used_pages"] * 4096
    assert result.summary["worst"]["host_mib"] == 20.0, "what is kept for compressing is no part of it"
    assert max(result.series["used_pages"]) <= 20 * 256
    assert min(CHECKED) > 1000


def test_guests_wait_for_a_disk_longer_than_for_memory(results: Mapping[str, Result]) -> None:
    waited = {kind: result.summary["pressure"]["waited_seconds"] for kind, result in results.items()}
    assert waited["disk"] > 2 * waited["zram"] > 0
    for result in results.values():
        some, full = result.series["memory_some"].to_list(), result.series["memory_full"].to_list()
        assert 0 < max(some) <= 1
        assert all(both <= one for one, both in zip(some, full, strict=True))
        found = result.summary["pressure"]
        assert found["waiting_percent"] == pytest.approx(100 * found["waited_seconds"] / 12, rel=0.2)


def test_frames_are_free_again_where_kswapd_has_worked(results: Mapping[str, Result]) -> None:
    """high is twice the square root of KiB: 2 * sqrt(20480) KiB, 71 frames; a tick ends with as many, or there is none
    above low."""
    for result in results.values():
        rows = [row for row in result.series.to_dicts() if row["pswpout"]]
        assert all(20 * 256 - row["used_pages"] >= 36 for row in rows)


def test_the_same_seed_gives_the_same_rows(results: Mapping[str, Result], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        again = run(tmp_path, TEXT.replace("KIND", "zram"), watcher=Acting(4, check, patch))
    assert again.series.equals(results["zram"].series)


def test_in_real_time_a_host_swaps_too(tmp_path: Path) -> None:
    text = TEXT.replace("KIND", "disk").replace('start = "one_after_another"', "")
    with pytest.MonkeyPatch.context() as patch:
        result = run(tmp_path, text, Overrides(clock="wall", duration="3s"), Acting(2, check, patch))
    assert result.run["ended"] == COMPLETE
    assert result.series["pswpout"][-1] > 0
    assert result.guests["state"].to_list() == ["running"] * 3, result.run["events"]


def test_alternatives_stand_in_one_table_and_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path, TEXT.replace("KIND", "disk")))
    words = ["run", path, "--vary", "as it was; none; none ; ksm fast+zram", "--duration", "2500ms"]
    assert run_command(words) == 2
    words[3] = "as it was; none; ksm fast+zram"
    assert run_command([*words, "-q", "--json", "-o", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "out/alternatives.json").read_text())
    assert document["wanted"] == ["as it was", "none", "ksm fast+zram"]
    first, bare, fast = document["alternatives"]
    assert [each["oom_kills"] for each in (first, bare, fast)] == [0, 2, 0]
    assert all(kill["name"].startswith("vm-") and kill["resident_mib"] > 5 for kill in bare["killed"])
    assert bare["guests"] == 1
    assert first["swap_used_mib"] > 0 == bare["swap_used_mib"]
    assert fast["cpu_seconds"] > 10 * first["cpu_seconds"]
    assert (tmp_path / "out/none/run.json").exists()
    assert run_command([*words, "--policy", "uksm"]) == 2
    assert "--vary and --policy do not go together" in capsys.readouterr().err
