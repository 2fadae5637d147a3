"""Recording live processes: what a child of ours held when it was looked at is in the file, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.known_child import PAGES, Child
from kit.memory_dumps import Pages, digest, page
from kit.processes import until
from vmdedup.errors import DumpError, EnvironmentLacksError, UsageError
from vmdedup.guest.diskspec import NO_DISK, open_disk
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.memory import Host
from vmdedup.recording.memory import qemu_ram
from vmdedup.recording.pause import Pauses
from vmdedup.recording.reader import Recording
from vmdedup.recording.record import record, steps_of
from vmdedup.recording.sources import find_source, find_sources


# A process with a memory of its own that does as it is told, a line at a time: NUMBER=CONTENT, NUMBER- (given back).
def draw(rng: np.random.Generator, step: int) -> dict[int, int | None]:
    """What a child changes at a step: some pages written, some given back."""
    written = {int(n): int(rng.integers(0, 4000)) for n in rng.integers(0, PAGES, 30 * step)}
    return {**written, **{int(n): None for n in rng.integers(0, PAGES, 5 * step)}}


def test_live_processes_are_recorded_and_live_again(children: Callable[[], Child], tmp_path: Path) -> None:
    """Three processes, twelve steps; the emulator's guests hold at every step what the processes held."""
    named = {f"p{number}": children() for number in range(3)}
    rng, path = np.random.default_rng(4), tmp_path / "life.rec"
    truth: dict[tuple[int, str], Pages] = {}

    def watch(step: int, name: str) -> None:
        if step:
            named[name].change(draw(rng, step))
        truth[step, name] = dict(named[name].pages)

    sources = find_sources([f"{name}=pid:{child.pid}:largest" for name, child in named.items()])
    outcome = record(sources, path, 1_000_000, steps=12, pause=True, watch=watch)
    assert (outcome.steps, outcome.ended, outcome.notes) == (12, "complete", [])
    with Recording(path) as recording:
        assert [guest.name for guest in recording.guests] == list(named)
        times = [step.time_ns for step in recording.steps]
        assert times[0] == 0
        assert times == sorted(set(times))
        for step in range(12):
            for guest, name in enumerate(named):
                assert recording.snapshot(guest, step).digest == digest(truth[step, name])
        replay(path, recording, named, truth)


def replay(path: Path, recording: Recording, named: dict[str, Child], truth: dict[tuple[int, str], Pages]) -> None:
    host = Host.create(3 * 2 * PAGES)
    guests = {}
    try:
        for number, name in enumerate(named):
            spec = GuestSpec(name, recording.guests[number].pages, image=ImageSpec(str(path), True, name))
            guests[name] = GuestProcess(spec, host, host.add(spec.memory_pages).mm, open_disk(NO_DISK))
            guests[name].start()
        for step, moment in enumerate(recording.steps):
            for number, name in enumerate(named):
                guest = guests[name]
                guest.tick(moment.time_ns / 1e6 - guest.ready().virtual_ms)
                assert guest.verify() == len(truth[step, name])
                held = np.array(sorted(truth[step, name]), np.int64)
                contents = host.memory(guest.mm).read_pages(recording.guests[number].places.of(held))
                assert contents.tobytes() == b"".join(truth[step, name][n] for n in held.tolist())
    finally:
        for guest in guests.values():
            guest.kill()
        host.close()


def test_a_process_that_ends_holds_nothing_any_more(children: Callable[[], Child], tmp_path: Path) -> None:
    stays, goes = children(), children()

    def watch(step: int, name: str) -> None:
        if (step, name) == (2, "goes"):
            goes.end()
        elif (step, name) == (4, "stays"):
            stays.end()

    sources = find_sources([f"goes=pid:{goes.pid}:largest", f"stays=pid:{stays.pid}:largest"])
    outcome = record(sources, tmp_path / "life.rec", 1_000_000, steps=9, pause=True, watch=watch)
    assert outcome.notes == ["goes ended before step 2", "stays ended before step 4"]
    assert (outcome.ended, outcome.steps) == ("every guest has gone", 5)
    with Recording(tmp_path / "life.rec") as recording:
        held = [[recording.snapshot(guest, step).present for step in range(5)] for guest in (0, 1)]
    assert held == [[PAGES, PAGES, 0, 0, 0], [PAGES, PAGES, PAGES, PAGES, 0]]


