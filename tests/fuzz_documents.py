"""A fuzzer of documents that commands read: python tests/fuzz_documents.py [--seconds 600] [--seed N] [KIND…]

As fuzz_dumps.py, by whose means it runs: each case is a changed document, read in a child with bounded memory and time,
and may end in two ways only: it is read, or refused by an error of ours in one line that a terminal can show. A kind is
added to KINDS: what writes a document, changed by the dice, and what reads it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from fuzz_dumps import main, mutated
from kit.fuzz_cases import Kind, changed, run_kind
from kit.fuzz_results import prepare_results, read_results, write_results
from kit.fuzz_scenarios import read_scenario, read_tunables, write_listing, write_scenario
from kit.fuzz_texts import compile_all, read_record, read_script, write_record, write_script
from vmdedup.result.decoding import DECODER
from vmdedup.scan import scan_dumps
from vmdedup.shown import json_text


@cache
def good_export(number: int) -> bytes:
    """An export of a dump of 20 pages. Made once: a salt takes longer than all else of a case."""
    dice = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        dump, path = Path(folder) / "a.raw", Path(folder) / "a.parquet"
        dump.write_bytes(b"".join(dice.randbytes(8) * 512 if dice.random() < 0.7 else bytes(4096) for _ in range(20)))
        scan_dumps([dump], salt="x", hashes_only=path)
        return path.read_bytes()


def write_export(dice: random.Random, folder: Path) -> Path:
    """An export whose bytes, columns, values or metadata are changed."""
    path = folder / "a.parquet"
    path.write_bytes(good_export(dice.randrange(10)))
    if dice.random() < 0.5:
        path.write_bytes(mutated(path.read_bytes(), dice))
        return path
    frame, marks = pl.read_parquet(path), pl.read_parquet_metadata(path)
    text = marks["vmdedup"]
    if dice.random() < 0.5:
        frame = dice.choice(FRAMES)(frame, dice)
    if dice.random() < 0.5:
        text = json.dumps(changed(json.loads(text), dice))
    if dice.random() < 0.1:
        text = mutated(text.encode(), dice).decode(errors="replace")
    frame.write_parquet(path, metadata={"vmdedup": text}, row_group_size=dice.choice((None, 3)))
    return path


def cast(frame: pl.DataFrame, dice: random.Random) -> pl.DataFrame:
    """One column of another type."""
    name = dice.choice(frame.columns)
    kinds = [pl.Float64, pl.Float32, pl.Int128, pl.Int8, pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.UInt64]
    numbers = pl.Series(name, range(len(frame)), dtype=pl.Int64).cast(dice.choice(kinds), strict=False)
    if numbers.dtype.is_float() and dice.random() < 0.5:
        numbers = numbers * float(dice.choice(("nan", "inf", "-inf")))
    return frame.with_columns(numbers.alias(name))


def value(frame: pl.DataFrame, dice: random.Random) -> pl.DataFrame:
    """One value of a column is another."""
    name, at = dice.choice([column for column in frame.columns if column != "dump"]), dice.randrange(len(frame))
    values = frame[name].to_list()
    values[at] = dice.choice([None, 0, 1, 5, 19, 20, 1 << 30])
    return frame.with_columns(pl.Series(name, values, dtype=frame[name].dtype, strict=False))


def columns(frame: pl.DataFrame, dice: random.Random) -> pl.DataFrame:
    """A column is missing, or there is one more."""
    if dice.random() < 0.5:
        return frame.drop(dice.choice(frame.columns))
    return frame.with_columns(pl.lit(1).alias(dice.choice(["\x1b[31m", "x" * 3000, "\u202e"])))


def rows(frame: pl.DataFrame, dice: random.Random) -> pl.DataFrame:
    """Rows are missing, twice there, or in another order."""
    return dice.choice([frame.head(3), pl.concat([frame, frame]), frame.reverse(), frame.clear()])


FRAMES: list[Callable[[pl.DataFrame, random.Random], pl.DataFrame]] = [cast, cast, value, value, columns, rows]


def read_export(path: Path) -> str:
    """Scan it."""
    return json_text(scan_dumps([path], threads=1).document)


def prepare_export() -> None:
    """Have one process decode all cases, until it dies of one."""
    DECODER.__enter__()


KINDS = {
    "export": Kind(write_export, read_export, prepare_export),
    "scenario": Kind(write_scenario, read_scenario),
    "listing": Kind(write_listing, read_tunables),
    "run": Kind(write_results, read_results, prepare_results),
    "recording": Kind(write_record, read_record),
    "script": Kind(write_script, read_script, compile_all),
}


def run_case(kind: str, seed: int, case: int, folder: Path) -> tuple[str, str]:
    """One case, as fuzz_dumps.main has it."""
    return run_kind(KINDS, kind, seed, case, folder)


if __name__ == "__main__":
    sys.exit(main(list(KINDS), run_case, __file__))
