"""A scenario told to do what real guests did: what is read from their run, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.small_runs import SMALL, Watching, run, write
from vmdedup.cli.measured import as_measured
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.live.provision.plan import GuestPlan, RunPlan
from vmdedup.result.did import Did, read_measured
from vmdedup.run.qemu.shortfall import shortfalls
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides

GROUPS = SMALL.replace('workload = "idle"', 'name = "files"\nworkload = "fileserver"')


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's directory as real guests leave it: an emulated run, said to be of real time, with guests' answers."""
    folder = tmp_path_factory.mktemp("measured")
    run(folder, GROUPS).save(folder / "real")
    about = json.loads((folder / "real" / "run.json").read_text())
    (folder / "real" / "run.json").write_text(json.dumps({**about, "clock": "real", "backend": "qemu"}))
    said = folder / "real" / "guests"
    said.mkdir()
    for number, (seconds, reads) in enumerate(((13, 2.5), (17, 1.5))):
        before = "MemFree: 1 kB\n\nready 9 files\n4.00 s: read_mib_s=9.0 write_mib_s=9.0\n"
        last = f"{seconds}.00 s: read_mib_s={reads} write_mib_s=0.25\n"
        (said / f"vmdedup-small-files-{number}.txt").write_text(before + last)
    (said / "vmdedup-small-files-2.txt").write_text("it said nothing\n")
    return folder / "real"


def test_what_each_guest_did_last_is_read(measured: Path) -> None:
    found = read_measured(measured)
    assert found.groups == {"files": ["files-0", "files-1", "files-2"]}
    assert found.guests == {
        "files-0": Did(13.0, {"read_mib_s": 2.5, "write_mib_s": 0.25}),
        "files-1": Did(17.0, {"read_mib_s": 1.5, "write_mib_s": 0.25}),
    }
    assert found.of_group(found.groups["files"]) == Did(15.0, {"read_mib_s": 2.0, "write_mib_s": 0.25})
    assert found.of_group(["files-2"]) is None
    assert found.seconds == 3.0


def test_a_scenario_does_it_again(measured: Path, tmp_path: Path) -> None:
    """Rates are the means; guests live before as long as the real ones did; ksmd takes as long for a page."""
    scenario = load_scenario(write(tmp_path, GROUPS), Overrides(measured=as_measured(measured)))
    assert scenario.guests[0].parameters == {"read_mib_s": 2.0, "write_mib_s": 0.25}
    assert scenario.host.warm_up == 12_000_000_000
    found = read_measured(measured)
    assert scenario.ksm.page_cost == pytest.approx(3e9 / found.scanned - 20e6 / 1000, abs=1)
    assert scenario.guests[0].disk["kind"] == "generated", "a disk that is said stays"


def test_other_groups_and_unknown_images_are_left(measured: Path, tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, SMALL), Overrides(measured=as_measured(measured)))
    assert scenario.guests[0].parameters == {}


def test_a_run_that_was_not_measured(tmp_path: Path) -> None:
    run(tmp_path, SMALL).save(tmp_path / "emulated")
    with pytest.raises(UsageError, match="was not measured on real guests; give the folder of `vmdedup live run`"):
        read_measured(tmp_path / "emulated")


def test_guests_live_before_anything_is_measured(tmp_path: Path) -> None:
    """A row at the start already has what they did; ksmd has looked at nothing."""
    watcher = Watching()
    result = run(tmp_path, SMALL + '[host]\nwarm_up = "2s"\n', watcher=watcher)
    first = result.series.row(0, named=True)
    assert (first["time_s"], first["pages_scanned"]) == (0.0, 0)
    assert first["allocated_pages"] > 1000
    assert result.series["time_s"][-1] == 3.0


def test_warming_up_needs_virtual_time(tmp_path: Path) -> None:
    text = 'clock = "wall"\n' + SMALL + '[host]\nwarm_up = "2s"\n'
    with pytest.raises(ScenarioError, match="needs virtual time"):
        load_scenario(write(tmp_path, text))


def test_what_guests_did_not_do_is_said(measured: Path) -> None:
    """0.25 MiB/s written of 0.5 that are asked by default; reads are as asked, or not, by guest."""
    guests = [
        GuestPlan(f"files-{number}", "files", f"d{number}", "debian", 128, "fileserver", {"read_mib_s": "2"}, 1)
        for number in range(3)
    ]
    plan = RunPlan("s", 1, tuple(guests), {}, 3.0, 1.0)
    said = shortfalls(plan, read_measured(measured))
    assert said[:2] == [
        "files-0 did write_mib_s = 0.25 of 0.5",
        "files-1 did read_mib_s = 1.5 of 2, write_mib_s = 0.25 of 0.5",
    ]
    assert len(said) == 3
    assert "--as-measured" in said[2]
    easy = [replace(guest, parameters={"read_mib_s": "1", "write_mib_s": "0.2"}) for guest in guests]
    assert shortfalls(replace(plan, guests=tuple(easy)), read_measured(measured)) == []
