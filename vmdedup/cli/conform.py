"""vmdedup conform KERNEL --as VERSION: does a kernel's ksmd do what a version of Linux does?"""

from __future__ import annotations

from typing import Annotated

import typer

from vmdedup.cli.places import GUEST
from vmdedup.cli.say import Progress, say, say_document

DIFFERENT = 3
HELP = """Play scripts on a real kernel, in a throw-away QEMU guest, and on the emulator as a version of Linux.

For who has changed mm/ksm.c: all scripts of the repository, and random ones. What differs is shrunk to the smallest
script that does, and named where a behaviour of another version explains it. A table by subject, and exit status 3 if
anything differs.

\b
  vmdedup conform vm:./bzImage --as 6.18
  vmdedup conform vm:6.1 --as 6.18 --scripts 0
  vmdedup conform vm:7.2 --as 6.18 --scripts 500 --seed 7 --json
"""


def conform(
    kernel: Annotated[str, typer.Argument(metavar="KERNEL", help="vm:VERSION or vm:PATH/bzImage.")],
    version: Annotated[str, typer.Option("--as", metavar="VERSION", help="The version of Linux that it should be.")],
    scripts: Annotated[int, typer.Option("--scripts", min=0, help="How many random scripts.")] = 40,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first random script.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.conform.conform import conform as compare
    from vmdedup.conform.suite import drawn, kept
    from vmdedup.conform.text import document, text
    from vmdedup.errors import UsageError
    from vmdedup.vmkernel.session import Booted

    if not kernel.startswith(GUEST):
        raise UsageError(f"{kernel!r} is no kernel to boot; give vm:VERSION or vm:PATH/bzImage")
    with Booted(kernel.removeprefix(GUEST)) as booted, Progress() as progress:
        report = compare(booted.machine, version, [*kept(), *drawn(scripts, seed)], progress.show)
    if as_json:
        say_document(document(report, kernel, version))
    else:
        say(text(report, kernel, version))
    return 0 if report.is_equal else DIFFERENT
