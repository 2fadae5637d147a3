"""Why nothing merges: each finding both ways, on machines made of files; then a real process that asks for it."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kit.doctored import ADVISED, BARE, LIBVIRT, STAT, Fake, healthy, vma
from vmdedup.doctor.check_tuned import tuned_pattern
from vmdedup.doctor.examine import examine
from vmdedup.doctor.finding import Status
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.scene import KSM, look
from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.uncounted import zero_mappings

Change = Callable[[Fake], Any]
TUNED = """#!/bin/bash
committed_memory () {
    # calculate how much memory is committed to running qemu processes
    pidlist=$(pgrep -f -d ' ' '^qemu-system.*-enable-kvm')
}
"""
PLENTY = "MemTotal: 16777216 kB\nMemFree: 9000000 kB\nMemAvailable: 8388608 kB\nBuffers: 5 kB\nCached: 10 kB\n"
NOT_ADVISED = "rd wr mr mw me ac"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with ExitStack() as stack:
        yield healthy(tmp_path, stack)


def ksm(**values: Any) -> Change:
    return lambda fake: fake.ksm(**values)


def guest(*arguments: str, maps: str | None = None, **status: int) -> Change:
    return lambda fake: fake.guest(*arguments, maps=maps, status=status)


def two_nodes(fake: Fake) -> None:
    fake.ksm(merge_across_nodes=0)
    for node in (0, 1):
        fake.write(f"/sys/devices/system/node/node{node}/meminfo", "")


def tuned(fake: Fake) -> None:
    """ksmtuned as Debian has it."""
    fake.process(80, ("/bin/bash", "/usr/sbin/ksmtuned"), comm="ksmtuned", stat=None)
    fake.write("/usr/sbin/ksmtuned", TUNED)


def tuned_with_plenty(fake: Fake) -> None:
    tuned(fake)
    fake.write("/proc/meminfo", PLENTY)


CASES: list[tuple[str, Change, str, Status]] = [
    ("merging.mergeable", guest(maps=vma(flags=NOT_ADVISED)), "no process has mergeable memory", Status.NOTE),
    ("merging.run", ksm(run=0), "run is 0", Status.PROBLEM),
    ("merging.run", ksm(run=2), "run is 2", Status.PROBLEM),
    ("merging.pages_to_scan", ksm(pages_to_scan=0), "scans nothing", Status.PROBLEM),
    ("merging.sleep", ksm(sleep_millisecs=3_600_000), "ksmd sleeps 1h between", Status.PROBLEM),
    (
        "merging.speed",
        ksm(pages_to_scan=1, sleep_millisecs=500),
        "16,384 pages takes at least 2h 16min",
        Status.PROBLEM,
    ),
    ("merging.merged", ksm(pages_sharing=0), "nothing is merged now", Status.NOTE),
    ("merging.profit", ksm(general_profit=-2 << 20), "cost 2MiB more than is saved", Status.PROBLEM),
    ("merging.advisor", ksm(advisor_mode="none [scan-time]", advisor_target_scan_time=200), "in 200 s", Status.NOTE),
    ("merging.scans", ksm(full_scans=1), "done 1 full scan:", Status.NOTE),
    ("merging.unshared", ksm(pages_unshared=5000), "5,000 unshared, 900 sharing", Status.NOTE),
    ("merging.volatile", ksm(pages_volatile=5000), "5,000 of 6,200 are volatile", Status.NOTE),
    ("merging.zero_pages", ksm(use_zero_pages=1, ksm_zero_pages=7), "counted in ksm_zero_pages (7)", Status.NOTE),
    ("merging.max_page_sharing", ksm(stable_node_chains=2, stable_node_dups=9), "kept 9 times", Status.NOTE),
    ("merging.smart_scan", ksm(pages_skipped=90_000), "leaves out 91 % of all looks", Status.NOTE),
    ("merging.nodes", two_nodes, "merge_across_nodes is 0, 2 nodes", Status.NOTE),
    (
        "guest.mem_merge",
        guest("-machine", "pc,mem-merge=off", maps=vma(flags=NOT_ADVISED)),
        "web (process 70): started with mem-merge=off",
        Status.PROBLEM,
    ),
    (
        "guest.shared",
        guest(maps=vma("/memfd:memory-backend-memfd (deleted)", flags="rd wr sh mr mw me ms")),
        "64MiB is a shared mapping (/memfd:memory-backend-memfd)",
        Status.PROBLEM,
    ),
    (
        "guest.hugetlb",
        guest(maps=vma("/dev/hugepages/x", flags="rd wr ht", hugetlb=65536)),
        "64MiB is on hugetlbfs",
        Status.PROBLEM,
    ),
    (
        "guest.not_advised",
        guest(maps=vma(flags=NOT_ADVISED)),
        "never asked for its memory to be merged",
        Status.PROBLEM,
    ),
    (
        "guest.huge_pages",
        guest(maps=vma(flags="rd wr mg hg", huge=32768)),
        "32MiB of mergeable memory are",
        Status.NOTE,
    ),
    (
        "guest.private_memfd",
        guest(maps=vma("/memfd:memory-backend-memfd (deleted)", flags=ADVISED)),
        "64MiB is a memfd mapped privately",
        Status.NOTE,
    ),
    ("guest.pinned", guest("-device", "vfio-pci,host=1", VmLck=65536), "64MiB are pinned for a device", Status.PROBLEM),
    ("guest.locked", guest(VmLck=65536), "64MiB are locked", Status.NOTE),
    ("guest.encrypted", guest("-object", "sev-guest,id=x"), "is encrypted", Status.PROBLEM),
    ("ksmtuned.running", tuned, "ksmtuned runs (process 80)", Status.NOTE),
    ("ksmtuned.pattern", tuned, "sees none of 1 guests: its pattern '^qemu-system.*-enable-kvm'", Status.PROBLEM),
    ("ksmtuned.threshold", tuned_with_plenty, "8.583GiB are free or cache, and it starts below 3.2GiB", Status.PROBLEM),
]

NAMES = [f"{name} {text}" for name, _, text, _ in CASES]


@pytest.mark.parametrize(("name", "change", "text", "status"), CASES, ids=NAMES)
def test_what_keeps_ksm_from_merging_is_found(name: str, change: Change, text: str, status: Status, fake: Fake) -> None:
    assert fake.status(name) in (None, Status.OK)
    change(fake)
    found = fake.findings()[name]
    assert found.status is status
    assert text in found.text
    assert found.remedy or status is Status.NOTE
    assert "\n" not in found.text + found.remedy


@pytest.mark.parametrize(("name", "change", "text", "status"), CASES, ids=NAMES)
def test_who_wants_images_has_no_problem_with_that(
    name: str, change: Change, text: str, status: Status, fake: Fake
) -> None:
    change(fake)
    assert fake.findings("images")[name].status is not Status.PROBLEM


def test_ksmd_may_be_off_where_nothing_is_mergeable(fake: Fake) -> None:
    fake.guest(maps=vma(flags=NOT_ADVISED)).ksm(run=0)
    assert fake.findings()["merging.run"].status is Status.NOTE


def test_a_guest_that_merges_is_named_with_its_pages(fake: Fake) -> None:
    found = fake.findings()["guest.mergeable"]
    assert found.text == "web (process 70): 64MiB mergeable, 1,000 of its pages are merged"
    assert found.pid == 70


def test_huge_pages_are_spoken_of_once_and_nobody_is_told_to_lose_speed(fake: Fake) -> None:
    for pid, huge in ((70, 2048), (71, 32768), (72, 0)):
        fake.process(pid, LIBVIRT, vma(flags="rd wr mg hg", huge=huge) + vma(flags="rd wr hg", huge=65536))
    (found,) = [each for each in examine(fake.scene()) if each.name == "guest.huge_pages"]
    assert found.text.startswith(
        "34MiB of mergeable memory are transparent huge pages (2 guests, most of it in web (pr"
    )
    assert "process 71" in found.text
    assert "freed without being counted" in found.text
    assert found.remedy.startswith("leave them where guests' speed counts; only to measure with exact counters")
    assert "slower in all of them" in found.remedy


def test_what_splits_of_huge_pages_freed_stands_beside_what_is_counted(fake: Fake) -> None:
    """Four guests of whom 215.5 MiB were counted, and 339.9 freed."""
    asked: list[tuple[int, list[tuple[int, int]]]] = []

    def zero_mappings(pid: int, mappings: Any) -> int:
        asked.append((pid, list(mappings)))
        return 31_846 + 7

    fake.fields["zero_mappings"] = zero_mappings
    fake.process(70, LIBVIRT, vma(flags=ADVISED) + vma(flags="rd wr"), STAT | {"ksm_zero_pages": 7})
    fake.ksm(pages_sharing=55_161, ksm_zero_pages=7)
    found = fake.findings()
    assert asked[0] == (70, [(0x7F0000000000, 65536 << 10)]), "mergeable mappings only"
    assert found["merging.merged"].text.startswith("215.5MiB saved now")
    splits = found["merging.splits"]
    assert splits.status is Status.NOTE
    assert splits.text.startswith("up to 124.4MiB more freed, 339.9MiB in all: 31,846 pages map the zero page")
    assert "or memory that was only read" in splits.text
    assert found["guest.mergeable"].text.endswith("31,846 more are zeros that no counter has (merging.splits)")


def test_where_pages_cannot_be_seen_it_says_that_counters_do_not_tell(fake: Fake) -> None:
    fake.fields["zero_mappings"] = lambda pid, mappings: None
    assert "merging.splits" not in fake.findings(), "a kernel without huge pages splits none"
    fake.write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    fake.fields["euid"] = 1000
    found = fake.findings()["merging.splits"]
    assert found.text.endswith("no counter of the kernel's says how many")
    assert "with sudo" in found.remedy
    fake.ksm(pages_sharing=0)
    assert "merging.splits" not in fake.findings(), "nothing is merged"


def test_a_guest_on_shared_memory_whose_roms_are_mergeable(fake: Fake) -> None:
    shared = vma("/dev/shm/ram (deleted)", flags="rd wr sh")
    fake.guest(maps=shared + vma(kib=256, flags="rd wr mg"))
    found = fake.findings()
    assert found["guest.shared"].status is Status.PROBLEM
    assert "guest.mergeable" not in found, "256 KiB of ROM are not the guest's memory"
    fake.guest(maps=shared + vma(flags=ADVISED))
    assert fake.status("guest.mergeable") is Status.OK


def test_small_shared_mappings_and_devices_are_no_guest_memory(fake: Fake) -> None:
    small = vma("/dev/shm/x", kib=512, flags="rd wr sh") + vma("/dev/vfio/7", flags="rd wr sh pf io")
    fake.guest(maps=small + vma(flags=ADVISED))
    assert fake.status("guest.shared") is None


def test_any_process_may_be_asked_for(fake: Fake) -> None:
    fake.process(90, ("/usr/sbin/nginx",), vma(flags=NOT_ADVISED))
    assert "guest.not_advised" not in fake.findings()
    found = fake.findings(pid=90)
    assert found["guest.not_advised"].text.startswith("nginx (process 90): ")
    assert "guest.mergeable" not in found, "only the one that was asked for"
    assert "qemu.program" not in found
    assert fake.findings(domain="web")["guest.mergeable"].pid == 70


def test_merging_for_any_by_prctl_is_seen_without_maps(fake: Fake) -> None:
    fake.process(90, ("/usr/sbin/nginx",), None, mergeable=True)
    (fake.root / "proc/70/smaps").unlink()
    fake.process(70, LIBVIRT, None, mergeable=False)
    assert "1 process has mergeable memory" in fake.findings()["merging.mergeable"].text
    assert fake.status("guest.unreadable") is Status.NOTE


def test_others_processes_cannot_be_looked_at_without_root(fake: Fake) -> None:
    fake.process(90, ("/usr/sbin/nginx",), None, stat=None)
    assert fake.status("merging.unseen") is None, "root sees all; this kernel just does not say"
    fake.fields["euid"] = 1000
    fake.guest(maps=vma(flags=NOT_ADVISED))
    assert "no process that we may look at" in fake.findings()["merging.mergeable"].text
    assert "may not be looked at: 1" in fake.findings()["merging.unseen"].text


def test_maps_that_would_take_too_long_are_left_out_and_named(fake: Fake) -> None:
    found = examine(look(fake.machine(), patience=-1.0))
    unread = next(finding for finding in found if finding.name == "merging.unread")
    assert unread.remedy == "vmdedup doctor --pid 70"


def test_guests_that_ksmtuned_sees_are_no_finding(fake: Fake) -> None:
    tuned(fake)
    fake.guest(arguments=BARE)
    assert fake.status("ksmtuned.pattern") is None
    fake.process(71, LIBVIRT, vma(flags=ADVISED))
    assert "sees only 1 of 2 guests" in fake.findings()["ksmtuned.pattern"].text


def test_the_remedy_for_ksmtuned_s_pattern_works(fake: Fake) -> None:
    tuned(fake)
    remedy = fake.findings()["ksmtuned.pattern"].remedy.split(" && ")[0]
    script = fake.root / "usr/sbin/ksmtuned"
    subprocess.run(remedy.replace("/usr/sbin/ksmtuned", str(script)), shell=True, check=True)
    assert tuned_pattern(fake.machine()) == "qemu-system"
    assert fake.status("ksmtuned.pattern") is None


def test_ksmtuned_s_own_settings_and_committed_memory_count(fake: Fake) -> None:
    tuned_with_plenty(fake)
    fake.write("/etc/ksmtuned.conf", "# KSM_THRES_COEF=20\nKSM_THRES_COEF=99\n")
    assert fake.status("ksmtuned.threshold") is None
    fake.write("/etc/ksmtuned.conf", "")
    fake.guest(arguments=BARE, status={"VmRSS": 14_000_000})
    assert fake.status("ksmtuned.threshold") is None, "so much is committed that KSM runs"


def test_an_older_kernel_that_says_less(fake: Fake) -> None:
    """Linux before 6.16 has no `ksm_mergeable`; before 6.1 no ksm_stat at all."""
    fake.write("/proc/70/ksm_stat", "ksm_rmap_items 5\n")
    assert fake.status("merging.mergeable") is Status.OK
    (fake.root / "proc/70/ksm_stat").unlink()
    assert fake.status("merging.mergeable") is Status.OK, "its map tells"


# A real process on this machine

MERGEABLE = 12  # MADV_MERGEABLE
CHILD = """
import mmap, sys
kind = sys.argv[1]
flags = mmap.MAP_ANONYMOUS | (mmap.MAP_SHARED if kind == "shared" else mmap.MAP_PRIVATE)
memory = mmap.mmap(-1, 8 << 20, flags=flags)
if kind == "mergeable":
    memory.madvise(12)
