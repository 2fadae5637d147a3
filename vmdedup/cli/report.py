"""vmdedup report DIR… -o report.html: results as one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vmdedup.cli.say import say

HELP = """Results as one page: a single file that needs no network, to be mailed, kept, or put on a server.

Each argument is the results directory of a run, one of several policies, or of a sweep, or what `vmdedup scan --json`
printed. Several runs stand beside each other, with the reasons of their differences. Charts zoom by buttons, keys and
by dragging; without scripts all texts, tables and charts are there. It is dark or light as the
reader's browser is.

\b
  vmdedup report runs/identical-20250101-120000 -o report.html
  vmdedup report runs/emulated runs/kernel -o both.html
  vmdedup scan web1.elf web2.elf --json > scan.json && vmdedup report scan.json -o scan.html
"""


def report(
    results: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Results directories, documents of scans.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="The page.")] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that vmdedup did not make.")] = False,
) -> None:
    """Write the page."""
    from vmdedup.outputs import Output
    from vmdedup.report.page.reading import read_all
    from vmdedup.report.page.whole import report_page

    command = shlex.join(["vmdedup", "report", *map(str, results), "-o", str(output)])
    with Output(output, force, results) as file:
        text = report_page(read_all(results), command).encode()
        file.write_bytes(text)
    say(f"{output}: {len(text) / 1024:,.0f} KiB", err=True)
