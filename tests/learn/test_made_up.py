"""Made-up kinds, whose truth is known: what is foretold of them from two boots, and what is flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import KINDS, PLACE, made_up, put, real, row
from kit.kinds import KnownKind
from vmdedup.learn.alike import likeness


def test_intervals_hold_nine_times_in_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the middle is within three points, but where nothing in two boots tells what is a guest's own."""
    monkeypatch.setattr("benchmarks.learning.PAGES", 8192)
    found = {kind.name: made_up(kind, rounds=1, known=2, most=6) for kind in KINDS}
    every = [case for cases in found.values() for case in cases]
    assert len(every) == 4 * len(KINDS)
    assert np.mean([case.is_inside for case in every]) >= 0.9
    for name, cases in found.items():
        if name not in ("data of its own", "a build"):
            assert max(abs(case.off) for case in cases) <= 3, name
    three = made_up(KINDS[2], rounds=1, known=3, most=6)
    assert max(abs(case.off) for case in three) < max(abs(case.off) for case in found[KINDS[2].name])


def test_boots_of_a_kind_are_not_flagged_and_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.learning.PAGES", 8192)
    for kind in KINDS:
        boots, classes = kind.boots(3, seed=5)
        assert not likeness(boots[2], boots[:2], classes).is_other, kind.name
        strangers = boots[2].contents + np.int32(1)  # other contents, but for those that happen to follow each other
        strangers[::2] = 0
        other = type(boots[2])("other", "", strangers % np.int32(len(classes)))
        assert likeness(other, boots[:2], classes).is_other, kind.name


def test_real_boots_and_a_page(tmp_path: Path) -> None:
    cases = real(KnownKind().write(tmp_path, 1, 2, 3, 4), 2, 6)
    assert len(cases) == 12  # of six pairs, three and four guests
    page = tmp_path / "page.md"
    page.write_text(f"a\n\n{PLACE.format(' DUMPS')}\n\n| old |\n\nb\n")
    put(page, " DUMPS", row("four", cases))
    assert page.read_text().splitlines()[4].startswith("| four | 12 | ")
    assert page.read_text().endswith(" |\n\nb\n")
