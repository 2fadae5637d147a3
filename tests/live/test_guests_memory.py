"""What ksmd sees of a process; kernel and emulator on the very same pages. Small processes stand for guests."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory.export import export_ram
from vmdedup.live.memory.guest import KSM, VisiblePages, mergeable_mappings, read_pages, visible_pages
from vmdedup.live.memory.hashing import PageHasher
from vmdedup.live.memory.look import look
from vmdedup.live.scripts import comparison
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.live.scripts.verify import verify
from vmdedup.replay.content import Key, Seed, Zero, pages_of

pytestmark = [pytest.mark.kernel, pytest.mark.compiled]
NOBODY = 1 << 22


@pytest.fixture
def machine(require_kernel_ksm: KsmSession) -> Iterator[KernelMachine]:
    """Two processes with much in common: equal pages, pages of zeros, holes, pages only read."""
    with KernelMachine(require_kernel_ksm) as machine:
        for name, seed in (("a", 1), ("b", 1), ("c", 1001)):
            machine.vm(name, 1200)
            machine.fill(name, 0, 299, Seed(seed, 1))
            machine.fill(name, 300, 399, Zero())
            machine.fill(name, 400, 1000, Key(7))
            machine.read(name, 1100, 1110)
        yield machine


def pids(machine: KernelMachine) -> dict[str, int]:
    """Name to pid."""
    return {name: worker.pid for name, worker in machine._workers.items()}


def test_what_ksmd_sees(machine: KernelMachine) -> None:
    pid = pids(machine)["a"]
    (mapping,) = mergeable_mappings(pid)
    seen = visible_pages(pid)
    assert mapping.pages == 1200
    assert (seen.numbers - mapping.first).tolist() == [*range(1001)]
    assert (seen.zeros, seen.firmware, seen.ram) == (11, 0, mapping)
    machine.full_pass(2)
    assert visible_pages(pid).count(KSM) > 0
    assert machine.counters()["vms"]["a"]["ksm_rmap_items"] == len(seen)


def test_contents(machine: KernelMachine, tmp_path: Path) -> None:
    seen = visible_pages(pids(machine)["c"])
    wanted = np.concatenate([block for _, block in pages_of(Seed(1001, 1), 0, 299)])
    found = np.concatenate([block for _, block in seen.blocks()])
    assert np.array_equal(found[:300], wanted)
    assert not found[300:400].any()
    assert np.array_equal(read_pages(seen.pid, seen.numbers[[2, 3, 9]]), wanted[[2, 3, 9]])
    assert export_ram(seen.pid, tmp_path / "ram") == 1001
    ram = np.fromfile(tmp_path / "ram", np.uint8).reshape(-1, 4096)
    assert len(ram) == 1200
    assert np.array_equal(ram[:1001], found)
    assert not ram[1001:].any()
    assert len(visible_pages(seen.pid)) == 1001  # looking made no page present


def views(processes: Iterable[int]) -> dict[int, Callable[[], VisiblePages]]:
    """What tells the pages of each process, by its number from 1 on."""
    return {number: partial(visible_pages, pid) for number, pid in enumerate(processes, start=1)}


def test_a_look_at_all(machine: KernelMachine) -> None:
    hasher = PageHasher()
    try:
        before = look(views([*pids(machine).values(), NOBODY]), hasher)
        machine.full_pass(3)
        after = look(views(pids(machine).values()), hasher)
    finally:
        hasher.close()
    assert list(before.sights) == [1, 2, 3]
    assert len(before.frames) == 3 * 1001
    assert len(np.unique(before.hashes)) == 300 + 300 + 2
    assert set(after.hashes.tolist()) == set(before.hashes.tolist())
    counters = machine.counters()
    assert len(after.pairs) - len(after.frames) == counters["pages_sharing"]
    assert [sight.other_zeros for sight in after.sights.values()] == [11, 11, 11]
    assert np.bincount(after.pairs & 0xFFFF).tolist() == [0, 1001, 1001, 1001]


def test_a_process_that_is_gone() -> None:
    for look_at in (visible_pages, mergeable_mappings):
        with pytest.raises(GuestError, match=f"process {NOBODY} is gone"):
            look_at(NOBODY)
    with pytest.raises(GuestError):
        read_pages(NOBODY, np.array([5]))


@pytest.mark.parametrize("knobs", [{}, {"use_zero_pages": "1"}, {"max_page_sharing": "16", "smart_scan": "1"}])
@pytest.mark.parametrize("split_first", [False, True])
def test_kernel_and_emulator_agree(machine: KernelMachine, knobs: dict[str, str], split_first: bool) -> None:
    notes: list[str] = []
    found = verify(machine.session, pids(machine), 4, knobs, notes.append, split_first)
    assert found.is_equal, comparison.render(found)
    assert found.pages == dict.fromkeys("abc", 1001)
    assert len(found.scans) == 4
    last = found.scans[-1].kernel
    assert last["pages_sharing"] > 1000
    assert last["ksm_zero_pages"] == (300 if "use_zero_pages" in knobs else 0)
    assert last["a.ksm_merging_pages"] == last["b.ksm_merging_pages"] > last["c.ksm_merging_pages"]
    assert "reading 3003 pages of 3 guests" in notes


def test_a_difference_is_seen(machine: KernelMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator is given other pages than the kernel has."""
    monkeypatch.setattr(
        "vmdedup.live.memory.guest.read_pages", lambda _, numbers: np.ones((len(numbers), 4096), np.uint8)
    )
    found = verify(machine.session, pids(machine), 2)
    assert not found.is_equal
    assert "pages_sharing" in found.scans[1].differences


def test_other_processes_are_refused(machine: KernelMachine) -> None:
    some = {name: pid for name, pid in pids(machine).items() if name != "b"}
    with pytest.raises(EnvironmentLacksError, match=f"process {pids(machine)['b']} "):
        verify(machine.session, some, 2)
