"""What policies for phones make of a recorded zygote, and the page that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zygote_composition import Class, of_recording, of_scenario

OURS = "background"
POLICIES = (OURS, "similar_page", "zram", "ksm", "uksm", "n_chance", "exclusion", "group_limited")
RATES = (50, 500)  # pages every 20 ms
EMULATED = "phone-day"
HELD, RECORDING, SCENARIO = "held.json", "phone-real.rec", "phone-real.toml"


def outcomes(folder: Path, rate: int) -> list[Mapping[str, Any]]:
    """The summary of each policy's run of the recording at a rate, unless the folder has that of an earlier run."""
    kept = folder / f"policies-{rate}.json"
    if not kept.exists():
        options = ["--policy", ",".join(POLICIES), "--set", f"pages_to_scan={rate}", "--json", "--quiet"]
        command = [sys.executable, "-m", "vmdedup", "run", str(folder / SCENARIO), *options]
        found = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if found.returncode:
            sys.exit(found.returncode)
        kept.write_bytes(found.stdout)
    runs: list[Mapping[str, Any]] = json.loads(kept.read_text())["policies"]
    return runs


def shares(dump: Mapping[str, Any]) -> str:
    """A row: what processes share already, and what is left, MiB."""
    frames = dump["frames"]
    parts = (frames["frames"] / 256, *(frames[f"sharing_{way}_mib"] for way in ("fork", "file", "ksm")))
    figures = (dump["pages"] / 256, *parts, frames["left_mib"], frames["left_anonymous_mib"])
    return f"| {dump['name']} | {dump['reserved']:,} | " + " | ".join(f"{figure:,.1f}" for figure in figures) + " |"


def shared_table(dumps: Sequence[Mapping[str, Any]]) -> str:
    """All of them."""
    head = "| | reserved, pages | mapped | frames | saved by fork | by files | by KSM | left | left, anonymous |"
    return "\n".join([head, "|---|" + "---:|" * 8, *map(shares, dumps)])


def classes_table(classes: Mapping[str, Sequence[Class]]) -> str:
    """Phones class by class."""
    head = "| phone | class | MiB | one word, % | equal, % | like a zygote's page, % | LZO leaves, bytes |"
    rows = [f"| {phone} {one.row}" for phone, found in classes.items() for one in found]
    return "\n".join([head, "|---|---|" + "---:|" * 5, *rows])


def policies_table(runs: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """Each policy at each rate."""
    head = "| pages every 20 ms | policy | saved on average, MiB | at end | of possible, % | CPU, s | guests' cost, s |"
    rows = []
    for rate, summaries in runs.items():
        for run in sorted(summaries, key=lambda run: -run["mean_saved_mib"]):
            figures = (run["mean_saved_mib"], run["saved_mib"], run["saved_percent_of_possible"])
            times = f"{run['cpu_seconds']:.2f} | {run['guests_cost_seconds']:.2f}"
            rows.append(f"| {rate} | {run['policy']} | " + " | ".join(f"{n:,.1f}" for n in figures) + f" | {times} |")
    return "\n".join([head, "|---|---|" + "---:|" * 5, *rows])


def document(folder: Path) -> str:
    """docs/phones.md."""
    held = json.loads((folder / HELD).read_text())
    classes = {"browser": of_recording(folder / RECORDING), EMULATED: of_scenario(EMULATED)}
    runs = {rate: outcomes(folder, rate) for rate in RATES}
    return f"""# Phones: a real zygote, and the emulated one

Made by `sudo python -m benchmarks.zygote --document docs/phones.md`; every figure is of that run.

No phone is at hand, but a browser is a zygote: Debian's Chromium, headless, forks its tabs from one process that has
loaded what they all need. A script opens tabs, leaves them, comes back to them and closes some
(`benchmarks/zygote.py`); the zygote and its tabs are recorded as one system (`vmdedup record phone=pid:N:tree`), each
frame once, and which tab is in front is said by oom_score_adj, as Android says it. What is recorded is stores, not
reads: pages that a tab only reads are not rebuilt here, so policies that pack pages are flattered, and their guests'
cost is too low.

## What is shared already

`vmdedup scan` of all processes of the browser, and of the zygote with its tabs, at the end of the script; MiB but for
addresses that are only reserved. *Left* is what could be saved beyond what fork, files and KSM have made one frame
already.

{shared_table(held["dumps"])}

## What it holds, beside the emulated phone

At the end, nobody scanning. *Equal*: other pages of the class are the same, pages of one word left out; *like a
zygote's page*: by Difference Engine's detector, words in the same place, half a page at most; LZO: of pages that are
not one word.

{classes_table(classes)}

## Policies on it

`vmdedup run phone-real.toml --policy …`, the recording at as much speed as it takes for a second a step. CPU by the
price list.

{policies_table(runs)}
"""


def write_page(folder: Path, page: Path | None) -> None:
    """Print what the browser holds; or run all policies on what was recorded, and write the page."""
    if page is None:
        sys.stdout.write(shared_table(json.loads((folder / HELD).read_text())["dumps"]) + "\n")
        return
    page.write_text(document(folder))
    sys.stderr.write(f"{page} is written\n")
