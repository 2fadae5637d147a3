"""A policy in a process of its own: the same answers over a pipe, and what goes on when it is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import KnobError, UsageError, WorkerDiedError
from vmdedup.host import workers
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.table import POLICIES, load_policy, policy_label
from vmdedup.scanner import process
from vmdedup.scanner.process import WARM, Order, ScannerProcess, warm_scanners

pytestmark = pytest.mark.compiled  # several processes at a time need atomic operations

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
PAGES = 64


class Scene:
    """A host with two guests of common pages, and one policy process."""

    def __init__(self, order: Order) -> None:
        self.host = Host.create(2 * PAGES, mms=4, swap=True)
        self.policy = ScannerProcess(self.host, order)
        self.guests = [self.guest("a"), self.guest("b")]

    def guest(self, name: str) -> Memory:
        memory = self.host.add(PAGES, name)
        rows = np.random.default_rng(5).integers(0, 256, (PAGES, 4096), dtype=np.uint8)
        memory.write_pages(np.arange(PAGES), rows)
        self.policy.enter(memory.mm)
        return memory

    def work(self, batches: int) -> None:
        for number in range(batches):
            self.policy.charge(100 * number, 0)
            self.policy.scan(PAGES)

    def kill(self) -> None:
        """Kill its process, and wait for its end."""
        os.kill(self.policy.pid, signal.SIGKILL)
        wait([self.policy.sentinel])
        with pytest.raises(WorkerDiedError):
            self.policy.scan(1)

    def close(self) -> None:
        self.policy.close()
        self.host.close()


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(Order(request.param, 3))
    yield made
    made.close()


@pytest.mark.parametrize("scene", sorted(POLICIES), indirect=True)
def test_one_that_is_killed_is_followed_by_another(scene: Scene) -> None:
    before = [memory.digest() for memory in scene.guests]
    scene.work(8)
    counters, bill = scene.policy.counters(), scene.policy.work_ns()
    scene.kill()
    assert not scene.policy.is_alive()
    scene.policy.revive()
    scene.policy.check()
    after = scene.policy.counters()
    assert all(after[name] >= counters[name] for name in ("full_scans", "pages_scanned"))
    assert scene.policy.work_ns() >= bill
    scene.work(8)
    scene.policy.check()
    assert scene.policy.bill_ns >= bill
    assert [memory.digest() for memory in scene.guests] == before
    for memory in scene.guests:
        memory.exit()
        scene.policy.exit(memory.mm)
    scene.work(8)
    scene.policy.detach()
    scene.host.check()
    assert scene.host.frames_in_use() == 0


@pytest.mark.parametrize("scene", ["ksm", str(EXAMPLES / "patient.py")], indirect=True)
def test_what_was_merged_stays_merged_and_is_found_again(scene: Scene) -> None:
    scene.work(8)
    assert scene.policy.counters()["pages_sharing"] == PAGES
    scene.kill()
    scene.policy.revive()
    assert scene.host.frames_in_use() == PAGES
    scene.work(8)
    assert scene.policy.counters()["pages_sharing"] == PAGES
    assert scene.policy.ksm_stat(scene.guests[0].mm)["ksm_merging_pages"] == PAGES


@pytest.mark.parametrize("scene", [str(EXAMPLES / "patient.py")], indirect=True)
def test_tunables_are_kept_over_a_death(scene: Scene) -> None:
    scene.policy.set("patience", "3")
    with pytest.raises(KnobError, match="EINVAL"):
        scene.policy.set("patience", "-1")
    with pytest.raises(KnobError, match="ENOENT"):
        scene.policy.set("patince", "1")
    scene.kill()
    scene.policy.revive()
    assert scene.policy.get("patience") == 3
    scene.work(8)
    assert scene.policy.work()["merge"] == PAGES
    assert scene.policy.work_ns() == scene.policy.bill_ns


@pytest.mark.parametrize("name", ["ideal", str(EXAMPLES / "patient.py")])
def test_it_does_what_it_does_in_ones_own_process(name: str) -> None:
    scene = Scene(Order(name, 3))
    scene.work(6)
    host = Host.create(2 * PAGES, mms=4, swap=True)
    policy = load_policy(name)(host, 3)
    for memory in scene.guests:
        twin = host.add(PAGES, memory.name)
        twin.write_pages(np.arange(PAGES), memory.read_pages(np.arange(PAGES)))
        policy.enter(twin.mm)
    for number in range(6):
        policy.charge(100 * number, 0)
        policy.batch(PAGES)
    assert policy.counters() == scene.policy.counters()
    assert policy.work_ns() == scene.policy.work_ns()
    assert host.frames_in_use() == scene.host.frames_in_use()
    scene.close()
    host.close()


def test_a_bad_name_is_refused_before_anything_starts() -> None:
    host = Host.create(8)
    with pytest.raises(UsageError, match="there is no policy 'nobody'"):
        ScannerProcess(host, Order("nobody"))
    host.close()


def test_files_are_named_after_themselves(tmp_path: Path) -> None:
    assert policy_label("ksm") == "ksm"
    assert policy_label("a/b/mine.py") == "mine"
    assert policy_label("a/b/mine.py:Second") == "mine-Second"
    two = tmp_path / "two.py"
    text = (EXAMPLES / "patient.py").read_text()
    two.write_text(text + "\n\nclass Second(Patient):\n    name = 'second'\n")
    with pytest.raises(UsageError, match=r"defines Patient, Second\); name it as .*two.py:CLASS"):
        load_policy(str(two))
    assert load_policy(f"{two}:Second").name == "second"
    two.write_text("import nothing_of_that_name\n")
    with pytest.raises(UsageError, match="cannot be loaded: ModuleNotFoundError"):
        load_policy(str(two))


def test_what_is_to_be_warm_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of policies that come with vmdedup; and no other child of ours is told."""
    monkeypatch.setattr(process, "_warm", {})
    warm_scanners("ksm", "a.py:B")
    warm_scanners("ksm", "none")
    assert workers._told[WARM].splitlines() == ["ksm", "none"]
    assert WARM not in os.environ


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_can_be_rehearsed(name: str) -> None:
    """As the fork server does, which would say nothing."""
    host = Host.create(64, mms=4, swap=True)
    memory = host.add(32)
    memory.write_pages(np.arange(32), np.repeat(np.arange(32, dtype=np.uint8) // 2, 4096).reshape(32, 4096))
    policy = load_policy(name)(host, 0)
    policy.enter(memory.mm)
    policy.rehearse()
    memory.exit()
    policy.exit(memory.mm)
    host.close()
