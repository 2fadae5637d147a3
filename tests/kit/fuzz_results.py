"""Directories of results for the fuzzer of documents: changed ones of a run, of several policies, of experiments."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path

import polars as pl

from fuzz_dumps import mutated
from kit.compared import result
from kit.fuzz_cases import HOSTILE, changed
from vmdedup.report.compare.document import compare
from vmdedup.report.compare.reading import read_figures
from vmdedup.report.experiments import as_text
from vmdedup.result.decoding import DECODER
from vmdedup.result.experiments import read_experiments
from vmdedup.result.opening import open_results
from vmdedup.result.policies import save_document, side_by_side
from vmdedup.shown import json_text, shown_lines

EXPERIMENTS = Path(__file__).parent.parent.parent / "docs" / "results" / "experiments.json"
PUBLISHED = """label = "a"
source = "b"
certainty = "c"
reading_error = 1.5
[levels]
saved_pages = 70
used_pages = [3, 9]
[reading_errors]
used_pages = 0
[[series]]
time_s = 1.0
saved_pages = 3
"""


@cache
def experiments() -> str:
    """A document of experiments, cut to two."""
    document = json.loads(EXPERIMENTS.read_text())
    return json.dumps(document | {"experiments": document["experiments"][:2]})


def write_results(dice: random.Random, folder: Path) -> Path:
    """Results of a run, of policies, of experiments, or published figures, of which one file is changed."""
    shape = dice.choice(("run", "run", "policies", "experiments", "published"))
    if shape == "experiments":
        (folder / "experiments.json").write_text(experiments())
    elif shape == "published":
        (folder / "figures.toml").write_text(PUBLISHED)
    else:
        results = {name: result() for name in (("ksm", "esx") if shape == "policies" else ("a",))}
        for name, each in results.items():
            each.save(folder / "run" / name)
        if shape == "policies":
            save_document(side_by_side(results, list(results), "pages"), folder / "run")
    path = dice.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    change(path, dice)
    kept = {"experiments": "experiments.json", "published": "figures.toml", "run": "run/a", "policies": "run"}
    return folder / kept[shape]


def change(path: Path, dice: random.Random) -> None:
    """Change a file: bytes, a node of a document, or a table's columns or values."""
    if dice.random() < 0.3 or path.suffix == ".toml":
        path.write_bytes(mutated(path.read_bytes(), dice))
    elif path.suffix == ".json":
        path.write_text(json.dumps(changed(json.loads(path.read_text()), dice)))
    elif path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        name = dice.choice(frame.columns or ["x"])
        odd = dice.choice([None, -1, 0, 1e308, float("nan"), 1 << 62, "x" * 2000, "\x1b[2J", dice.choice(HOSTILE)])
        if isinstance(odd, int) and abs(odd) >= 1 << 63:
            odd = float(odd)
        if isinstance(odd, str):
            odd = odd.encode(errors="replace").decode()  # half a surrogate pair cannot be in a table
        odd = {"name": 1} if odd == {} else odd  # nor can what has no fields
        if dice.random() < 0.2:
            frame = dice.choice([frame.drop(name, strict=False), frame.clear(), pl.concat([frame, frame])])
        else:
            frame = frame.with_columns(pl.Series(name, [odd] * len(frame), strict=False))
        frame.write_parquet(path)


def read_results(path: Path) -> str:
    """Compare a run with itself, or show experiments."""
    if path.name == "experiments.json":
        return shown_lines("\n".join(as_text(each) for each in read_experiments(path)["experiments"]))
    document = compare(read_figures([path, path]))
    summaries = {} if path.suffix == ".toml" else {name: each.summary for name, each in open_results(path).items()}
    return json_text({"compared": document, "summaries": summaries})


def prepare_results() -> None:
    """Write and read each file once, so that what libraries set up on first use is no case's; keep who decodes."""
    DECODER.__enter__()
    with tempfile.TemporaryDirectory() as name:
        place = result().save(Path(name) / "a")
        read_results(place)
        pl.read_parquet(place / "series.parquet").write_parquet(place / "series.parquet")
        read_results(place)
