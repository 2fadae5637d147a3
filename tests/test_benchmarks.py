"""What benchmarks say of where time goes: shares that add up, on few pages."""

import pytest

from benchmarks.costs import HASHING, KERNELS, shares
from benchmarks.images import alike
from benchmarks.scanning import PHASES, ROWS

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize("policy", ["esx", "uksm", "none"])
def test_shares(policy: str) -> None:
    (row,) = (row for row in ROWS if row.label == policy)
    found = shares(alike(512), row, 100)
    assert list(found) == list(PHASES)
    for parts in found.values():
        assert sum(parts.values()) == pytest.approx(1 if policy != "none" else 0)
        assert policy == "none" or parts.get(HASHING, 0) + parts.get(KERNELS, 0) > 0
