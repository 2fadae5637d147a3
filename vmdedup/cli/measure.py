"""vmdedup live measure-plan DIRECTORY: measure guests that Ansible has provisioned. The role `measure` calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmdedup.cli.say import say, say_document

HELP = """Start ksmd and measure guests that run already, as the plan in DIRECTORY says.

The role `measure` calls it. Whoever calls it holds the lock on the kernel's KSM, and puts KSM back afterwards:
`vmdedup live run` does both. A file named stop in DIRECTORY ends it early, with the results so far.

\b
  vmdedup live measure-plan /tmp/vmdedup-x1 --output runs/mine
"""


def measure(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Folder with plan.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the results.")],
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON document on stdout.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.result.directory import RunDirectory
    from vmdedup.run.qemu.provisioned import measure_provisioned

    with RunDirectory(output) as results:
        result = measure_provisioned(directory, results)
        result.save_into(results)
    if as_json:
        say_document(result.summary)
    else:
        say(f"results: {output}")
    return 0
