"""What guest scripts need."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.replay.script import parse_text
from vmdedup.vmkernel.qemu import Shape
from vmdedup.vmkernel.session import shape


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("vm a 4\n", Shape(1, 768, 0)),
        ("vm a 4 node=1\n", Shape(2, 768, 0)),
        ("vm a 4\nmigrate a 0..3 2\n", Shape(3, 768, 0)),
        ("vm a 4\nnode a 1\nswapon\n", Shape(2, 768, 64)),
        ("vm a 4\nswapon zram\n", Shape(1, 768, 0)),
        (f"vm a {1 << 18}\n", Shape(1, 2304, 0)),
    ],
)
def test_the_shape_of_a_guest(text: str, wanted: Shape) -> None:
    assert shape(parse_text(text, Path())) == wanted
