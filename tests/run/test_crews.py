"""Several guests a process: the same rows as with one each, and a process that dies takes its own guests, no others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from golden_runs import differences, outcome, recorded
from kit.guest_ram import DISK, spec
from kit.small_runs import SMALL, Acting, host_of, kill_guest, run
from vmdedup.errors import GuestError, UsageError
from vmdedup.guest.crew import Crew, Posting
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.memory import Host
from vmdedup.run.emulation import Emulation
from vmdedup.run.run import ALL_DEAD, COMPLETE, INTERRUPTED
from vmdedup.scenario.load import builtin_names, load_scenario
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled

CREWS = SMALL.replace("count = 3", "count = 5") + "[host]\nguests_per_worker = 2\n"
# Guests that come and go, that wait for memory and are killed for it, and that replay.
SHOWN = ("scenario/churn", "scenario/oom")


def crew_on(host: Host) -> Crew:
    return Crew(Posting(host, {DISK: open_disk(DISK)}), "crew")


@pytest.mark.parametrize("name", SHOWN)
def test_guests_of_one_process_give_the_same_rows(name: str) -> None:
    assert not list(differences(recorded()[name], outcome(name, guests_per_worker=2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({f"scenario/{name}" for name in builtin_names()} - set(SHOWN)))
def test_guests_of_one_process_give_the_same_rows_everywhere(name: str) -> None:
    assert not list(differences(recorded()[name], outcome(name, guests_per_worker=2)))


def test_a_process_that_dies_takes_its_guests_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulations: list[Emulation] = []

    def kill(emulation: Emulation) -> None:
        emulations.append(emulation)
        assert len({guest.pid for guest in emulation.guests.values()}) == 3
        kill_guest(1)(emulation)
        host = host_of(emulation)
        real = host.recover

        def recover() -> None:
            real()
            host.check()

        monkeypatch.setattr(host, "recover", recover)

    result = run(tmp_path, CREWS, watcher=Acting(1, kill, monkeypatch))
    assert result.run["ended"] == COMPLETE
    # Guests are dealt out: the processes have 0 and 3, 1 and 4, 2.
    assert result.guests["state"].to_list() == ["running", "dead", "running", "running", "dead"]
    deaths = [event["text"] for event in result.run["events"] if "SIGKILL" in event["text"]]
    assert [text.split("'")[1] for text in deaths] == ["vm-1", "vm-4"]
    assert result.guests["allocated_pages"].to_list()[1::3] == [0, 0]
    last = result.series.row(-1, named=True)
    assert last["guests"] == 3
    assert last["saved_pages"] > 0.9 * last["possible_pages"] > 0


def test_when_every_process_dies_the_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill_all(emulation: Emulation) -> None:
        for number in range(3):
            kill_guest(number)(emulation)

    result = run(tmp_path, CREWS, watcher=Acting(1, kill_all, monkeypatch))
    assert result.run["ended"] == ALL_DEAD
    assert result.series["used_pages"][-1] == 0


def test_a_stopped_process_keeps_no_run_from_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(emulation: Emulation) -> None:
        os.kill(emulation.guests[0].pid or 0, signal.SIGSTOP)
        signal.raise_signal(signal.SIGINT)

    result = run(tmp_path, CREWS, Overrides(duration="1h"), Acting(1, stop, monkeypatch))
    assert result.run["ended"] == INTERRUPTED


def test_who_breaks_down_takes_nobody_with_it() -> None:
    host = Host.create(3 * 64 * 256)
    crew = crew_on(host)
    calm = spec()
    greedy = spec("db", workload="phases", parameters={"fill_share": 1.0, "mib_s": 10_000})
    guests = [
        GuestProcess(each, host, host.add(each.memory_pages).mm, crew.posting.disks[DISK], crew=crew)
        for each in (calm, greedy)
    ]
    try:
        for guest in guests:
            guest.start()
        guests[1].tick(10_000)  # boots
        with pytest.raises(GuestError, match="guest 'db' is out of memory"):
            guests[1].tick(10_000)
        assert guests[1].state == "dead"
        assert guests[0].tick(50).virtual_ms == 50
        with pytest.raises(GuestError, match="guest 'db' is dead"):
            guests[1].tick(50)
        host.bury(guests[1].mm)
        host.recover()
        host.check()
        guests[0].leave()
        assert crew.is_over
    finally:
        crew.end()
        host.close()


def test_guests_of_one_process_do_not_run_free() -> None:
    host = Host.create(3 * 64 * 256)
    crew = crew_on(host)
    guests = [
        GuestProcess(each, host, host.add(each.memory_pages).mm, crew.posting.disks[DISK], crew=crew)
        for each in (spec("one"), spec("two"))
    ]
    try:
        for guest in guests:
            guest.start()
        with pytest.raises(GuestError, match="'one' cannot run free: it shares its process"):
            guests[0].run_free()
        guests[1].kill()
        guests[0].run_free()
        assert guests[0].stop_free().name == "one"
    finally:
        crew.end()
        host.close()


def test_in_real_time_a_guest_has_a_process(tmp_path: Path) -> None:
    path = tmp_path / "wall.toml"
    path.write_text(CREWS.replace("[ksm]", 'clock = "wall"\n[ksm]', 1))
    with pytest.raises(UsageError, match=r"guests_per_worker.*need virtual time"):
        load_scenario(path)


def test_how_many_processes(tmp_path: Path) -> None:
    def workers(count: int, cores: int, more: str = "") -> int:
        path = tmp_path / "many.toml"
        path.write_text(SMALL.replace("count = 3", f"count = {count}") + more)
        return load_scenario(path).workers(cores)

    assert workers(48, 2) == 48
    assert workers(49, 2) == 2
    assert workers(49, 64) == 49
    assert workers(49, 2, "[host]\nguests_per_worker = 10\n") == 5
    assert workers(7, 2, "[host]\nguests_per_worker = 100\n") == 1
