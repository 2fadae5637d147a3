"""Each workload does what it says, at the stated rates, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kit.guest_ram import DISK, Ram, boot, guest, spec
from vmdedup.errors import GuestError
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.machine import Guest
from vmdedup.guest.workloads import WORKLOADS
from vmdedup.guest.workloads.base import Budget
from vmdedup.guest.workloads.phases import KINDS, WRITTEN_OFFSETS

SHARED = open_disk(DISK)


def started(workload: str, mib: int = 16, **parameters: Any) -> tuple[Guest, Ram]:
    """A guest whose workload has just begun."""
    made, ram = boot(spec(mib=mib, workload=workload, parameters=parameters, seed=5), SHARED)
    ram.log.clear()
    return made, ram


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("mib", [4, 16])
def test_every_workload_runs_is_verified_and_repeats(name: str, mib: int) -> None:
    stores = []
    for _ in range(2):
        made, ram = started(name, mib)
        for _ in range(10):
            made.tick(100)
        assert made.verify() > 0
        stats = made.stats()
        parts = stats.kernel_pages + stats.cached_pages + stats.anonymous_pages + stats.free_pages
        assert parts == stats.memory_pages
        stores.append(ram.stores())
    assert stores[0] == stores[1]


def test_a_budget_keeps_fractions() -> None:
    budget = Budget(2.5)
    assert [budget.due(100) for _ in range(8)] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert Budget(0).due(1e9) == 0


def test_boot_keeps_to_its_rate_and_shares() -> None:
    made, _ = boot(
        spec(mib=32, boot={"read_mib_s": 50, "processes": 8, "heap_share": 0.1, "cache_share": 0.35}), SHARED
    )
    stats = made.stats()
    assert stats.processes == 8
    assert stats.anonymous_pages == pytest.approx(0.1 * stats.memory_pages, abs=8)
    assert stats.cached_pages == pytest.approx(0.35 * stats.memory_pages, rel=0.02)
    moved = (stats.file_pages_read + stats.anonymous_pages) / 256
    assert stats.virtual_ms == pytest.approx(1000 * moved / 50, rel=0.1)


def test_a_boot_can_find_all_memory_there() -> None:
    """Each page is stored to; what is free then is zeros."""
    for scrubbed in (False, True):
        made, ram = boot(spec(mib=16, boot={"scrubbed": scrubbed}), SHARED)
        free = set(made.kernel.physical.free_pages().tolist())
        assert (free <= {page for page, length in ram.log if length == 4096}) is scrubbed
        assert not ram.bytes[sorted(free)].any()


def test_boot_reads_early_files_first_then_starts_programs() -> None:
    made, _ = guest(spec(boot={"read_mib_s": 2}), SHARED)
    made.boot()
    seen = []
    for _ in range(200):
        made.tick(20)
        kinds = SHARED.index.kinds[SHARED.index.file_of(made.kernel.cache.contents()[0])]
        seen.append((set(kinds.tolist()), made.stats().processes))
    assert seen[0] == ({int(FileKind.EARLY)}, 0)
    first = next(kinds for kinds, processes in seen if processes)
    assert {int(FileKind.PROGRAM), int(FileKind.LIBRARY)} <= first
    assert int(FileKind.DATA) not in first


def test_idle_stores_and_logs_at_its_rates() -> None:
    made, ram = started("idle", stores_s=50, reads_s=0, log_pages_s=4)
    for _ in range(20):
        made.tick(100)
    assert sum(length == 8 for _, length in ram.log) == 100
    assert sum(length == 4096 for _, length in ram.log) == 8
    hot = {page for page, length in ram.log if length == 8}
    assert len(hot) < 0.1 * made.stats().anonymous_pages


def test_files_asks_for_few_files_most_often() -> None:
    made, ram = started("files", read_mib_s=40, write_mib_s=2, zipf=1.2)
    before = made.stats()
    for _ in range(20):
        made.tick(100)
    after = made.stats()
    assert (after.file_pages_read - before.file_pages_read) / 256 == pytest.approx(80, rel=0.1)
    assert (after.file_pages_written - before.file_pages_written) / 256 == pytest.approx(4, rel=0.1)
    missed = after.file_pages_missed - before.file_pages_missed
    assert missed < 0.4 * (after.file_pages_read - before.file_pages_read)
    assert ram.log


def test_rankings_are_shared_or_own() -> None:
    def favourite(seed: int, own: bool) -> list[int]:
        given = spec(workload="files", parameters={"own_ranking": own}, seed=seed)
        work: Any = boot(given, SHARED)[0]._workload
        return list(work._files[:5].tolist())

    assert favourite(1, own=False) == favourite(2, own=False)
    assert favourite(1, own=True) != favourite(2, own=True)


def test_compile_starts_processes_that_end_and_writes_objects() -> None:
    made, ram = started("compile", starts_s=10, life_ms=250, jobs=3, object_pages=4, heap_share=0.02)
    idle = made.stats()
    most, started_before = 0, made.kernel._started
    for _ in range(40):
        most = max(most, made.tick(50).processes - idle.processes)
    assert most == 3
    count = made.kernel._started - started_before
    assert count == pytest.approx(20, abs=3)
    written = made.stats().file_pages_written - idle.file_pages_written
    assert written % 4 == 0
    assert 4 * (count - 3) <= written <= 4 * count
    churn = sum(length == 4096 for _, length in ram.log)
    assert churn > count * 0.02 * 4096


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.0), (0.5, 0.3, 0.7), (1.0, 1.0, 1.0)])
def test_objects_are_alike_between_guests_for_the_stated_share(share: float, low: float, high: float) -> None:
    objects = []
    for seed in (1, 2):
        given = {"same_objects": share, "object_pages": 8}
        made, ram = boot(spec(workload="compile", parameters=given, seed=seed), SHARED)
        for _ in range(40):
            made.tick(50)
        pages, frames = made.kernel.cache.contents()
        objects.append({page.tobytes() for page in ram.bytes[frames[pages >= SHARED.index.pages]]})
    alike = len(objects[0] & objects[1]) / len(objects[0])
    assert low <= alike <= high


def test_database_grows_to_its_limit_and_rewrites_its_hot_set() -> None:
    growing: dict[str, Any] = {"heap_share": 0.05, "heap_limit_share": 0.1, "heap_growth_mib_s": 1}
    made, ram = started("database", **growing, hot_share=0.01, hot_mib_s=1, rows_s=100)
    work: Any = made._workload
    database = work._database
    first = len(database.heap)
    made.tick(500)
    assert len(database.heap) == first + 128
    ram.log.clear()
    for _ in range(20):
        made.tick(100)
    assert len(database.heap) == int(0.1 * 4096)
    hot = set(database.heap.frames[:40].tolist())
    assert sum(length == 64 for _, length in ram.log) == 200
    assert {page for page, length in ram.log if length == 64} <= hot
    assert sum(page in hot and length == 4096 for page, length in ram.log) == 512


@pytest.mark.parametrize("kind", KINDS)
def test_phases_hold_the_kind_of_page_that_they_say(kind: str) -> None:
    made, ram = started("phases", kind=kind, pause_s=1, mib_s=1000, fill_share=0.5)
    work: Any = made._workload
    made.tick(100)
    assert work.phase == "allocate"
    pages = ram.bytes[work.memory.frames]
    assert len(pages) == 2048
    zero = (~pages.any(axis=1)).mean()
    distinct = len({page.tobytes() for page in pages})
    expected = {"zero": (1, 1), "random": (0, 2048), "identical": (0, 1), "similar": (0, 2048)}
    if kind in expected:
        assert (zero, distinct) == expected[kind]
    else:
        assert zero == pytest.approx(0.25, abs=0.05)
        assert distinct == pytest.approx(2 + 1024, rel=0.1)
    if kind == "similar":
        assert (pages[:50] != work._base).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("run", [1, 4, 7])
def test_similar_pages_differ_in_runs(run: int) -> None:
    made, ram = started("phases", kind="similar", pause_s=1, mib_s=1000, fill_share=0.5, run_bytes=run)
    work: Any = made._workload
    made.tick(100)
    differs = ram.bytes[work.memory.frames] != work._base
    assert differs.mean() == pytest.approx(0.05, abs=0.005)
    whole = differs[:, : 4096 // run * run].reshape(-1, run)
    assert (whole.all(axis=1) == whole.any(axis=1)).all()


def test_identical_pages_can_repeat_a_few_bytes() -> None:
    made, ram = started("phases", kind="identical", pause_s=1, mib_s=1000, base_bytes=16)
    work: Any = made._workload
    made.tick(100)
    page = ram.bytes[work.memory.frames[0]]
    assert (page.reshape(-1, 16) == page[:16]).all()
    assert len(set(page.tolist())) > 8


def test_dbench_fills_deletes_and_ends() -> None:
    """What is written is one byte; at the end all of it is free memory, and holds what it held."""
    made, ram = started("dbench", clients=3, files=8, files_share=0.4, mib_s=30, run_s=2, byte=7)
    before = made.stats()
    most = max(made.tick(100).cached_pages for _ in range(19)) - before.cached_pages
    assert 0.25 * before.memory_pages < most <= 0.42 * before.memory_pages
    moved = made.stats().file_pages_written + made.stats().file_pages_read - before.file_pages_read
    assert (moved - before.file_pages_written) / 256 == pytest.approx(57, rel=0.05)
    made.verify()
    processes = made.stats().processes
    after = made.tick(200)
    assert after.cached_pages < most
    assert after.processes == processes - 3
    rested = made.tick(500)
    assert (rested.file_pages_written, rested.free_pages) == (after.file_pages_written, after.free_pages)
    full = (ram.bytes == 7).all(axis=1).sum()
    assert most - 40 < full <= most + 40


def test_dbench_leaves_the_same_pages_in_all_guests() -> None:
    """Also the last pages of files, which are filled in part."""

    def left(seed: int) -> set[bytes]:
        given = {"clients": 2, "files": 8, "files_share": 0.3, "mib_s": 30, "run_s": 1}
        made, ram = boot(spec(mib=8, workload="dbench", parameters=given, seed=seed), SHARED)
        for _ in range(12):
            made.tick(100)
        rows = ram.bytes[made.kernel.physical.free_pages()]
        return {row.tobytes() for row in rows if row[0] == 1 and not (row > 1).any()}

    assert left(1) == left(2)
    assert 8 <= len(left(1)) <= 17


def test_phases_follow_each_other_with_pauses() -> None:
    made, ram = started("phases", kind="random", pause_s=1, mib_s=400, fill_share=0.25)
    work: Any = made._workload
    seen = []
    for _ in range(45):
        ram.log.clear()
        ram.touched[:] = False
        before = len(work.memory)
        made.tick(100)
        seen.append((work.phase, len(ram.log), int(ram.touched.sum()), len(work.memory) - before))
    assert seen[0] == ("allocate", 1024, 0, 1024)
    assert all(step[1:] == (0, 0, 0) for step in seen[1:10])
    busy = [step for step in seen if step[1:] != (0, 0, 0)]
    assert busy[1] == ("read", 0, 1024, 0)
    assert busy[2] == ("write", 1024 * 16, 0, 0)
    assert busy[3] == ("free", 0, 0, -1024)
    assert work.rounds == 1
    assert len(WRITTEN_OFFSETS) == 16


def test_phases_write_one_byte_at_each_offset() -> None:
    made, ram = started("phases", kind="zero", pause_s=0, mib_s=4, fill_share=0.25)
    work: Any = made._workload
    while work.phase != "free":
        made.tick(20)
    changed = np.flatnonzero(ram.bytes[work.memory.frames].any(axis=0))
    assert set(changed.tolist()) == set(WRITTEN_OFFSETS)


def test_stress_knows_every_byte_that_it_wrote() -> None:
    made, ram = started("stress", stores_s=5000)
    work: Any = made._workload
    for _ in range(20):
        made.tick(50)
    assert work.verified > 1000
    assert made.verify() > len(work._frames)
    assert np.array_equal(ram.bytes[work._frames], work._expected(np.arange(len(work._frames))))
    lengths = [length for _, length in ram.log]
    assert {0, 8, 4096} == set(lengths)
    assert lengths.count(0) / len(lengths) == pytest.approx(0.02, abs=0.01)


def test_stress_finds_a_byte_that_nobody_wrote() -> None:
    made, ram = started("stress")
    made.tick(50)
    frame = int(made._workload._frames[11])  # type: ignore[union-attr]
    ram.bytes[frame, 1234] ^= 0x40
    with pytest.raises(GuestError, match=rf"guest 'g' read 0x.. at byte 1234 of page {frame}, where"):
        made.verify()


def test_an_eager_guest_works_without_regard_to_time() -> None:
    made, ram = started("stress", stores_s=0)
    assert made.live(1.5)
    assert len(ram.log) > 100
    assert made.stats().virtual_ms % 20 == 1.5
    calm, ram = started("idle")
    assert not calm.live(20)
