"""vmdedup kernel fetch | list: real kernels to play scripts on, in the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from vmdedup.cli.say import say, say_document, warn

app = typer.Typer(
    help="Real kernels, to play KSM scripts on in throw-away QEMU guests; needs no root, and no KVM.\n\n\b\n"
    "  vmdedup kernel fetch 6.1 7.2\n"
    "  vmdedup kernel list\n"
    "  vmdedup replay script.ksm --on vm:7.2",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SCHEMA_VERSION = 1


@app.command("fetch")
def fetch_kernels(
    versions: Annotated[list[str], typer.Argument(metavar="VERSION…", help="Versions of Linux, as 6.1 or 6.18.15.")],
    again: Annotated[bool, typer.Option("--again", help="Fetch even those that are here.")] = False,
) -> None:
    """Fetch Debian's kernels of these versions, the newest release of each, into the cache. Nothing is installed.

    \b
      vmdedup kernel fetch 5.10 6.1 6.12 6.18 7.2 7.3
      vmdedup kernel fetch --again 7.2
    """
    from vmdedup.vmkernel.store import fetch

    said: set[str] = set()
    for version, found, lost in fetch(versions, again):
        for one in lost:
            if one not in said:
                warn(f"no list of packages of {one}")
                said.add(one)
        say(f"{version:8} {found.release}  {found.image}")


@app.command("list")
def list_kernels(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> None:
    """The kernels in the cache: version, release, SHA-256 of the image.

    \b
      vmdedup kernel list
      vmdedup kernel list --json
    """
    from vmdedup.vmkernel.store import kernels

    found = kernels()
    if as_json:
        rows = [
            {"version": one.version, "release": one.release, "image": str(one.image), "sha256": one.sha256}
            for one in found
        ]
        say_document({"schema_version": SCHEMA_VERSION, "kernels": rows})
        return
    for one in found:
        say(f"{one.version:8} {one.release:30} {one.sha256}")
    if not found:
        warn("no kernel has been fetched; run: vmdedup kernel fetch 7.2")
