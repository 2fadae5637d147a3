"""The laws that emulated and real bodies of a workload share: the same draws in both, from the same list of files."""

from __future__ import annotations

import ast
from itertools import islice
from typing import Any

import pytest

from kit.guest_ram import DISK, boot, spec
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.workloads import laws
from vmdedup.guest.workloads.programs import file_paths, numbers_of

SHARED = open_disk(DISK)
PATHS = [
    f"usr/{folder}/f{number}.{ending}"
    for folder in ("share", "lib/python3.11")
    for number in range(40)
    for ending in ("py", "txt")
]


def test_the_text_that_goes_into_guests_needs_nothing_but_python() -> None:
    """And nothing that Python 3.9 has not."""
    with open(laws.__file__) as file:
        tree = ast.parse(file.read(), feature_version=(3, 9))
    imported = {
        node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {"__future__", "collections.abc", "hashlib", "heapq", "itertools", "random"}


def test_equal_lists_in_any_order_give_equal_draws() -> None:
    for make in (lambda paths: laws.WebDb(paths, 3), lambda paths: laws.FileServer(paths, 3, 50, 1.0)):
        first, second = make(PATHS), make(iter(PATHS[::-1]))
        draws = [first.request() for _ in range(200)]
        assert draws == [second.request() for _ in range(200)]
        assert set(draws) <= set(PATHS)


def test_a_web_server_asks_for_each_file_as_often() -> None:
    law = laws.WebDb(PATHS, 1)
    assert law.files == sorted(path for path in PATHS if path.startswith("usr/share/"))
    asked = [law.request() for _ in range(8000)]
    often = [asked.count(path) for path in law.files]
    assert min(often) > 60
    assert max(often) < 145
    assert {law.row(7) for _ in range(200)} == set(range(7))


def test_a_file_server_s_ranks() -> None:
    law, other = laws.FileServer(PATHS, 1, 20, 1.0), laws.FileServer(PATHS, 1, 20, 1.0, ranking=5)
    assert len(law.files) == 20
    assert law.files != other.files
    asked = [law.request() for _ in range(4000)]
    assert asked.count(law.files[0]) == pytest.approx(2 * asked.count(law.files[1]), rel=0.25)


def test_sources_are_compiled_in_turn_for_ever() -> None:
    law = laws.Build(PATHS)
    assert [len(unit) for unit in law.units] == [8] * 5
    assert [path for unit in law.units for path in unit] == sorted(
        p for p in PATHS if "python" in p and p.endswith("py")
    )
    units = [law.unit() for _ in range(7)]
    assert units[5:] == units[:2]


def test_files_of_paths() -> None:
    made, _ = boot(spec(), SHARED)
    some = list(islice(file_paths(made.kernel), 3, 40, 5))
    assert numbers_of(made.kernel, some) == dict(zip(some, range(3, 40, 5), strict=True))


def started(workload: str, **parameters: Any) -> Any:
    """A guest of Linux whose workload has just begun."""
    given = spec(mib=64, kernel_mib=0, boot={"late_s": 0}, workload=workload, parameters=parameters, seed=5)
    return boot(given, SHARED)


def test_webdb_serves_adds_and_changes_at_its_rates() -> None:
    made, _ = started("webdb", read_mib_s=2, growth_mib_s=0.75, rows_s=40)
    before = made.stats()
    for _ in range(40):
        made.tick(100)
    after, work = made.stats(), made._workload
    index = made.disk.index
    law = laws.WebDb(file_paths(made.kernel), 1)
    served = 0
    while served < 8 << 20:
        served += int(index.sizes[work._files[law.request()]]) + 250
    assert work._law.request() == law.request(), "as many requests as come to 2 MiB/s, in the law's order"
    assert work._added == pytest.approx(3 * 1024, abs=1)
    assert len(work._table) == 1024
    assert after.file_pages_written - before.file_pages_written == pytest.approx(1024 + 160, abs=10)
    assert made.verify() > 0


def test_fileserver_reads_and_rewrites_its_own_file() -> None:
    made, _ = started("fileserver", read_mib_s=20, write_mib_s=1)
    before = made.stats()
    for _ in range(20):
        made.tick(100)
    after, work = made.stats(), made._workload
    assert (after.file_pages_read - before.file_pages_read) / 256 == pytest.approx(40, rel=0.1)
    assert after.file_pages_written - before.file_pages_written == pytest.approx(512, rel=0.05)
    assert len(work._own) == laws.OWN_PAGES
    assert made.verify() > 0


def test_build_compiles_in_processes_that_grow_at_their_end() -> None:
    made, _ = started("build", starts_s=4, life_ms=1000, jobs=3)
    kernel, work = made.kernel, made._workload
    idle = made.stats()
    most, heaps = 0, []
    for _ in range(60):
        made.tick(50)
        most = max(most, made.stats().processes - idle.processes)
        heaps += [len(job.process.heap) for job in work._jobs]
    assert most == 3
    assert max(heaps) > 4 * min(heaps)
    assert kernel._started >= 8
    assert made.stats().file_pages_written > idle.file_pages_written
    assert made.verify() > 0


def test_starts_are_apart() -> None:
    """Guests whose workloads begin at one moment do not exist."""
    ends = []
    for seed in range(6):
        made, _ = boot(spec(mib=16, kernel_mib=0, seed=seed), SHARED)
        ends.append(made.stats().virtual_ms)
    assert max(ends) - min(ends) > 300
