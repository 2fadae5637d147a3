"""Where packages come from: the machine's own apt, with other releases' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from vmdedup.errors import EnvironmentLacksError
from vmdedup.vmkernel import suites
from vmdedup.vmkernel.suites import SUITES, Suites

TARGETS = b"""http://other.example/packages/ stable-tools main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/debian/ bookworm main
http://mirror.example/security/ bookworm-security main
"""


def tools(targets: bytes, broken: Sequence[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """apt as it would answer. broken: releases that cannot be had."""

    def run_tool(command: Sequence[str], **more: object) -> bytes:
        if "indextargets" in command:
            return targets
        if "update" in command and any(f" {name} " in (folder / "sources.list").read_text() for name in broken):
            raise EnvironmentLacksError("apt-get failed: 404")
        return b"linux-image-6.1\n" if "pkgnames" in command else b""

    monkeypatch.setattr(suites, "run_tool", run_tool)
    monkeypatch.setattr(suites, "require_tools", lambda programs: None)


def test_the_machines_place_with_all_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(TARGETS, [], monkeypatch, tmp_path)
    lists = Suites(tmp_path)
    assert lists.update() == []
    lines = (tmp_path / "sources.list").read_text().splitlines()
    assert [line.split()[-3:] for line in lines] == [["http://mirror.example/debian/", name, "main"] for name in SUITES]
    assert lists.names() == ["linux-image-6.1"]
    assert f"Dir::State={tmp_path / 'state'}" in lists.options


def test_a_release_that_cannot_be_had_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(TARGETS, ["sid"], monkeypatch, tmp_path)
    assert Suites(tmp_path).update() == ["sid (apt-get failed: 404)"]
    assert (tmp_path / "sources.list").read_text().count("\n") == len(SUITES) - 1


def test_none_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(TARGETS, SUITES, monkeypatch, tmp_path)
    with pytest.raises(EnvironmentLacksError, match="see that apt works"):
        Suites(tmp_path).update()


def test_a_machine_without_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(b"http://other.example/ubuntu/ noble main\n", [], monkeypatch, tmp_path)
    with pytest.raises(EnvironmentLacksError, match=r"give vm:PATH/bzImage instead"):
        Suites(tmp_path).update()
