"""Guests from memory images: what a dump or a recording holds is in host memory, tick by tick, in every copy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.guest_ram import Ram
from kit.memory_dumps import Pages, digest, page, write_recording
from kit.processes import private_kib
from kit.small_runs import run, write
from vmdedup.cli import run_command
from vmdedup.errors import DumpError, GuestError, ScenarioError, UsageError
from vmdedup.guest.diskspec import NO_DISK, open_disk
from vmdedup.guest.revived import RevivedGuest
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.layout import MAPPED, PRESENT
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.recording.reader import Recording
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.scenario.plan import plan

PAGES = 96
SECOND = 1_000_000_000


def life(seed: int, steps: int) -> list[Pages]:
    """A memory that grows, changes, and gives pages back."""
    rng, pages = np.random.default_rng(seed), dict[int, bytes]()
    moments: list[Pages] = []
    for _ in range(steps):
        for number in rng.integers(0, PAGES, 20).tolist():
            pages[number] = page(int(rng.integers(0, 30)))
        for number in rng.integers(0, PAGES, 5).tolist():
            pages.pop(number, None)
        moments.append(dict(pages))
    return moments


LIVES = {"web": life(1, 6), "db": life(2, 6)}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two guests, six steps, a second apart."""
    path = tmp_path / "life.rec"
    write_recording(path, LIVES, PAGES)
    return path


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(20_000)
    yield made
    made.close()


@pytest.fixture
def start(host: Host) -> Iterator[Callable[..., GuestProcess]]:
    """Start a guest from an image; whatever still lives at the end is killed."""
    made: list[GuestProcess] = []

    def begin(image: ImageSpec, name: str = "g", pages: int = PAGES) -> GuestProcess:
        spec = GuestSpec(name, pages, disk=NO_DISK, image=image)
        process = GuestProcess(spec, host, host.add(pages, name).mm, open_disk(NO_DISK))
        made.append(process)
        process.start()
        return process

    yield begin
    for process in made:
        process.kill()


def held(host: Host, mm: int) -> Pages:
    """The pages of a guest that have a frame of their own, read back from host memory."""
    memory = host.memory(mm)
    present = np.flatnonzero((memory.entries & (MAPPED | PRESENT)) == (MAPPED | PRESENT))
    contents = memory.read_pages(present)
    return {int(number): content.tobytes() for number, content in zip(present, contents, strict=True)}


