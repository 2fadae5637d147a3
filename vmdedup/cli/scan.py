"""vmdedup scan DUMP…: what these memories hold, and what sharing would save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.dump.formats import file_names, folder_names

if TYPE_CHECKING:
    from vmdedup.scan.similar import Similar

HELP = f"""What do these memories hold: zero, distinct and equal pages, inside each and between them?

A DUMP is a file of any format that is known ({file_names()}), a directory of {folder_names()}, pid:N (what KSM may
merge in a live process; pid:N:all for all of it, pid:N:tree for it and all that descend from it), NAME=pid:N:all,pid:M
(several as one), domain:NAME (the memory of a running libvirt guest), a file that --hashes-only wrote, - for standard
input, or a folder of all these. What is no memory is refused; raw:FILE counts its pages all the same. Of processes,
what is one frame already is told apart from what could be saved beyond that, if root asks. Counts are exact: pages are
compared by 128 bits of hash. Ctrl-C prints the figures of what was read so far.

With --scheduler the machines that have workers of that Dask scheduler read their own dumps, and send salted
fingerprints only: HOST:DUMP is of one of them, /PATH (or a pattern) of each. Counted are all of them together.

\b
  vmdedup scan vm1.raw vm2.elf
  zcat vm1.raw.gz | vmdedup scan -
  vmdedup scan --json domain:web domain:db > shared.json
  sudo vmdedup scan browser=pid:1234:tree
  vmdedup scan vm*.raw --subpage --sample 10%
  vmdedup scan vm1.raw --hashes-only vm1.parquet --salt "$SECRET"
  vmdedup scan vm1.parquet other-host.parquet
  vmdedup scan --scheduler tcp://head:8786 '/dumps/*.raw' node7:domain:web
"""


def scan(
    dumps: Annotated[list[str], typer.Argument(metavar="DUMP…", help="Dumps, pid:N, domain:NAME, exported hashes.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    top: Annotated[int, typer.Option(min=0, help="How many of the most frequent contents to show.")] = 10,
    subpage: Annotated[
        bool, typer.Option("--subpage", help="Also similar pages, lz4 and zstd: reads all again, takes far longer.")
    ] = False,
    sample: Annotated[
        str, typer.Option(metavar="SHARE", help="With --subpage: patch and pack only so many pages, and estimate.")
    ] = "100%",
    detector: Annotated[
        str, typer.Option(metavar="K,S,C", help="With --subpage: the similarity detector (K,S),C.")
    ] = "2,1,1",
    bits: Annotated[int, typer.Option(min=1, max=64, help="With --subpage: bits of the detector's hashes.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="With --subpage: which places of a page are compared.")] = 0,
    hashes_only: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write salted fingerprints of all pages: Parquet.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --hashes-only: replace FILE, whatever it is.")] = False,
    salt: Annotated[
        str | None,
        typer.Option(
            envvar="VMDEDUP_SALT", help="Secret; exports of the same can be compared [default: at random, not kept]."
        ),
    ] = None,
    memory_limit: Annotated[
        str, typer.Option(metavar="SIZE", help="Fingerprints in memory; more go to a file in TMPDIR without a name.")
    ] = "64KiB",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Machines of a Dask scheduler read HOST:DUMP: tcp://….")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="[default: one a core, if that pays]")] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.cli.scanning import scan_and_show
    from vmdedup.units import parse_size

    _check(sample, subpage)
    if scheduler is not None:
        from vmdedup.cli.scan_afar import fetched, refuse

        refuse(hashes_only, subpage)
        with fetched(dumps, scheduler, salt, quiet) as files:
            return scan_and_show(files, as_json=as_json, quiet=quiet, no_color=no_color, top=top)
    return scan_and_show(
        dumps,
        as_json=as_json,
        quiet=quiet,
        no_color=no_color,
        top=top,
        similar=_similar(detector, bits, seed, sample) if subpage else None,
        salt=salt,
        hashes_only=hashes_only,
        force=force,
        memory_limit=parse_size(memory_limit),
        threads=threads,
    )


def _check(sample: str, subpage: bool) -> None:
    """What can be refused before anything is opened."""
    from vmdedup.errors import UsageError

    if sample != "100%" and not subpage:
        raise UsageError("--sample is of --subpage; whole pages are always counted in full")


def _similar(detector: str, bits: int, seed: int, sample: str) -> Similar:
    """What to look for beyond equal pages."""
    from vmdedup.errors import UsageError
    from vmdedup.scan.similar import Similar
    from vmdedup.units import parse_share

    numbers = detector.strip("()").replace("),", ",").split(",")
    if len(numbers) != 3 or not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise UsageError(f"--detector {detector}: write three numbers from 1 on, as in 2,1,1")
    k, s, c = map(int, numbers)
    return Similar(k=k, s=s, c=c, bits=bits, seed=seed, sample=parse_share(sample))
