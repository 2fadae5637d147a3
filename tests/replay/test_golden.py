"""Recorded scripts on the emulator: what a Linux 6.18 kernel printed, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.script_workers import machine_of
from vmdedup.replay.play import play
from vmdedup.replay.script import parse

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.ksm"))
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