def test_a_recorded_life_is_lived_again(start: Callable[..., GuestProcess], host: Host, recording: Path) -> None:
    guests = {name: start(ImageSpec(str(recording), True, name), name) for name in LIVES}
    for guest in guests.values():
        guest.ready()
    for tick in range(25):
        for name, guest in guests.items():
            expected = LIVES[name][min(tick // 4, 5)]
            assert held(host, guest.mm) == expected
            assert guest.verify() == len(expected)
            stats = guest.tick(250)
            then = LIVES[name][min((tick + 1) // 4, 5)]
            assert (stats.anonymous_pages, stats.free_pages) == (len(then), PAGES - len(then))
    host.check()


def test_speed(start: Callable[..., GuestProcess], host: Host, recording: Path) -> None:
    guest = start(ImageSpec(str(recording), True, "db", speed=2.5))
    guest.tick(1199)
    assert held(host, guest.mm) == LIVES["db"][2]
    guest.tick(1)
    assert held(host, guest.mm) == LIVES["db"][3]
    guest.tick(60_000)
    assert held(host, guest.mm) == LIVES["db"][5]


def test_a_reboot_begins_again(start: Callable[..., GuestProcess], host: Host, recording: Path) -> None:
    guest = start(ImageSpec(str(recording), True))
    guest.tick(4500)
    assert guest.reboot().boots == 2
    assert held(host, guest.mm) == LIVES["web"][0]
    guest.tick(1000)
    assert held(host, guest.mm) == LIVES["web"][1]
    assert guest.leave().state == "left"
    assert host.frames_in_use() == 0


def test_only_what_changed_is_stored(recording: Path) -> None:
    ram = Ram(PAGES)
    guest = RevivedGuest(GuestSpec("g", PAGES, image=ImageSpec(str(recording), True)), ram)  # type: ignore[arg-type]
    guest.boot()
    assert sorted(number for number, _ in ram.log) == sorted(LIVES["web"][0])
    for step in range(1, 6):
        ram.log.clear()
        guest.tick(1000)
        before, after = LIVES["web"][step - 1], LIVES["web"][step]
        assert sorted(n for n, size in ram.log if size) == sorted(n for n in after if before.get(n) != after[n])
        assert sorted(n for n, size in ram.log if not size) == sorted(before.keys() - after.keys())
    ram.log.clear()
    guest.tick(60_000)
    assert not ram.log
    guest.leave()


def test_verify_sees_a_wrong_byte(recording: Path) -> None:
    ram = Ram(PAGES)
    guest = RevivedGuest(GuestSpec("g", PAGES, image=ImageSpec(str(recording), True)), ram)  # type: ignore[arg-type]
    guest.boot()
    guest.tick(2000)
    assert guest.verify() == len(LIVES["web"][2])
    ram.bytes[min(LIVES["web"][2]), 99] ^= 1
    with pytest.raises(GuestError, match=r"guest 'g' does not hold what .*life\.rec \(web\) has at step 2"):
        guest.verify()
    guest.leave()
    with pytest.raises(GuestError, match="is left"):
        guest.verify()
    with pytest.raises(GuestError, match="cannot be powered on"):
        guest.boot()


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A raw dump of 64 pages with as many contents, none of them zero."""
    path = tmp_path / "memory.raw"
    path.write_bytes(b"".join(page(1000 + number) for number in range(64)))
    return path


def test_a_guest_boots_from_a_dump(start: Callable[..., GuestProcess], host: Host, dump: Path) -> None:
    guest = start(ImageSpec(str(dump)), pages=64)
    assert guest.ready().anonymous_pages == 64
    assert held(host, guest.mm) == {number: page(1000 + number) for number in range(64)}
    assert guest.tick(5000).state == "running"
    assert guest.verify() == 64
    assert guest.reboot().boots == 2


def test_a_guest_that_is_too_small_or_has_no_file_says_so(start: Callable[..., GuestProcess], dump: Path) -> None:
    with pytest.raises(UsageError, match=r"guest 'g' needs 64 pages of 4096 bytes for .*, not 63 of 4096"):
        start(ImageSpec(str(dump)), pages=63).ready()
    with pytest.raises(DumpError, match=r"gone\.rec: cannot be opened: No such file"):
        start(ImageSpec(str(dump.parent / "gone.rec"), replay=True)).ready()
    with pytest.raises(DumpError, match=r"is no recording"):
        start(ImageSpec(str(dump), replay=True)).ready()


def test_copies_share_all_after_three_passes(start: Callable[..., GuestProcess], host: Host, dump: Path) -> None:
    """Known answer: n copies of k different pages are k pages shared and (n - 1) k more sharing."""
    copies, contents = 5, 64
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    for number in range(copies):
        guest = start(ImageSpec(str(dump)), f"g{number}", contents)
        guest.ready()
        ksmd.enter(guest.mm)
    for _ in range(3):
        ksmd.scan(copies * contents)
    assert ksmd.counters()["pages_shared"] == contents
    assert ksmd.counters()["pages_sharing"] == (copies - 1) * contents
    host.check()


# In scenarios


def scenario(path: Path, **keys: Any) -> str:
    """A run of six seconds with ksmd fast enough for three passes a second."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": "vm", **keys}.items()]
    return 'duration = "6s"\n[ksm]\nrun = 1\npages_to_scan = 200\n[[guests]]\n' + "\n".join(lines) + "\n"


def test_copies_of_a_recording_in_a_run(tmp_path: Path, recording: Path) -> None:
    """The path is relative to the scenario's folder; guests take the recorded ones in turn."""
    text = scenario(tmp_path, replay="life.rec", count=4)
    specs = plan(load_scenario(write(tmp_path, text))).specs
    assert [spec.image for spec in specs] == [ImageSpec(str(recording), True, number) for number in range(4)]
    assert {spec.memory_pages for spec in specs} == {PAGES}
    assert [spec.name for spec in specs] == ["web", "db", "web-1", "db-1"]
    result = run(tmp_path, text)
    last = [LIVES[name][5] for name in ("web", "db", "web", "db")]
    held_pages = sum(map(len, last))
    contents = {content for pages in last for content in pages.values()}
    assert result.summary["allocated_mib"] == pytest.approx(held_pages / 256, abs=1e-3)
    assert result.summary["counters"]["pages_shared"] == len(contents)
    assert result.summary["counters"]["pages_sharing"] == held_pages - len(contents)
    again = run(tmp_path, text).summary
    assert again == result.summary
    assert [guest["name"] for guest in again["guests"]] == ["web", "db", "web-1", "db-1"]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"count": 1}, ["web"]),
        ({"name": "day", "count": 3}, ["day-web", "day-db", "day-web-1"]),
        ({"name": "day", "count": 1}, ["day"]),
        ({"guest": "db", "count": 1}, ["db"]),
        ({"guest": "db", "count": 2}, ["db-0", "db-1"]),
        ({"name": "copy", "guest": "db", "count": 2}, ["copy-0", "copy-1"]),
    ],
)
def test_guests_keep_their_recorded_names(
    tmp_path: Path, recording: Path, keys: dict[str, Any], names: list[str]
) -> None:
    text = scenario(tmp_path, replay="life.rec", **keys)
    assert [spec.name for spec in plan(load_scenario(write(tmp_path, text))).specs] == names


