"""The kernel's ksmd by its own tunables: what of them is understood here as the kernel understands it."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from vmdedup.errors import KnobError
from vmdedup.live.ksm import breaks as breaks_module
from vmdedup.live.ksm import free as free_ksmd
from vmdedup.live.ksm.free import FreeKsmd


class Files:
    """Takes what is written, in order; counters stand at 0."""

    def __init__(self, *lacks: str) -> None:
        self.written: list[tuple[str, str]] = []
        self._lacks = lacks

    def has(self, name: str) -> bool:
        return name not in self._lacks

    def write(self, name: str, text: str) -> None:
        self.written.append((name, text))

    def read(self, name: str) -> int:
        return 0


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """This process is taken for ksmd; the machine has broken 5 merged pages, then 7 more."""
    breaks = iter((5, 5, 12))
    monkeypatch.setattr(free_ksmd, "find_ksmd", os.getpid)
    monkeypatch.setattr(breaks_module, "cow_ksm", lambda: next(breaks))
    return Files("advisor_mode")


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


def test_the_advisor_starts_with_the_values_that_it_is_given(files: Files) -> None:
    """A kernel's advisor takes its least number of pages as it is turned on, and overwrites pages_to_scan then."""
    files = Files()
    wanted = {"advisor_mode": "scan-time", "run": "1", "advisor_min_pages_to_scan": "900", "max_page_sharing": "8"}
    with closing(FreeKsmd(files)) as ksmd:  # type: ignore[arg-type]
        ksmd.start(wanted | {"pages_to_scan": "7"})
    assert files.written == [
        ("run", "0"),
        ("advisor_mode", "none"),
        ("max_page_sharing", "8"),
        ("advisor_min_pages_to_scan", "900"),
        ("pages_to_scan", "7"),
        ("advisor_mode", "scan-time"),
        ("run", "1"),
    ]
