"""Guests out of files; what cannot be read, or not be compared, is told in a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vmdedup.cli import run_command
from vmdedup.errors import DumpError, UsageError
from vmdedup.place.fleet import fleet_of
from vmdedup.place.sources import read_guests
from vmdedup.place.umass import is_trace, read_trace
from vmdedup.units import PAGE_SIZE

HEAD = b"OS: Darwin 9.4.0\nprocesses:\n  1 launchd\n  77 Safari\n"
HASHES = np.array([0x80000001, 0x80000002, 0x80000001, 0xFFFFFFFE], "<u4")


def nobody(done: int, total: int) -> None:
    assert done <= total


def dump(path: Path, pages: list[int]) -> str:
    """A raw dump whose pages are filled with these bytes."""
    path.write_bytes(b"".join(bytes([page]) * PAGE_SIZE for page in pages))
    return str(path)


@pytest.fixture
def dumps(tmp_path: Path) -> list[str]:
    return [dump(tmp_path / f"{name}.raw", pages) for name, pages in (("a", [0, 1, 2, 2]), ("b", [1, 3]), ("c", [9]))]


def export(folder: Path, name: str, dumps: list[str], salt: str) -> str:
    assert run_command(["scan", *dumps, "--hashes-only", str(folder / name), "--salt", salt, "--json"]) == 0
    return str(folder / name)


def test_an_export_is_a_host_and_its_dumps_are_guests(tmp_path: Path, dumps: list[str]) -> None:
    one = export(tmp_path, "one.parquet", dumps[:2], "x")
    two = export(tmp_path, "two.parquet", dumps[2:], "x")
    guests = read_guests([one, two], None, 1, nobody)
    found = [(guest.pages, len(guest.contents), guest.host) for guest in guests]
    assert found == [(4, 3, one), (2, 2, one), (1, 1, "")]
    fleet = fleet_of(guests)
    assert (fleet.used([0, 1]), fleet.used([0, 1, 2])) == (4, 5)
    same = fleet_of(read_guests([one, dumps[2]], "x", 1, nobody))
    assert same.used([0, 1, 2]) == 5


def test_salts_must_be_the_same(tmp_path: Path, dumps: list[str]) -> None:
    one = export(tmp_path, "one.parquet", dumps[:1], "x")
    two = export(tmp_path, "two.parquet", dumps[1:], "y")
    with pytest.raises(UsageError, match="have different salts; export both with the same --salt"):
        read_guests([one, two], None, 1, nobody)
    with pytest.raises(UsageError, match="give the export's --salt"):
        read_guests([one, dumps[1]], None, 1, nobody)
    with pytest.raises(UsageError, match="this is none"):
        read_guests([f"{dumps[0]}*3"], None, 1, nobody)


def test_a_trace_of_umass_is_read(tmp_path: Path) -> None:
    plain, counted = tmp_path / "plain.dat", tmp_path / "counted.dat"
    plain.write_bytes(HEAD + HASHES.tobytes())
    counted.write_bytes(HEAD + b"Pages: 3\n" + HASHES.tobytes() + b"bloom")
    assert is_trace(str(plain))
    guest = read_trace(str(plain), 1)
    assert (guest.pages, guest.contents.tolist()) == (4, sorted(set(HASHES.tolist())))
    guest = read_trace(str(counted), 1)
    assert (guest.pages, guest.contents.tolist()) == (3, [0x80000001, 0x80000002])
    assert [each.pages for each in read_guests([str(plain), str(counted)], None, 1, nobody)] == [4, 3]


@pytest.mark.parametrize("cut", [1, 5, 16])
def test_a_trace_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    for name, head in (("said.dat", HEAD + b"number of pages: 4\n"), ("unsaid.dat", HEAD)):
        (tmp_path / name).write_bytes((head + HASHES.tobytes())[:-cut])
        with pytest.raises(DumpError, match=rf"{name}: is cut short"):
            read_trace(str(tmp_path / name), 1)


def test_traces_stand_beside_their_like_only(tmp_path: Path, dumps: list[str]) -> None:
    trace = tmp_path / "x.dat"
    trace.write_bytes(HEAD + HASHES.tobytes())
    with pytest.raises(UsageError, match="traces have other hashes; place them apart"):
        read_guests([dumps[0], str(trace)], None, 1, nobody)


def test_guests_of_a_model_share_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boots = [dump(tmp_path / f"{n}.raw", [1, 2, 3, 3, 0, 10 + n, 20 + n]) for n in range(3)]
    model = str(tmp_path / "web.guest")
    assert run_command(["learn", *boots, "-o", model, "-q"]) == 0
    guests = read_guests([f"{model}*4", boots[0]], None, 1, nobody)
    assert [guest.name for guest in guests[:2]] == [f"{model}-0", f"{model}-1"]
    assert {guest.pages for guest in guests} == {7}
    fleet = fleet_of(guests)
    assert fleet.used([0, 1, 2, 3]) < 4 * fleet.used([0])
    one = export(tmp_path, "one.parquet", boots[:1], "x")
    with pytest.raises(UsageError, match="its fingerprints are salted"):
        read_guests([model, one], None, 1, nobody)
    capsys.readouterr()


def test_the_command_answers(tmp_path: Path, dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    one = export(tmp_path, "one.parquet", dumps, "x")
    capsys.readouterr()
    assert run_command(["place", one, "--host-memory", "16KiB", "--algorithm", "first-fit,tree", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(plan["placed"], plan["hosts_needed"]) for plan in found["plans"]] == [(3, 2), (3, 2)]
    assert found["hosts_without_sharing"] == 2
    assert found["plans"][0]["promised_mib"] == 2 / 256
    assert run_command(["place", one, "--host-memory", "16KiB", "--hosts", "1", "--sample", "1", "--no-color"]) == 0
    text = capsys.readouterr().out
    assert "3 guests of 28KiB on hosts of 16KiB, of which there are 1" in text
    # Long paths are wrapped, wherever that falls.
    assert f"best-fit: no room for {dumps[2]}".replace(" ", "") in "".join(text.split())


def test_nothing_but_the_answer_is_printed(dumps: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("highspy", reason="needs highspy: pip install 'vmdedup[place]'")
    assert run_command(["place", *dumps, "--host-memory", "16KiB", "--algorithm", "exact", "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["plans"][0]["hosts_needed"] == 2
    assert not captured.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host-memory", "8KiB"], "a.raw has 16KiB, more than any host (8KiB); give a larger --host-memory"),
        (["--host-memory", "1MiB", "--algorithm", "best"], "no algorithm 'best'"),
        (["--host-memory", "1MiB", "--scale", "4"], "are of --emulate"),
        (["--host-memory", "1MiB", "--emulate", "0"], "in no time nothing is shared"),
        (["--host-memory", "1MiB", "--network", "0"], "nothing is copied"),
        (["--host-memory", "1MiB", "--emulate", "1s", "--scheduler", "tcp://x:1", "--jobs", "2"], "leave --jobs out"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    dumps: list[str], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["place", *dumps, *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
