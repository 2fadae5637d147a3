"""What is drawn is what the oracle has, node by node. All golden scripts: python tests/explain_golden.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.explained import VERSIONS, compare
from vmdedup.replay.script import parse

GOLDEN = Path(__file__).parent.parent / "golden"
SOME = """first-steps fork-by-hand corner-1 corner-2 corner-3 corner-4 corner-5 smart-1 unmerge-1
fork-exit-1 exit-run2-knobs-1 numa/numa-06-ksm-moves numa/numa-09-met-in-a-search
numa/numa-10-swap-places numa/numa-13-chains versions/v-01-stable-first versions/v-06-chain-of-one any/any-09-run2"""


@pytest.mark.parametrize("name", SOME.split())
def test_trees_are_the_oracles(name: str) -> None:
    path = GOLDEN / f"{name}.ksm"
    for kernel in (None, *VERSIONS.get(path.parent.name, ())):
        assert compare(parse(path), kernel) > 0
