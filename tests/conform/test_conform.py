"""Conformity, with an emulator as another version in the kernel's place: each difference is found, named, and small."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmdedup.cli import run_command
from vmdedup.conform.conform import Conformity, Report
from vmdedup.conform.generator import generate
from vmdedup.conform.sides import Sides
from vmdedup.conform.suite import Item, drawn, kept
from vmdedup.conform.text import document, text
from vmdedup.errors import GuestError
from vmdedup.ksm.profile import BEHAVIOUR, profile
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.script import Script
from vmdedup.vmkernel.session import Booted

Kernel = Callable[[Script], EmulatedMachine]
OF_61 = ["files", "checksum_first", "fork_starts_anew", "zero_pages_known", "chain_of_one_goes"]


@pytest.fixture
def kernel() -> Iterator[Callable[..., Kernel]]:
    """Makes a stand-in for a kernel of a version; wrong: what it does otherwise."""
    with ExitStack() as stack:

        def made(version: str, *wrong: str, machine: type[EmulatedMachine] = EmulatedMachine) -> Kernel:
            other = replace(profile(version), otherwise=frozenset(wrong))
            return lambda script: stack.enter_context(machine(script, profile=other))

        yield made


def small() -> list[Item]:
    """The short ones of the repository's scripts."""
    return [item for item in kept() if "versions" in item.subjects and item.name < "v-07"]


def conformed(kernel: Kernel, version: str, items: list[Item]) -> Report:
    return Conformity(Sides(kernel), profile(version)).run(items)


def test_equal_versions_are_equal(kernel: Callable[..., Kernel]) -> None:
    report = conformed(kernel("7.2"), "6.18", [*small(), *drawn(3, 1)])
    assert report.is_equal
    assert report.tallies["trees"].scripts == 9
    assert "equal: vm:7.2 prints what Linux 6.18 does, in 9 scripts" in text(report, "vm:7.2", "6.18")


def test_the_five_differences_of_an_old_kernel(kernel: Callable[..., Kernel]) -> None:
    report = conformed(kernel("6.1"), "6.18", small())
    assert [found.cause for found in report.found] == OF_61
    assert all(len(found.script) <= 10 for found in report.found)
    said = text(report, "vm:6.1", "6.18")
    assert "2. whether a page that has changed is left alone" in said
    assert "DIFFERENT: vm:6.1 is no Linux 6.18, in 5 ways" in said
    shown = document(report, "vm:6.1", "6.18")
    assert (shown["equal"], shown["subjects"]["fork"]) == (False, {"scripts": 1, "differ": 1})
    assert shown["differences"][2]["script"][-1] == "counters"
    json.dumps(shown)


@pytest.mark.parametrize("behaviour", [name for name in BEHAVIOUR if name in {*OF_61, "items_start_anew"}])
def test_each_behaviour_is_found_by_itself(behaviour: str, kernel: Callable[..., Kernel]) -> None:
    items = [*small(), Item("back", WRITTEN_BACK, Path(), ("trees",))]
    report = conformed(kernel("6.18", behaviour), "6.18", items)
    assert [found.cause for found in report.found] == [behaviour]


# A page leaves the stable tree by a store, and holds what it held before when ksmd comes by.
WRITTEN_BACK = "vm a 3\nfill a 0..2 seed 1\npass 2\nfill a 0 seed 2\nfill a 0 seed 1\npass\ncounters\n"


class Forgetful(EmulatedMachine):
    """Does not know of pages that are shared three times."""

    def sharing(self) -> list[list[str]]:
        return [group for group in super().sharing() if len(group) != 3]


SHARED = "vm a 9\nvm b 3\nfill b 0..2 seed 9+\nfill a 0..2 seed 1\nfill a 3..8 seed 2+\npass 3\ncounters\nsharing\n"


def test_what_nothing_explains(kernel: Callable[..., Kernel]) -> None:
    items = [Item(f"odd {number}", SHARED, Path(), ("trees", "odd")) for number in range(5)]
    report = conformed(kernel("6.18", machine=Forgetful), "6.18", items)
    assert report.tallies["odd"].differ == 5
    assert len(report.found) == 2  # of five alike
    assert report.found[0].cause == ""
    assert report.found[0].script == ("vm a 3", "read a 0..2", "sharing") or len(report.found[0].script) <= 4
    assert "no behaviour of another version explains it" in text(report, "vm:x", "6.18")


def test_a_kernel_that_breaks_down_differs(kernel: Callable[..., Kernel]) -> None:
    class Broken(EmulatedMachine):
        def unmergeable(self, name: str, lo: int, hi: int) -> None:
            raise GuestError("the guest has ended")

    item = Item("bad", "vm a 3\nfill a 0..2 seed 1\nunmergeable a 1\ncounters\n", Path(), ("trees",))
    report = conformed(kernel("6.18", machine=Broken), "6.18", [item])
    assert report.found[0].script[-2:] == ("unmergeable a 0", "counters") or "unmergeable a 1" in report.found[0].script
    assert "the guest has ended" in str(report.found[0].shown.sides[1])


def test_scripts_of_the_suite_have_subjects() -> None:
    items = kept()
    assert len(items) >= 50
    assert [item.text.count("\n") for item in items] == sorted(item.text.count("\n") for item in items)
    (chains,) = (item for item in items if item.name == "chains-exit-1")
    assert chains.subjects == ("trees", "chains", "exit")
    (first,) = drawn(1, 5)
    assert first.text == generate(5)
    assert first.subjects[0] == "trees"


def test_what_is_no_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["conform", "emulator", "--as", "6.18"]) == 2
    assert "give vm:VERSION" in capsys.readouterr().err
    assert run_command(["conform", "vm:/nonexistent/bzImage", "--as", "6.18"]) == 2
    assert "there is no such kernel" in capsys.readouterr().err


def test_the_command(
    kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stand(Booted):
        def __init__(self, name: str) -> None:
            self._guests: dict[Any, Any] = {}

        machine = staticmethod(kernel("6.1"))  # type: ignore[assignment]

    monkeypatch.setattr("vmdedup.vmkernel.session.Booted", Stand)
    monkeypatch.setattr("vmdedup.conform.suite.kept", small)
    assert run_command(["conform", "vm:6.1", "--as", "6.18", "--scripts", "1", "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert [one["cause"] for one in shown["differences"]] == OF_61
    assert run_command(["conform", "vm:6.1", "--as", "6.1", "--scripts", "0"]) == 0
    assert "equal: vm:6.1" in capsys.readouterr().out
