"""A fuzzer of documents that commands read: python tests/fuzz_documents.py [--seconds 600] [--seed N] [KIND…]

As fuzz_dumps.py, by whose means it runs: each case is a changed document, read in a child with bounded memory and time,
and may end in two ways only: it is read, or refused by an error of ours in one line that a terminal can show. A kind is
added to KINDS: what writes a document, changed by the dice, and what reads it.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from fuzz_dumps import main, mutated

from vmdedup.errors import VmdedupError
from vmdedup.scan import scan_dumps
from vmdedup.shown import json_text, shown

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    1 << 31,
    1 << 52,
    1 << 63,
    1 << 200,
    "",
    "x" * 5000,
    "\x1b]0;x\x07",
]
HOSTILE += ["\u202e\udcff", [], {}, [[]], {"name": 1}, float("nan"), float("inf"), [0] * 3, "9" * 5000]


@dataclass(frozen=True)
class Kind:
    """write(dice, folder): a changed document in an empty folder. read: all that a command would do with it."""

    write: Callable[[random.Random, Path], Path]
    read: Callable[[Path], str]


def changed(document: Any, dice: random.Random) -> Any:
    """A JSON document with one node that is another."""
    if isinstance(document, dict) and document and dice.random() < 0.8:
        key = dice.choice(sorted(document))
        rest = {name: value for name, value in document.items() if name != key}
        return rest if dice.random() < 0.1 else rest | {key: changed(document[key], dice)}
    if isinstance(document, list) and document and dice.random() < 0.8:
        at = dice.randrange(len(document))
        times = dice.choice((0, 1, 1, 1, 2))
        return [*document[:at], *[changed(document[at], dice)] * times, *document[at + 1 :]]
    return dice.choice(HOSTILE)


def write_export(dice: random.Random, folder: Path) -> Path:
    """An export whose bytes, columns, values or metadata are changed."""
    dump, path = folder / "a.raw", folder / "a.parquet"
    dump.write_bytes(b"".join(dice.randbytes(8) * 512 if dice.random() < 0.7 else bytes(4096) for _ in range(20)))
    scan_dumps([dump], salt="x", hashes_only=path)
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


KINDS = {"export": Kind(write_export, read_export)}


def run_case(kind: str, seed: int, case: int, folder: Path) -> tuple[str, str]:
    """One case: "read" or "refused" and the message; "finding" and why."""
    dice = random.Random(f"{kind} {seed} {case}")
    path = KINDS[kind].write(dice, folder)
    try:
        told = KINDS[kind].read(path)
        what = "read"
    except VmdedupError as error:
        told, what = shown(error), "refused"
        if len(told) > 6000 or isinstance(error.__cause__, MemoryError):
            return "finding", f"memory, or no one line: {told[:1000]}"
    except BaseException:
        return "finding", traceback.format_exc()
    if not told.replace("\n", " ").isprintable() and what == "read":
        return "finding", f"not fit for a terminal: {told[:1000]!r}"
    return what, told


if __name__ == "__main__":
    sys.exit(main(list(KINDS), run_case, __file__))
