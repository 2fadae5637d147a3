"""Experiments on placement: what their rows say is so of the plans themselves."""

from __future__ import annotations

import pytest

from vmdedup.papers.bench.base import Bench
from vmdedup.papers.placement.buddies import apart, drawn
from vmdedup.papers.table import EXPERIMENTS


def test_trees_know_less_than_all_and_save_servers() -> None:
    found = EXPERIMENTS["placement-trees"].run(Bench(quick=True))
    ours = {row["figure"]: row["ours"] for row in found["rows"]}
    assert 0 < ours["tree: of what guests share"] < ours["cluster-tree: of what guests share"] < 100
    assert all(row["holds"] for row in found["rows"])


def test_without_sharing_each_guest_takes_all_its_pages() -> None:
    fleet = drawn(Bench(quick=True))
    assert apart(fleet).used(range(len(fleet))) == fleet.pages.sum() > fleet.used(range(len(fleet)))


def test_no_way_of_packing_beats_the_best() -> None:
    pytest.importorskip("highspy", reason="needs highspy: pip install 'vmdedup[place]'")
    found = EXPERIMENTS["pagination"].run(Bench(quick=True))
    assert all(row["holds"] for row in found["rows"])
