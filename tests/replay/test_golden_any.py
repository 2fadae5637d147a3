"""PR_SET_MEMORY_MERGE and exec: what six kernels printed, but for the memory of the program that was played there.

That program's own pages are merged, too, once PR_SET_MEMORY_MERGE is set: 26 of them, or 27, each unlike all others but
one, its buffer, which holds what was filled in last. The emulator's processes have nothing but their mapping. So
counters may differ by that program's share, and by nothing else; where it has none they are equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle import OracleMachine
from vmdedup.ksm.profile import profile
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import play
from vmdedup.replay.script import Script, parse

FOLDER = Path(__file__).parent.parent / "golden" / "any"
RECORDED = sorted(FOLDER.glob("*/*.jsonl"))
PROGRAM = {"6.12": 26, "6.18": 27, "7.2": 26, "7.3": 27}  # its pages
AFTER_EXEC = 14  # pages of one that has just begun
MERGED = 3  # of them at most, its buffer, and copies of it made after a fork
PAGE, ITEM = 4096, 64

Figures = dict[str, int]


def script_of(answers: Path) -> Script:
    """What was played."""
    return parse(FOLDER / f"{answers.stem}.ksm")


@pytest.mark.parametrize("answers", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_emulator_prints_it(answers: Path) -> None:
    script = script_of(answers)
    with EmulatedMachine(script, profile=profile(answers.parent.name)) as machine:
        printed = list(play(script, machine))
        machine.host.check()
        machine.ksmd.check()
    compare(printed, answers.read_text().splitlines(), answers.parent.name)


@pytest.mark.parametrize("answers", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_so_does_the_oracle(answers: Path) -> None:
    oracle = OracleMachine(version=profile(answers.parent.name).version)
    compare(list(play(script_of(answers), oracle)), answers.read_text().splitlines(), answers.parent.name)


def test_all_were_recorded() -> None:
    assert len(RECORDED) == 13 * 6


def compare(printed: list[str], recorded: list[str], kernel: str) -> None:
    """Line by line; figures may have more of the program, of which older kernels merge nothing."""
    for line, expected in zip(map(json.loads, printed), map(json.loads, recorded), strict=True):
        if "pages_shared" in expected:
            compare_counters(line, expected, kernel)
        elif "status" in expected:
            compare_process(line.pop("status"), expected.pop("status"), kernel)
        assert line == expected


def compare_counters(line: dict[str, Any], expected: dict[str, Any], kernel: str) -> None:
    """All of a line of counters; what has been compared is taken out of both."""
    names, processes = set(expected) - {"vms", "line"}, expected.pop("vms")
    own = line.pop("vms")
    assert list(own) == list(processes)
    items = zero = 0
    for name in processes:
        more = compare_process(own[name], processes[name], kernel)
        items, zero = items + more["ksm_rmap_items"], zero + more["ksm_zero_pages"]
    more = difference(line, expected, names)
    scanned = more.pop("pages_scanned")
    assert 0 <= scanned <= 3 * PROGRAM.get(kernel, 0)
    assert 0 <= more["pages_sharing"] <= MERGED * len(processes)
    assert more == {
        **dict.fromkeys(names - {"pages_scanned"}, 0),
        "pages_sharing": more["pages_sharing"],
        "pages_unshared": items - more["pages_sharing"],
        "ksm_zero_pages": zero,
        "general_profit": (more["pages_sharing"] + zero) * PAGE - items * ITEM,
    }


def compare_process(line: dict[str, Any], expected: dict[str, Any], kernel: str) -> Figures:
    """One process's figures. Returns how much more the program has of each."""
    names = {name for name in expected if name.startswith("ksm_") and not isinstance(expected[name], str)}
    more = difference(line, expected, names)
    items, merged, zero = (more.get(f"ksm_{of}", 0) for of in ("rmap_items", "merging_pages", "zero_pages"))
    pages = PROGRAM.get(kernel, 0)
    # With use_zero_pages its buffer, of zeros then, is the zero page, until that is undone.
    assert items in ({0} if not pages else {0, pages, pages - 1, AFTER_EXEC})
    assert (items == 0) == (merged == 0 and zero == 0) or (items, merged, zero) == (pages - 1, 0, 0)
    assert 0 <= merged <= MERGED
    assert zero in (0, 1)
    assert more.get("ksm_process_profit", 0) == (merged + zero) * PAGE - items * ITEM
    assert line == expected
    return {"ksm_rmap_items": items, "ksm_zero_pages": zero}


def difference(line: dict[str, Any], expected: dict[str, Any], names: set[str]) -> Figures:
    """How much more was recorded of each figure, 0 where none is; all are taken out of both."""
    said, wanted = ({name: side.pop(name) for name in names} for side in (line, expected))
    assert {name for name in names if said[name] is None} == {name for name in names if wanted[name] is None}
    return {name: (wanted[name] or 0) - (said[name] or 0) for name in names}
