"""Files written for users: what may be replaced, and what is left when writing fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmdedup.errors import UsageError, VmdedupError
from vmdedup.outputs import MARK, Output


def written(path: Path, content: bytes = b"new", **wishes: object) -> bytes:
    """What stands at path after an output there."""
    with Output(path, **wishes) as output:  # type: ignore[arg-type]
        output.write_bytes(content)
    return path.read_bytes()


def test_a_new_file_has_its_usual_mode_and_stands_alone(tmp_path: Path) -> None:
    assert written(tmp_path / "a.svg") == b"new"
    assert os.listdir(tmp_path) == ["a.svg"]
    os.umask(mask := os.umask(0o022))
    assert (tmp_path / "a.svg").stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_somebody_made_stays(tmp_path: Path) -> None:
    path = tmp_path / "web1.raw"
    path.write_bytes(b"a dump")
    with pytest.raises(UsageError, match="is there already; choose another file, or replace it with --force"):
        Output(path)
    assert path.read_bytes() == b"a dump"
    assert os.listdir(tmp_path) == ["web1.raw"]


def test_force_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    assert written(path, force=True) == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("old", [b"", f"<!-- {MARK} -->\n# page".encode(), b"x" * 9000 + MARK.encode()])
def test_empty_files_and_our_own_pages_are_replaced(tmp_path: Path, old: bytes) -> None:
    (tmp_path / "page.md").write_bytes(old)
    assert written(tmp_path / "page.md") == b"new"


@pytest.mark.parametrize("name", ["dump", "linked"])
def test_what_is_read_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "dump").write_bytes(b"a dump")
    os.link(tmp_path / "dump", tmp_path / "linked")
    with pytest.raises(UsageError, match="is read by this very command"):
        Output(tmp_path / name, force=True, inputs=[tmp_path / "dump"])
    assert (tmp_path / "dump").read_bytes() == b"a dump"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.symlink_to("nowhere"), "is a symbolic link"),
        (lambda path: os.mkfifo(path), "is no regular file"),
    ],
)
def test_only_regular_files_are_replaced(tmp_path: Path, make: object, what: str) -> None:
    make(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(UsageError, match=what):
        Output(tmp_path / "a", force=True)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["missing/a", "n" * 300, "a\0b"])
def test_a_place_that_cannot_be_had_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: .*; choose another file"):
        Output(tmp_path / name)


def test_a_name_of_255_letters_can_be_had(tmp_path: Path) -> None:
    assert written(tmp_path / ("n" * 255)) == b"new"


def test_what_appears_meanwhile_stays(tmp_path: Path) -> None:
    with Output(tmp_path / "a") as output:
        (tmp_path / "a").write_bytes(b"somebody else's")
        with pytest.raises(VmdedupError, match="is there already"):
            output.write_bytes(b"new")
    assert (tmp_path / "a").read_bytes() == b"somebody else's"
    assert os.listdir(tmp_path) == ["a"]


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with Output(tmp_path / "a") as output, pytest.raises(VmdedupError, match="no space left; free some"):
        output.write(fail)
    with pytest.raises(KeyboardInterrupt), Output(tmp_path / "a"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_file_systems_without_nameless_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.open

    def refuse(path: object, flags: int, mode: int = 0o777, **more: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return plain(path, flags, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("vmdedup.outputs.os.open", refuse)
    with Output(tmp_path / "b"):
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []
    assert written(tmp_path / "a") == b"new"
    assert os.listdir(tmp_path) == ["a"]