memory.write(b"x" * (8 << 20))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Iterator[int]:
    """The pid of a process of the kind that the test names."""
    with ExitStack() as stack:
        if request.param == "mergeable":
            try:
                stack.callback(KsmLock(wait=120).close)
            except EnvironmentLacksError as lacking:
                pytest.skip(str(lacking))
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", CHILD, request.param], stdin=pipe, stdout=pipe)
        stack.enter_context(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def names_of(pid: int) -> dict[str, Any]:
    return {finding.name: finding for finding in examine(look(Machine(), pid=pid))}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others do not see which frame a page has")
def test_pages_that_map_the_zero_page_are_counted() -> None:
    size = 64 << 12
    with mmap.mmap(-1, size, flags=mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert zero_mappings(os.getpid(), [(place, size)]) == 0
        assert not any(memory[page << 12] for page in range(40))
        memory[7 << 12] = 1
        assert zero_mappings(os.getpid(), [(place, size)]) == 39
        assert zero_mappings(os.getpid(), [(place, 4 << 12), (place + (30 << 12), 34 << 12)]) == 14
    assert zero_mappings(os.getpid(), []) == 0
    assert zero_mappings(2**22 + 1, [(place, size)]) is None, "no such process"


@pytest.mark.parametrize("real", ["private"], indirect=True)
def test_a_real_process_that_never_asked(real: int) -> None:
    assert names_of(real)["guest.not_advised"].status is Status.PROBLEM


@pytest.mark.parametrize("real", ["shared"], indirect=True)
def test_a_real_process_with_shared_memory(real: int) -> None:
    found = names_of(real)
    assert "8MiB is a shared mapping" in found["guest.shared"].text
    assert "guest.not_advised" not in found


@pytest.mark.kernel
@pytest.mark.skipif(not Path(f"{KSM}/run").exists() or os.geteuid() != 0, reason="needs root and a kernel with KSM")
@pytest.mark.parametrize("real", ["mergeable"], indirect=True)
def test_a_real_process_that_asked(real: int) -> None:
    assert MERGEABLE == mmap.MADV_MERGEABLE
    found = names_of(real)
    assert "8MiB mergeable" in found["guest.mergeable"].text
    assert "guest.not_advised" not in found
    run = Path(f"{KSM}/run").read_text().strip()
    assert found["merging.run"].status is (Status.OK if run == "1" else Status.NOTE), "the lock is held"
    assert found["ksm.lock"].pid == os.getpid()
    assert STAT.keys() <= set(Path(f"/proc/{real}/ksm_stat").read_text().replace(":", "").split())
