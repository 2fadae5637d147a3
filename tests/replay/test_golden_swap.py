"""KSM pages and swap: what kernels printed, with a disk and with zram.

Left out are pswpin, pswpout and so on as far as the program's own pages have a part in them: no more than ours may be
missing. Where a kernel is known to answer in several ways, as what `reclaim` finds is a matter of time, each answer is
that of one timing: it is named here, and all of its lines are compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.scanners import KsmdProcess
from kit.script_workers import WorkerProcess
from oracle import OracleMachine
from vmdedup.ksm.profile import profile
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import Machine
from vmdedup.replay.play import play
from vmdedup.replay.script import Script, parse_text
from vmdedup.replay.swapping import CACHED, GONE, LEFT

FOLDER = Path(__file__).parent.parent / "golden" / "swap"
RECORDED = sorted(FOLDER.glob("*/*/*.jsonl"))
COMPARED = ("cow_ksm", "ksm_swpin_copy", "thp_split_page", "thp_split_page_failed", "thp_split_pmd")
PROGRAM = 9  # pages of the program that was played there, at most, that go or come with those of its mapping
# Linux 6.1 finds little to reclaim in a small cgroup at first, and its pages are long in the swap cache. One script
# begins as another does, and has another answer; three have two.
TIMING = {
    "disk/6.1/swap-01-shared.2": CACHED,
    "disk/6.1/swap-02-in-before-visit.2": LEFT,
    "disk/6.1/swap-06-run2": CACHED,
    "disk/6.1/swap-07-unmergeable": CACHED,
    "disk/6.1/swap-10-fork": LEFT,
}


def name_of(answers: Path) -> str:
    return f"{answers.parent.parent.name}/{answers.parent.name}/{answers.stem}"


def script_of(answers: Path) -> Script:
    """What was played."""
    text = (FOLDER / f"{answers.stem.removesuffix('.2')}.ksm").read_text()
    if answers.parent.parent.name == "zram":
        text = text.replace("\nswapon\n", "\nswapon zram\n")
    return parse_text(text, FOLDER, answers.stem)


def compare(script: Script, machine: Machine, answers: Path) -> None:
    """All lines; of vmstat what is compared."""
    for line, recorded in zip(play(script, machine), answers.read_text().splitlines(), strict=True):
        said, expected = json.loads(line), json.loads(recorded)
        if "vmstat" in said:
            said["vmstat"], expected["vmstat"] = _vmstat(said["vmstat"], expected["vmstat"])
        assert said == expected


def _vmstat(said: dict[str, Any], expected: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in ("pswpin", "pswpout"):
        assert 0 <= expected[name] - said[name] <= PROGRAM
    return {name: said[name] for name in COMPARED}, {name: expected[name] for name in COMPARED}


@pytest.mark.parametrize("answers", RECORDED, ids=name_of)
def test_the_emulator_prints_it(answers: Path) -> None:
    script = script_of(answers)
    with EmulatedMachine(script, profile=profile(answers.parent.name)) as machine:
        machine.swapping.timing = TIMING.get(name_of(answers), GONE)
        compare(script, machine, answers)
        machine.host.check()
        machine.ksmd.check()


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["disk/7.2/swap-05-pageout-of-merged", "zram/7.2/swap-08-write-in"])
def test_so_it_does_with_a_process_for_each_guest(name: str) -> None:
    """Pages are taken out by this process, and brought in by the guests' own."""
    answers = FOLDER / f"{name}.jsonl"
    script = script_of(answers)
    with EmulatedMachine(script, WorkerProcess, KsmdProcess, profile=profile("7.2")) as machine:
        compare(script, machine, answers)
        machine.host.check()
        machine.ksmd.check()


@pytest.mark.parametrize("answers", RECORDED, ids=name_of)
def test_so_does_the_oracle(answers: Path) -> None:
    oracle = OracleMachine(version=profile(answers.parent.name).version)
    oracle.timing = TIMING.get(name_of(answers), GONE)
    compare(script_of(answers), oracle, answers)


def test_all_were_recorded() -> None:
    assert len(RECORDED) == 2 + 3 * 10 + 2 * 10 + 4
    assert {name_of(path) for path in RECORDED} >= TIMING.keys()