def test_recorded_names_may_be_anything_and_guests_have_names_of_their_own(tmp_path: Path) -> None:
    hostile: dict[str, list[Pages]] = {
        "\x1b]0;x\x07": [{0: page(1)}],
        "\u202eweb/../": [{0: page(2)}],
        "long" * 20: [{0: page(3)}],
        "": [{}],
    }
    write_recording(tmp_path / "life.rec", hostile, 4)
    text = scenario(tmp_path, replay="life.rec", count=4) + '[[guests]]\nname = "g_web_.._"\nworkload = "idle"\n'
    names = [spec.name for spec in plan(load_scenario(write(tmp_path, text))).specs]
    assert names == ["g__0_x_", "g_web_.._", ("long" * 8), "g", "g_web_.._-2"]


def test_memory_follows_the_file(tmp_path: Path, dump: Path) -> None:
    text = scenario(tmp_path, image="memory.raw", count=2)
    assert load_scenario(write(tmp_path, text)).guests[0].memory == 64 * 4096
    agreeing = scenario(tmp_path, image="memory.raw", memory=64 * 4096)
    assert load_scenario(write(tmp_path, agreeing), Overrides(guests=3)).pages == 3 * 64


WRONG = {
    "both": ({"image": "memory.raw", "replay": "x"}, r"small\.toml:\d+: key guests\[0\]\.replay: .*not from both"),
    "workload": (
        {"image": "memory.raw", "workload": "idle"},
        r"key guests\[0\]\.workload: does not apply.*leave",
    ),
    "disk": ({"replay": "life.rec", "disk": {}}, r"disk: does not apply to guests whose memory comes from replay"),
    "guest alone": ({"guest": "web"}, r"guest: says how to replay, and nothing is replayed"),
    "speed alone": ({"image": "memory.raw", "speed": 2}, r"speed: says how to replay"),
    "speed": ({"replay": "life.rec", "speed": 0}, r"speed: 0 will not do; give more than 0"),
    "no guest": ({"replay": "life.rec", "guest": "x"}, r"replay: .*has no guest 'x'; it has web, db"),
    "no file": ({"image": "no.raw"}, r"small\.toml:6: key guests\[0\]\.image: .*no\.raw"),
    "a dump": ({"replay": "memory.raw"}, r"replay: .*is no recording"),
    "memory": ({"image": "memory.raw", "memory": "8MiB"}, r"memory: 8MiB is not what memory\.raw holds.*give 262144"),
}


@pytest.mark.parametrize(("keys", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_go_together(
    tmp_path: Path, recording: Path, dump: Path, keys: dict[str, Any], message: str
) -> None:
    path = tmp_path / "small.toml"
    lines = [f"{key} = {json.dumps(value) if value != {} else '{}'}" for key, value in keys.items()]
    path.write_text('duration = "6s"\n[ksm]\nrun = 1\n[[guests]]\nname = "vm"\n' + "\n".join(lines) + "\n")
    with pytest.raises(ScenarioError, match=message) as refused:
        load_scenario(path)
    assert "\n" not in str(refused.value)


def test_flags_that_do_not_apply(tmp_path: Path, dump: Path) -> None:
    path = write(tmp_path, scenario(tmp_path, image="memory.raw"))
    for overrides, flag in ((Overrides(workload="idle"), "--workload"), (Overrides(memory="8MiB"), "--memory")):
        with pytest.raises(ScenarioError, match=f"^{flag}: "):
            load_scenario(path, overrides)


def test_a_scenario_says_where_its_guests_come_from(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, scenario(tmp_path, replay="life.rec", count=2))
    assert run_command(["scenario", "check", str(path)]) == 0
    assert f"2 × 384KiB replay of {recording} (vm)" in capsys.readouterr().out


def test_a_copy_costs_its_process_little(start: Callable[..., GuestProcess], tmp_path: Path) -> None:
    """Beside what a guest of few pages takes, which comes first: where no kernel was compiled yet, it compiles them.

    Pages are read 16 MiB at a time, and the allocator may keep such a piece; a copy of all would be 64 MiB.
    """
    rng, taken = np.random.default_rng(1), []
    for count in (16, 16384):
        pages = {number: rng.bytes(4096) for number in range(count)}
        write_recording(tmp_path / f"{count}.rec", {"a": [pages]}, count)
        guest = start(ImageSpec(str(tmp_path / f"{count}.rec"), True), f"of {count}", pages=count)
        guest.ready()
        assert guest.verify() == count
        assert guest.pid is not None
        taken.append(private_kib(guest.pid))
    assert 0 < taken[0] < 30 * 1024
    assert 0 < taken[1] < taken[0] + 48 * 1024


def test_the_digest_is_what_it_says(recording: Path, host: Host, start: Callable[..., GuestProcess]) -> None:
    guest = start(ImageSpec(str(recording), True))
    guest.ready()
    with Recording(recording) as opened:
        for step in range(6):
            assert digest(held(host, guest.mm)) == opened.snapshot(0, step).digest
            guest.tick(1000)
