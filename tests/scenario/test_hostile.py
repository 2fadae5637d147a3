"""Scenarios, and other TOML files, that nobody means: each is one line that says where, at once, and nothing is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.report.compare.published import published_figures
from vmdedup.scenario.load import load_scenario
from vmdedup.toml import MOST_BYTES, TomlError, parse

GUEST = "[[guests]]\n"
NINES = "9" * 5000


def refusal(folder: Path, text: str | bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """What `scenario check` says of a file, without the file's name."""
    path = folder / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert run_command(["scenario", "check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert len(err) < 1000
    start = f"vmdedup: {path}"
    assert err.startswith(start)
    return err.removeprefix(start)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 1\na = " + "[" * 2000 + "]" * 2000, ":2: nested deeper than 32 levels"),
        ("seed = 1\na = " + "[" * 100_000 + "]" * 100_000, ":2: nested deeper than 32 levels"),
        ("\na = " + "{a=" * 100_000, ":2: nested deeper than 32 levels"),
        ("\n\n" + "a." * 100_000 + "a = 1", ":3: nested deeper than 32 levels"),
        ("[" + "a." * 100_000 + "a]", ":1: nested deeper than 32 levels"),
        (f"\n\nseed = {NINES}\n{GUEST}", ":3: a number or key of 5000 characters"),
        (f"seed = 0x{'f' * 500}\n{GUEST}", ":1: key seed: the number takes more than 64 bits"),
        (f"seed = 18446744073709551615\n{GUEST}", ":1: key seed: 18446744073709551615 will not do"),
        (f"seed = inf\n{GUEST}", ":1: key seed: inf is no number"),
        (f"{GUEST}speed = nan\n", ":2: key guests[0].speed: nan is no number"),
        (f"[policy]\ncpu = -inf\n{GUEST}", ":2: key policy.cpu: -inf is no number"),
        (f"{GUEST}jitter = 1e999\n", ":2: key guests[0].jitter: inf is no number"),
        (f"seed = 1979-05-27\n{GUEST}", ":1: key seed: datetime.date(1979, 5, 27) will not do; give a valid integer"),
        (f"[ksm]\nrun = 07:32:00\n{GUEST}", ":2: key ksm.run: run refuses '07:32:00': EINVAL"),
        (f"duration = '{'9' * 4000}h'\n{GUEST}", ":1: key duration: duration '999"),
        (f"duration = '9999999h'\n{GUEST}", ":1: key duration: duration '9999999h' is out of range"),
        (f"{GUEST}memory = '16777216TiB'\n", ":2: key guests[0].memory: size '16777216TiB' is out of range"),
        (f'{GUEST}disk.path = "a\\u0000b"\n', ":2: key guests[0].disk.path: the text has a character NUL"),
        (f"title = '{'x' * 5000}'\n{GUEST}", ":1: key title: the text has 5000 characters"),
        (GUEST * 5000, ":1: key guests: there are 5000; give at most 4096"),
        (f"{GUEST}x = 1\n" * 3000, ":2: key guests[0].x: unknown key"),
        ("#" * (MOST_BYTES + 1), " has more than 1024 KiB"),
        (b"seed = 1\ntitle = '\xe9'\n", ":2: not text (byte 18 is no UTF-8); save it as UTF-8"),
        ("seed = 1\n".encode("utf-16"), ":1: not text (byte 0 is no UTF-8)"),
        ("ksm = 3\n[[guests]]\n", ":1: key ksm: 3 is no table"),
        ("policy = 3\n[[guests]]\n", ":1: key policy: 3 is no table"),
        (f"title = 'a\u2028b\x85c'\n\n{GUEST}x = 1\n", ":4: key guests[0].x: unknown key"),
        ("[ksm]\nfrom = 3\n[[guests]]\n", ":2: key ksm.from: this is no file's name"),
    ],
)
def test_one_line_says_where(text: str | bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(tmp_path, text, capsys).startswith(said)


@pytest.mark.parametrize("flags", [["--set", "run=1"], ["--policy", "ideal"], ["--set", f"run={NINES}"]])
def test_flags_meet_a_section_that_is_no_table(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text("ksm = 3\npolicy = 4\n[[guests]]\n")
    assert run_command(["run", str(tmp_path / "mine.toml"), *flags]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is no table" in err


def test_a_byte_order_mark_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 7\r\n[[guests]]\r\n")
    assert load_scenario(path).seed == 7
    assert ":3: key guests[0].x" in refusal(tmp_path, b"\xef\xbb\xbfseed = 7\r\n[[guests]]\r\nx = 1\r\n", capsys)
    path.write_text("\ufefflabel = 'a'\nsource = 'b'\ncertainty = 'c'\n[levels]\nsaved_pages = 3\n")
    assert published_figures(path).levels == {"saved_pages": 3}


@pytest.mark.parametrize("command", [["scenario", "check"], ["scenario", "show"], ["run"], ["live", "run"]])
def test_what_is_no_file_is_not_waited_for(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for name, said in (
        (tmp_path / "pipe.toml", "is a pipe and no file"),
        (tmp_path / "folder.toml", "is a folder"),
        ("/dev/zero", "is a device and no file"),
    ):
        assert run_command([*command, str(name)]) == 2
        assert f"{name}: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "x = '''[[[[''''\ny = \"\"\"" + "[" * 99 + '\\"""""\n',
        "x = '" + "[" * 99 + "'  # " + "[" * 99 + "\n",
        'x = "\\"' + "." * 99 + '"\n',
        "x = [" + "1.5, " * 99 + "]\n",
        "".join(f"[a{number}.b.c]\n" for number in range(99)),
    ],
)
def test_what_only_looks_deep_is_read(text: str) -> None:
    assert parse(text)


def test_published_figures_say_where(tmp_path: Path) -> None:
    for text, said in (
        ("a = " + "[" * 9999, ":1: nested"),
        (f"\na = {NINES}", ":2: a number"),
        ("\nx y", ":2: not TOML"),
    ):
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(UsageError, match=rf"neither .*: {tmp_path / 'a.toml'}{said}"):
            published_figures(tmp_path / "a.toml")


def test_the_line_is_known() -> None:
    with pytest.raises(TomlError) as caught:
        parse("a = 1\n\nb = \n")
    assert caught.value.line == 3
