"""Other people's readers of dumps find the same pages as ours; each skips where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from compare_readers import difference, made, ours
from kit.second_readers import NotInstalledError


@pytest.mark.parametrize("reader", ["libkdumpfile", "drgn's libkdumpfile", "volatility3", "crit"])
def test_the_same_pages(tmp_path: Path, reader: str) -> None:
    """Of all dumps of the tests' writers that the reader knows; python tests/compare_readers.py prints the table."""
    asked = 0
    for case in made(tmp_path):
        if reader in case.readers:
            try:
                theirs = case.readers[reader]()
            except NotInstalledError as error:
                pytest.skip(str(error))
            assert not difference(ours(case), theirs), case.kind
            asked += 1
    assert asked
