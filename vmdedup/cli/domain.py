"""vmdedup live domain NAME: a guest as libvirt wants it described. Ansible's role `guests` defines what this says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmdedup.cli.say import say

HELP = """The XML of a guest's domain, for those who define it themselves; the role `guests` does.

\b
  vmdedup live domain vmdedup-a --image /var/cache/vmdedup/images/debian --memory-mib 192 --console /tmp/a.console \\
      --overlay /tmp/a.qcow2 --port 2201
"""


def domain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the domain; begins with vmdedup-.")],
    image: Annotated[Path, typer.Option(metavar="DIRECTORY", help="A built image.")],
    memory_mib: Annotated[int, typer.Option(min=1, help="Memory in MiB.")],
    console: Annotated[Path, typer.Option(help="File that gets what it writes to its serial port.")],
    overlay: Annotated[Path | None, typer.Option(help="Its disk, if the image has one.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of this machine, to its SSH server.")] = None,
    processors: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    accelerator: Annotated[str, typer.Option(help="kvm or tcg.")] = "tcg",
    translation_mib: Annotated[int | None, typer.Option(min=1, help="Code that QEMU keeps with tcg.")] = None,
    mergeable: Annotated[bool, typer.Option(help="May KSM merge its memory?")] = True,
    run: Annotated[str, typer.Option(help="The run that it belongs to.")] = "by-hand",
    owner: Annotated[int, typer.Option(min=0, help="The process that takes it down; 0: none.")] = 0,
    owner_since: Annotated[int, typer.Option(min=0, help="When that started, in clock ticks.")] = 0,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError
    from vmdedup.image.store import read
    from vmdedup.live.guests.domain import TRANSLATION_MIB, DomainSpec, to_xml
    from vmdedup.live.guests.marks import PREFIX, Mark

    if not name.startswith(PREFIX):
        raise UsageError(f"{name}: the name of a guest begins with {PREFIX}")
    if accelerator not in ("kvm", "tcg"):
        raise UsageError(f"--accelerator {accelerator}: give kvm or tcg")
    built = read(image)
    if built is None:
        raise UsageError(f"{image} is no built image; run: vmdedup image build {image.name}")
    if built.disk is not None and overlay is None:
        raise UsageError(f"image {built.name} has a disk; give the guest's own with --overlay")
    spec = DomainSpec(
        name=name.removeprefix(PREFIX),
        mark=Mark(run, owner, owner_since, built.name),
        memory_mib=memory_mib,
        kernel=built.kernel,
        initrd=built.initrd,
        cmdline=built.command_line(name),
        console=console,
        accel=accelerator,
        sharing=mergeable,
        vcpus=processors,
        disk=overlay if built.disk is not None else None,
        ssh_port=port,
        translation_mib=translation_mib or TRANSLATION_MIB,
    )
    say(to_xml(spec))
    return 0
