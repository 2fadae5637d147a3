"""--on: where scripts can be played."""

from __future__ import annotations

import pytest

from vmdedup.cli.places import places
from vmdedup.errors import UsageError


@pytest.mark.parametrize(
    ("on", "kernel", "named"),
    [
        ("emulator", None, ["emulator"]),
        ("emulator", "6.1", ["emulator:6.1"]),
        ("both", None, ["emulator", "kernel"]),
        ("both", "6.1", ["emulator:6.1", "kernel"]),
        ("emulator:6.1,vm:6.1,vm:./bzImage", None, ["emulator:6.1", "vm:6.1", "vm:./bzImage"]),
        ("emulator,emulator:6.1", "7.3", ["emulator:7.3", "emulator:6.1"]),
    ],
)
def test_places(on: str, kernel: str | None, named: list[str]) -> None:
    assert places(on, kernel) == named


@pytest.mark.parametrize(
    ("on", "kernel", "words"),
    [
        ("moon", None, r"--on 'moon' is no place.*vm:PATH/bzImage"),
        ("emulator,", None, "--on '' is no place"),
        ("vm:", None, "--on 'vm:' is no place"),
        ("vm:6.1", "6.1", "leave it out with --on kernel"),
        ("emulator:6.1", "6.1", "leave it out with --on kernel"),
    ],
)
def test_no_places(on: str, kernel: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        places(on, kernel)
