"""Fingerprints that leave the host: equal to a direct scan, comparable by salt alone, and without contents."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.scan_oracle import PAGE, ListDump, check, page, write_raw
from vmdedup.errors import DumpError, UsageError
from vmdedup.scan import scan_dumps
from vmdedup.scan.fingerprint import Hasher

pytestmark = pytest.mark.usefixtures("one_decoder")

NUMBERS = st.lists(st.none() | st.integers(0, 6), min_size=1, max_size=30)


def without_names(document: dict[str, Any]) -> dict[str, Any]:
    """What must be equal however the contents were read."""
    dumps = [{key: value for key, value in dump.items() if key != "format"} for dump in document["dumps"]]
    places = [[entry["copies"], sorted(str(place) for place in entry["dumps"])] for entry in document["top"]]
    return {"total": document["total"], "dumps": dumps, "matrix": document["matrix"], "top": places}


@settings(max_examples=30)
@given(st.lists(NUMBERS, min_size=1, max_size=3), st.booleans())
def test_scanning_exports_is_scanning_dumps(numbers: list[list[int | None]], together: bool) -> None:
    pages = [[None if n is None else page(n) for n in dump] for dump in numbers]

    def dumps() -> list[ListDump]:
        return [ListDump(f"d{at}", dump, first=50) for at, dump in enumerate(pages)]

    direct = scan_dumps(dumps(), salt="the same").document
    with tempfile.TemporaryDirectory() as folder:
        for number, group in enumerate([dumps()] if together else [[dump] for dump in dumps()]):
            scan_dumps(group, salt="the same", hashes_only=Path(folder, f"{number}.parquet"))
        exported = scan_dumps(sorted(Path(folder).iterdir()), threads=2).document
    assert without_names(exported) == without_names(direct)
    assert exported["salt_id"] == direct["salt_id"]


def test_the_file_has_no_contents_and_no_salt(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    secret, text = "the salt of the earth", b"a text that stands in memory"
    dump = write_raw(tmp_path / "a.raw", [text.ljust(PAGE, b"\0"), page(0), page(3), page(3)])
    document = scan_dumps([dump], salt=secret, hashes_only=path).document
    stored = path.read_bytes()
    assert text not in stored
    assert secret.encode() not in stored
    frame = pl.read_parquet(path)
    assert frame.columns == ["dump", "region", "page", "hash_high", "hash_low", "zero"]
    assert frame["zero"].to_list() == [False, True, False, False]
    assert frame["page"].to_list() == [0, 1, 2, 3]
    assert frame["dump"].to_list() == [str(dump)] * 4
    assert len(frame.unique(["hash_high", "hash_low"])) == 3
    assert document["salt_id"] not in (None, secret)
    unsalted = Hasher().digest(page(3))
    assert unsalted not in stored
    assert int.from_bytes(unsalted[:8], "big") not in frame["hash_high"].to_list()


def test_salts_decide_what_can_be_compared(tmp_path: Path) -> None:
    dump = write_raw(tmp_path / "a.raw", [page(0), page(2)])
    for name, salt in (("one", "x"), ("two", "y"), ("own", None), ("other", None)):
        scan_dumps([dump], salt=salt, hashes_only=tmp_path / name)
    ids = {name: scan_dumps([tmp_path / name]).document["salt_id"] for name in ("one", "two", "own", "other")}
    assert len(set(ids.values())) == 4
    for other in ("two", "own"):
        with pytest.raises(UsageError, match="different salts; export both with the same --salt"):
            scan_dumps([tmp_path / "one", tmp_path / other])
    with pytest.raises(UsageError, match="different salts; give the export's --salt"):
        scan_dumps([tmp_path / "one", dump])
    total = scan_dumps([tmp_path / "one", dump], salt="x").total
    assert (total["zero"], total["distinct"], total["sharing_between"]) == (2, 2, 1)


def test_dumps_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    dump = write_raw(tmp_path / "a.raw", [page(2)])
    for name in ("one", "two"):
        scan_dumps([dump], salt="x", hashes_only=tmp_path / name)
    names = [row["name"] for row in scan_dumps([tmp_path / "one", tmp_path / "two"]).dumps]
    assert names == [f"{tmp_path}/one:{dump}", f"{tmp_path}/two:{dump}"]


def test_an_interrupted_export_has_what_was_read(tmp_path: Path) -> None:
    pages = [page(n % 4) for n in range(30)]
    asked = iter([False] * 5 + [True] * 99)
    path = tmp_path / "a.parquet"
    scan_dumps([ListDump("d", pages)], salt="x", hashes_only=path, stop=lambda: next(asked), threads=1)
    document = scan_dumps([path]).document
    check(document, [pages[:15]])
    assert document["dumps"][0]["absent"] == 15


def damaged(frame: pl.DataFrame, metadata: dict[str, str], how: str) -> tuple[pl.DataFrame, dict[str, str]]:
    """An export with something wrong."""
    about = metadata["vmdedup"]
    changes: dict[str, tuple[pl.DataFrame, str]] = {
        "fewer rows": (frame.head(1), about),
        "a region too many": (frame.with_columns(region=pl.lit(3, pl.Int32)), about),
        "nothing in a row": (frame.with_columns(page=pl.lit(None, pl.Int64)), about),
        "no column": (frame.drop("zero"), about),
        "no metadata": (frame, "{"),
        "another kind": (frame, '{"kind": "recipe"}'),
        "another version": (frame, about.replace('"schema_version": 1', '"schema_version": 9')),
        "no names": (frame, about.replace('"name"', '"gnome"')),
    }
    changed, said = changes[how]
    return changed, {"vmdedup": said}


@pytest.mark.parametrize(
    "how",
    [
        "fewer rows",
        "a region too many",
        "nothing in a row",
        "no column",
        "no metadata",
        "another kind",
        "another version",
        "no names",
    ],
)
def test_damaged_exports(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.parquet"
    scan_dumps([write_raw(tmp_path / "a.raw", [page(2), page(3)])], hashes_only=path)
    frame, metadata = damaged(pl.read_parquet(path), pl.read_parquet_metadata(path), how)
    frame.write_parquet(path, metadata=metadata)
    with pytest.raises(DumpError, match=r"a\.parquet: .*export"):
        scan_dumps([path])


def test_a_truncated_export(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    scan_dumps([write_raw(tmp_path / "a.raw", [page(2), page(3)])], hashes_only=path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DumpError, match=r"a\.parquet: is a Parquet file, but no export"):
        scan_dumps([path])


def test_exports_are_not_exported_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    scan_dumps([write_raw(tmp_path / "a.raw", [page(2)])], salt="x", hashes_only=path)
    with pytest.raises(UsageError, match="need not be exported again"):
        scan_dumps([path], salt="x", hashes_only=tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()