def test_a_process_that_is_gone_at_once(children: Callable[[], Child], tmp_path: Path) -> None:
    child = children()
    sources = find_sources([f"pid:{child.pid}:largest"])
    child.end()
    with pytest.raises(DumpError, match="ended before its first snapshot was whole"):
        record(sources, tmp_path / "life.rec", 1, steps=2, pause=False, watch=lambda step, name: None)
    assert not (tmp_path / "life.rec").exists()
    with pytest.raises(UsageError, match=r"process \d+ \(pid-\d+\) cannot be recorded: there is none"):
        find_source(f"pid:{child.pid}")


def test_an_interrupt_keeps_whole_steps(children: Callable[[], Child], tmp_path: Path) -> None:
    child, path = children(), tmp_path / "life.rec"

    def watch(step: int, name: str) -> None:
        if step == 3:
            raise KeyboardInterrupt

    outcome = record(find_sources([f"pid:{child.pid}:largest"]), path, 1, steps=9, pause=True, watch=watch)
    assert (outcome.ended, outcome.steps) == ("interrupted", 3)
    with Recording(path) as recording:
        assert (len(recording.steps), recording.note) == (3, None)
    assert child.state() != "T"


def test_a_paused_process_is_seen_at_one_moment(children: Callable[[], Child], tmp_path: Path) -> None:
    """It stores a number into 64 pages in turn, then the next number: a moment has one place where they differ."""
    child, path = children(), tmp_path / "life.rec"
    child.tell("spin")
    record(find_sources([f"pid:{child.pid}:largest"]), path, 1_000_000, 10, pause=True, watch=lambda step, name: None)
    assert child.state() != "T"
    with Recording(path) as recording:
        for step in range(10):
            state = recording.state(0, step)
            places = recording.guests[0].places.of(np.arange(child.first, child.first + 64))
            numbers = np.zeros(64, np.int64)
            for rows, pages in recording.contents(state[places]):
                numbers[rows] = pages[:, :8].copy().view(np.int64)[:, 0]
            assert set(np.diff(numbers).tolist()) <= {0, -1}
            assert numbers[0] - numbers[-1] <= 1


PAUSER = """
import sys, time
from vmdedup.recording.pause import Pauses
with Pauses([int(sys.argv[1])]).stopped(int(sys.argv[1])):
    print("stopped", flush=True)
    time.sleep(600)
"""


def test_a_killed_recorder_leaves_nobody_stopped(children: Callable[[], Child]) -> None:
    child = children()
    with subprocess.Popen(
        [sys.executable, "-c", PAUSER, str(child.pid)], stdout=subprocess.PIPE, text=True
    ) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "stopped\n"
        assert child.state() == "t"
        recorder.kill()  # nobody else is there who could let it go
    until(lambda: child.state() != "t")
    child.change({0: 5})


COUNTER = """
import threading, time
counts = [0] * 5
def count(number):
    while True:
        counts[number] += 1
        time.sleep(0)
for number in range(5):
    threading.Thread(target=count, args=(number,), daemon=True).start()
while True:
    print(sum(counts), flush=True)
    time.sleep(0.001)
"""


def test_all_threads_stand_still_and_go_on() -> None:
    with subprocess.Popen([sys.executable, "-c", COUNTER], stdout=subprocess.PIPE, text=True) as counter:
        assert counter.stdout is not None
        counter.stdout.readline()
        with Pauses([counter.pid]).stopped(counter.pid):
            tasks = Path(f"/proc/{counter.pid}/task").iterdir()
            assert [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks] == ["t"] * 6
        first = int(counter.stdout.readline())
        while int(counter.stdout.readline()) == first:
            pass
        counter.kill()


