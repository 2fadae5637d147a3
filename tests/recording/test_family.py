"""Processes that are one system: each frame is recorded once, and lived again as a phone whose areas say whose."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.zygote import truth, zygote_at
from vmdedup.dump.process import ProcessDump
from vmdedup.errors import EnvironmentLacksError
from vmdedup.guest.image import open_life
from vmdedup.guest.revived import RevivedGuest
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FILES, FOREGROUND, STACK, UNKNOWN
from vmdedup.host.memory import Host
from vmdedup.policy.mobile.areas import Area, areas_of
from vmdedup.recording.reader import Recording
from vmdedup.recording.record import record
from vmdedup.recording.sources import find_sources

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees frames, and says which process is in front")


def adjust(pid: int, score: int) -> None:
    Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[int], dict[str, int]]]:
    """Three steps: the first child is in front; then the second; then the first has ended."""
    folder = tmp_path_factory.mktemp("family")
    path = folder / "phone.rec"
    with zygote_at(folder) as pids:
        adjust(pids[2], 900)
        known = truth(pids)

        def act(step: int, name: str) -> None:
            if step == 1:
                adjust(pids[1], 900)
                adjust(pids[2], 0)
            elif step == 2:
                os.kill(pids[1], signal.SIGKILL)

        record(find_sources([f"phone=pid:{pids[0]}:tree"]), path, 200_000_000, 3, pause=True, watch=act)
        yield path, pids, known


def test_each_frame_once(recorded: tuple[Path, list[int], dict[str, int]]) -> None:
    path, pids, known = recorded
    with Recording(path) as recording:
        first, _, last = (recording.snapshot(0, step) for step in range(3))
    assert first.present == known["frames"]
    assert {pid: process.is_zygote for pid, process in first.processes.items()} == {
        pids[0]: True,
        pids[1]: False,
        pids[2]: False,
    }
    assert set(last.processes) <= {pids[0], pids[1], pids[2]}
    assert last.present < first.present


def states(host: Host, mm: int) -> dict[tuple[int, int], Area]:
    return {(area.owner, area.kind): area for area in areas_of(host, [mm])}


def test_it_is_lived_again(recorded: tuple[Path, list[int], dict[str, int]]) -> None:
    path, _, known = recorded
    image = ImageSpec(str(path), True, "phone")
    life = open_life(image)
    pages, (_, second, third) = life.pages, [time / 1e6 for time in life.times]
    life.close()
    assert known["frames"] <= pages < 1.5 * known["frames"]
    host = Host.create(pages, mms=2)
    memory = host.add(pages, "phone")
    guest = RevivedGuest(GuestSpec("phone", pages, image=image), memory)
    guest.boot()
    said = states(host, memory.mm)
    assert said[0, ANONYMOUS].state == UNKNOWN
    assert (0, FILES) in said
    assert (0, STACK) in said
    assert [said[owner, ANONYMOUS].state for owner in (2, 3)] == [FOREGROUND, BACKGROUND]
    assert sum(area.pages for area in said.values()) <= pages
    assert host.frames_in_use() == known["frames"]
    assert guest.verify() == known["frames"]
    guest.tick(second + 1)
    turned = states(host, memory.mm)
    assert [turned[owner, ANONYMOUS].state for owner in (2, 3)] == [BACKGROUND, FOREGROUND]
    assert turned[2, ANONYMOUS].turns == said[2, ANONYMOUS].turns + 1
    guest.tick(third - second)
    assert guest.step == 2
    assert (2, ANONYMOUS) not in states(host, memory.mm)
    guest.verify()
    guest.reboot()
    guest.verify()
    host.check()
    host.close()


def test_who_may_not_see_frames(
    recorded: tuple[Path, list[int], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pids, _ = recorded
    monkeypatch.setattr(ProcessDump, "frames", lambda dump: None)
    [source] = find_sources([f"pid:{pids[0]}:all,pid:{pids[2]}:all"])
    assert source.name == f"pid-{pids[0]}"
    with pytest.raises(EnvironmentLacksError, match="run as root"):
        source.open(0)
    source.close()
