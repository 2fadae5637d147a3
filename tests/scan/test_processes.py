"""Live processes: reserved addresses are no memory; what fork and files share is there once, and said to be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.zygote import RESERVED, truth, zygote_at
from vmdedup.cli import run_command
from vmdedup.dump.open import open_dump
from vmdedup.dump.pagemap import PageMap, widened
from vmdedup.errors import DumpError
from vmdedup.scan import scan_dumps


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """A process and its two children."""
    with zygote_at(tmp_path_factory.mktemp("zygote")) as pids:
        yield pids


def counts(figures: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in figures.items() if not name.endswith("_mib")}


def test_frames_of_a_zygote_and_its_children(zygote: list[int]) -> None:
    document = scan_dumps([f"zygote=pid:{zygote[0]}:tree", f"child=pid:{zygote[1]}:all"]).document
    group, child = document["dumps"]
    assert [group["name"], child["name"]] == ["zygote", "child"]
    assert group["pages"] < 30_000
    assert group["reserved"] > 3 * 2 * RESERVED - 10_000
    assert document["total"]["reserved"] == group["reserved"] + child["reserved"]
    assert any(region["pages"] == 512 for region in group["regions"])
    if os.geteuid():
        assert group["frames"] is document["total"]["frames"] is None
        pytest.skip("only root sees frames")
    assert counts(group["frames"]) == truth(zygote)
    assert counts(child["frames"]) == truth(zygote[1:2])
    assert counts(document["total"]["frames"]) == truth([*zygote, zygote[1]])
    for figures in (group, child, document["total"]):
        frames = figures["frames"]
        assert frames["sharing_already"] + frames["left"] == figures["sharing"]
        assert frames["left_mib"] == frames["left"] / 256
    # 30 pages three times, 10 in the zygote; and 16 of a file; the children's ten are equal, and two frames each.
    assert group["frames"]["sharing_fork"] >= 2 * 30
    assert group["frames"]["sharing_file"] >= 2 * 16
    assert group["frames"]["left_anonymous"] >= 10


def test_the_text_of_it(zygote: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"both=pid:{zygote[1]}:all,pid:{zygote[2]}:all"
    assert run_command(["scan", "--no-color", "-q", name]) == 0
    text = capsys.readouterr().out
    assert "pages of addresses hold nothing" in text
    assert ("is one frame now" in text) == (os.geteuid() == 0)
    monkeypatch.setattr("vmdedup.dump.process.ProcessDump.frames", lambda dump: None)
    assert run_command(["scan", "--no-color", "-q", name]) == 0
    assert "run as root" in capsys.readouterr().out
    assert run_command(["scan", "--json", "-q", name]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["frames"] is None


def test_dumps_beside_processes(zygote: list[int], tmp_path: Path) -> None:
    """Of a dump, every page is a frame of its own."""
    if os.geteuid():
        pytest.skip("only root sees frames")
    dump = tmp_path / "dump.raw"
    dump.write_bytes(bytes([200]) * 4096 + bytes([0xAB]) * 8192)
    document = scan_dumps([dump, f"pid:{zygote[1]}:all"]).document
    one, both = truth(zygote[1:2]), document["total"]["frames"]
    assert document["dumps"][0]["frames"] is None
    assert both["frames"] == one["frames"] + 3
    assert both["sharing_already"] == one["sharing_already"]
    assert (both["left"], both["left_anonymous"]) == (one["left"] + 2, one["left_anonymous"] + 1)


def test_groups_as_dumps(zygote: list[int]) -> None:
    with open_dump(f"pid:{zygote[0]}:tree") as dump:
        numbers = [number for block in dump.blocks() for number in block.numbers.tolist()]
        assert len(numbers) == dump.present == len(set(numbers))
        assert {number >> 40 for number in numbers} == set(zygote)
        by_region = {(block.region, number) for block in dump.blocks() for number in block.numbers.tolist()}
        for region, number in by_region:
            assert 0 <= number - dump.regions[region].first < dump.regions[region].pages
    with pytest.raises(DumpError, match="name a process by its number"):
        open_dump(f"web=pid:{zygote[0]}:all,raw")
    with pytest.raises(DumpError, match="no such process"):
        open_dump(f"pid:{zygote[0]}:all,pid:{2**22 + 1}:tree")


def test_kernels_that_do_not_tell_where_pages_are(zygote: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    with open_dump(f"pid:{zygote[1]}:largest") as dump:
        first, pages = dump.regions[0].first, dump.regions[0].pages
    with PageMap(zygote[1]) as page_map:
        told = page_map.occupied(first, pages)
        monkeypatch.setattr("fcntl.ioctl", refuse)
        assert page_map.occupied(first, pages) == told != []


def test_runs_are_widened_to_page_tables() -> None:
    assert widened([(600, 1), (1000, 30), (3000, 1)], 520, 3001) == [(520, 1016), (2560, 441)]