def test_who_dies_while_paused_is_dead_for_its_parent() -> None:
    program = (
        "import subprocess; one = subprocess.Popen(['sleep', '100']); print(one.pid, flush=True); print(one.wait())"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        with Pauses([pid]).stopped(pid):
            os.kill(pid, signal.SIGKILL)
        assert parent.stdout.readline() == "-9\n"


def test_a_signal_to_who_is_paused_is_not_lost(children: Callable[[], Child]) -> None:
    child = children()
    with Pauses([child.pid]).stopped(child.pid):
        os.kill(child.pid, signal.SIGTERM)
    assert child.process.wait(20) == -signal.SIGTERM


def test_who_has_a_debugger_is_not_paused(children: Callable[[], Child]) -> None:
    child = children()
    with subprocess.Popen([sys.executable, "-c", PAUSER, str(child.pid)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        pauses = Pauses([child.pid])
        assert other.stdout.readline() == "stopped\n"
        with pytest.raises(EnvironmentLacksError, match="debugger"), pauses.stopped(child.pid):
            pass
        other.kill()
    until(lambda: child.state() != "t")


def test_who_was_stopped_before_stays_so(children: Callable[[], Child]) -> None:
    child = children()
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: child.state() == "T")
    with Pauses([child.pid]).stopped(child.pid):
        pass
    assert child.state() == "T"


def test_how_many_steps(children: Callable[[], Child], tmp_path: Path) -> None:
    names = []
    for number in range(3):
        (tmp_path / f"{number}.raw").write_bytes(page(number))
        names.append(str(tmp_path / f"{number}.raw"))
    series, one = find_source(f"day={','.join(names)}"), find_source(names[0])
    live = find_source(f"pid:{children().pid}")
    assert [series.name, one.name, live.name] == ["day", "0", f"pid-{live.pid}"]
    assert [steps_of([one], None), steps_of([one, series], None), steps_of([live, series], None)] == [1, 3, 10]
    assert steps_of([live, series], 2) == 2
    for source in (series, one, live):
        source.close()


SOURCES = {
    "pid:x": "pid:x names no process; give its number",
    "pid:0": "names no process",
    "a=domain:no-such-domain-here": "no running domain 'no-such-domain-here'; see `virsh list`",
    "a=x.raw,,y.raw": "is no source; give pid:N, domain:NAME, a dump, or NAME=DUMP1,DUMP2,…",
    "no-such-file.raw": "no-such-file.raw",
}


@pytest.mark.parametrize(("text", "message"), SOURCES.items(), ids=SOURCES.keys())
def test_what_is_no_source(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        find_source(text)


def test_a_domain_is_its_process(named: Callable[[str], int]) -> None:
    pid = named("guest=web,debug-threads=on")
    for text, name in (("domain:web", "web"), ("db=domain:web:all", "db")):
        source = find_source(text)
        assert (source.name, source.pid) == (name, pid)
        source.close()


def test_names_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(page(1))
    with pytest.raises(UsageError, match="two sources are called 'a'; write NAME=SOURCE"):
        find_sources([str(path), str(path)])


@pytest.mark.parametrize(
    ("words", "ram"),
    [(["-m", "64"], 64 << 20), (["-m", "size=131072k,slots=2"], 128 << 20), (["-m", "1G"], 1 << 30), ([], None)],
)
def test_the_ram_of_a_qemu_is_read_from_its_command_line(words: list[str], ram: int | None) -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    command = ["qemu-system-x86_64", "-c", code, *words]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert qemu_ram(process.pid) == ram
        assert qemu_ram(os.getpid()) is None
        process.communicate()
