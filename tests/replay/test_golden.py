"""Recorded scripts on the emulator: what kernels of Linux printed, byte for byte; where none is named, 6.18."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.golden_answers import FOLDER, GOLDEN, KERNELS, RECORDED
from kit.kernel_lines import counted
from kit.script_workers import machine_of
from vmdedup.errors import UsageError
from vmdedup.ksm.profile import Profile, profile
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import play
from vmdedup.replay.script import parse

# Of what takes long one version of each family is played as plain Python; the others are played compiled.
IN_PYTHON, SHORT = ("5.10", "6.18", "7.3"), ("versions/", "numa/")
PLAYED = [
    each if each[2] in IN_PYTHON or each[1].startswith(SHORT) else pytest.param(*each, marks=pytest.mark.compiled)
    for each in RECORDED
]
IN_PROCESSES = [path for path in GOLDEN if path.stem.startswith(("everything", "fork", "exit-run2", "huge"))]


def printed(path: Path, workers: bool) -> str:
    """What the emulator prints for a script."""
    script = parse(path)
    with machine_of(script, workers) as machine:
        lines = "".join(f"{line}\n" for line in play(script, machine))
        machine.host.check()
        machine.ksmd.check()
    return lines


def test_there_are_recorded_scripts() -> None:
    assert len(GOLDEN) >= 50
    assert all(path.with_suffix(".jsonl").exists() for path in GOLDEN)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_emulator_prints_what_the_kernel_printed(path: Path) -> None:
    assert printed(path, workers=False) == path.with_suffix(".jsonl").read_text()


@pytest.mark.compiled
@pytest.mark.parametrize("path", IN_PROCESSES, ids=lambda path: path.stem)
def test_so_it_does_with_a_process_for_each_guest(path: Path) -> None:
    assert printed(path, workers=True) == path.with_suffix(".jsonl").read_text()


def test_six_kernels_were_asked() -> None:
    assert {kernel for _, script, kernel in RECORDED if script.startswith("versions/")} == set(KERNELS)
    assert len(RECORDED) == 44 + 44 + 14 + 6 * 11 + 4 * 19 + 6 * 26


@pytest.mark.parametrize(("answers", "script", "kernel"), PLAYED, ids=lambda each: getattr(each, "stem", each))
def test_so_does_each_version_of_linux(answers: Path, script: str, kernel: str) -> None:
    parsed = parse(FOLDER / script)
    with EmulatedMachine(parsed, profile=profile(kernel)) as machine:
        printed = [counted(line) for line in play(parsed, machine)]
        machine.host.check()
        machine.ksmd.check()
    assert printed == [counted(line) for line in answers.read_text().splitlines()]


@pytest.mark.compiled
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("kernel", ["6.12", "7.2"])
def test_what_a_family_shares(path: Path, kernel: str) -> None:
    """6.12 and 7.2 printed what 6.18 did."""
    assert profile(kernel).family == profile("6.18").family == "B"
    parsed = parse(path)
    with EmulatedMachine(parsed, profile=profile(kernel)) as machine:
        assert list(play(parsed, machine)) == path.with_suffix(".jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "version"),
    [("6.1", (6, 1)), ("6.1.0-28-amd64", (6, 1)), ("5.10.223", (5, 10)), ("7.3.4", (7, 3)), ("12.0", (12, 0))],
)
def test_names_of_versions(text: str, version: tuple[int, int]) -> None:
    assert profile(text) == Profile(version)
    assert str(profile(text)) == f"{version[0]}.{version[1]}"


@pytest.mark.parametrize("text", ["", "6", "six", "5.3", "6.1x", "-6.1", "6.1\n", "٦.١"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError, match=r"none that is known; give a version from 5\.4 on, as 6\.18$"):
        profile(text)


def test_families() -> None:
    versions = ["5.10", "6.10", "6.11", "6.18", "7.2", "7.3"]
    assert [profile(version).family for version in versions] == list("AABBBC")
