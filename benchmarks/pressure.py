"""What would have saved a host that ran out of memory: the last section of docs/pressure.md.

python -m benchmarks.pressure            the scenario oom with each alternative, as a table
python -m benchmarks.pressure --docs     ... written into docs/pressure.md, from its last heading on
python -m benchmarks.pressure --prices   what lz4 takes for a page of guests' heaps here (run.backend.waiting)
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "pressure.md"
SCENARIO: Final = "oom"
VARY: Final = "as it was; as it was+ksm fast; as it was+reporting; as it was+zram:256MiB"
HEADING: Final = "## What would have saved the host\n"
WIDTH: Final = 110
PAGES, ROUNDS = 4000, 5
_TEXT: Final = """
Made by `python -m benchmarks.pressure --docs`.

The scenario `oom` retells [shakenfist issue 3636](https://github.com/shakenfist/shakenfist/issues/3636) at a scale of
1 to 256: a node of 64 GB, guests that were promised 96 GB, KSM on, 7.6 GB of swap, and out of memory all the same. What
those guests did is not known; here five serve and three work in batches, and their host's ksmd needs three quarters of
a minute for a full scan. Three changes are tried, one at a time: a faster ksmd, guests that report free pages, and zram
of the host's size in the disk's place.

```console
$ vmdedup run {scenario} --vary "{vary}"
{table}
```

{verdict}
"""


def ran(folder: Path) -> tuple[dict[str, Any], str]:
    """The document of the runs, and the table as it is printed."""
    from rich.console import Console

    from vmdedup.report.alternatives import render

    command = [
        sys.executable,
        "-m",
        "vmdedup",
        "run",
        SCENARIO,
        "--vary",
        VARY,
        "--json",
        "-q",
        "-o",
        str(folder / "runs"),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    console = Console(width=WIDTH, file=(folder / "table").open("w"))
    render(document, console)
    console.file.close()
    return document, "\n".join(line.rstrip() for line in (folder / "table").read_text().rstrip().splitlines())


def verdict(document: Mapping[str, Any]) -> str:
    """Who was killed, and what would have saved them, in a sentence or two."""
    first, *others = document["alternatives"]
    names = {each["alternative"].split("+")[-1]: each["oom_kills"] for each in others}
    killed = "; ".join(f"{kill['name']} after {kill['seconds']:g} s" for kill in first["killed"]) or "nobody"
    saved = [name for name, kills in names.items() if not kills]
    rest = [name for name, kills in names.items() if kills]
    text = (
        f"As it was, these were killed: {killed}. Nobody is killed with: {', '.join(saved) or 'none of the changes'}."
    )
    return text + (f" Not enough by itself: {', '.join(rest)}." if rest else "")


def section(document: Mapping[str, Any], table: str) -> str:
    """The section in Markdown."""
    return HEADING + _TEXT.format(scenario=SCENARIO, vary=VARY, table=table, verdict=verdict(document))


def write(text: str) -> None:
    """Put the section in place of the one that the document has, or at its end."""
    before = DOCUMENT.read_text().partition(HEADING)[0].rstrip("\n")
    DOCUMENT.write_text(f"{before}\n\n{text}")


def prices() -> None:
    """Nanoseconds a page, the best of some rounds."""
    from lz4 import block

    from vmdedup.guest.content import heap_pages
    from vmdedup.guest.mixes import HeapMix
    from vmdedup.guest.seeds import keys

    pages = [page.tobytes() for page in heap_pages(keys(1, np.arange(PAGES)), HeapMix())]
    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        packed = [block.compress(page, store_size=False) for page in pages]
        between = time.process_time_ns()
        for each in packed:
            block.decompress(each, uncompressed_size=4096)
        spent = (between - began, time.process_time_ns() - between)
        best = [min(old, new / PAGES) for old, new in zip(best, spent, strict=True)]
    size = sum(map(len, packed)) / PAGES
    print(
        f"lz4, a page of 4096 bytes: {best[0]:,.0f} ns to pack, {best[1]:,.0f} ns to unpack; {size:,.0f} bytes packed"
    )


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help=f"write {DOCUMENT.name}")
    parser.add_argument("--prices", action="store_true", help="what lz4 takes here, and nothing else")
    options = parser.parse_args()
    if options.prices:
        prices()
        return
    with tempfile.TemporaryDirectory() as folder:
        document, table = ran(Path(folder))
    if options.docs:
        write(section(document, table))
    else:
        print(table)
        print(verdict(document))


if __name__ == "__main__":
    main()
