"""The kernel's ksmd by its own tunables: what of them is understood here as the kernel understands it."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from vmdedup.errors import KnobError
from vmdedup.live.ksm import free as free_ksmd
from vmdedup.live.ksm.free import FreeKsmd


class Files:
    """Takes what is written, in order; counters stand at 0."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []

    def has(self, name: str) -> bool:
        return name != "advisor_mode"

    def write(self, name: str, text: str) -> None:
        self.written.append((name, text))

    def read(self, name: str) -> int:
        return 0


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """This process is taken for ksmd; the machine has broken 5 merged pages, then 7 more."""
    breaks = iter((5, 5, 12))
    monkeypatch.setattr(free_ksmd, "find_ksmd", os.getpid)
    monkeypatch.setattr(free_ksmd, "_breaks", lambda: next(breaks))
    return Files()


@pytest.mark.parametrize("text", ["0", "off", "n", "N", "false"])
def test_breaks_are_counted_without_zero_pages(text: str, files: Files) -> None:
    with closing(FreeKsmd(files)) as ksmd:  # type: ignore[arg-type]
        ksmd.start({"use_zero_pages": text, "run": "1", "pages_to_scan": "100", "sleep_millisecs": "20"})
        assert ksmd.breaks() == 7
    assert ("use_zero_pages", text) in files.written, "as it was given: the kernel takes it, too"
    assert files.written[0] == ("run", "0")
    assert files.written[-1] == ("run", "1")


@pytest.mark.parametrize("text", ["1", "on", "y", "Y", "true"])
def test_breaks_are_not_known_with_zero_pages(text: str, files: Files) -> None:
    with closing(FreeKsmd(files)) as ksmd:  # type: ignore[arg-type]
        ksmd.start({"use_zero_pages": text, "run": "1"})
        assert ksmd.breaks() is None


def test_breaks_where_nothing_is_said_of_zero_pages(files: Files) -> None:
    with closing(FreeKsmd(files)) as ksmd:  # type: ignore[arg-type]
        ksmd.start({"run": "1"})
        assert ksmd.breaks() == 7


def test_what_is_no_truth_value_is_an_error(files: Files) -> None:
    with closing(FreeKsmd(files)) as ksmd, pytest.raises(KnobError, match="use_zero_pages"):  # type: ignore[arg-type]
        ksmd.start({"use_zero_pages": "perhaps"})
