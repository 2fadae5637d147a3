"""vmdedup mount SCENARIO DIR: the files of an emulated host below a folder, for programs that can be pointed at one."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli import hosting
from vmdedup.cli.say import say, say_document, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmdedup.run.clock.desk import Desk
    from vmdedup.run.clock.paced import IsOver

HELP = """Show the files of an emulated host below a folder: DIR/sys/kernel/mm/ksm, DIR/proc/meminfo, DIR/proc/PID.

For programs that can be told where sysfs and procfs are. They answer: a read is of that moment, a write goes to ksmd,
which refuses as the kernel does. Root's are for all users to read. The host lives until Ctrl-C, `umount DIR`, or for
--duration. Where /dev/fuse is missing, plain files stand in, and what they cannot do is said.

\b
  mkdir host && vmdedup mount identical host
  prometheus-node-exporter --path.sysfs=host/sys --path.procfs=host/proc --collector.ksmd
  vmdedup mount mixed host --speed 10 --duration 10min --json
  vmdedup mount mixed host --plain
"""
SCHEMA_VERSION = 1


def mount(
    scenario: hosting.ScenarioName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder.")],
    guests: hosting.Guests = None,
    memory: hosting.Memory = None,
    workload: hosting.Workload = None,
    seed: hosting.Seed = None,
    knobs: hosting.Knobs = None,
    kernel: hosting.Kernel = None,
    policy: hosting.PolicyName = None,
    speed: hosting.Speed = 1.0,
    duration: hosting.Duration = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain files, also where files could answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say as JSON that it is there.")] = False,
    output: hosting.Output = None,
    quiet: hosting.Quiet = False,
    verbose: hosting.Verbose = 0,
) -> int:
    """Returns the exit status."""
    from vmdedup.guise.files import HostFiles
    from vmdedup.guise.visit import Folder, is_plain

    loaded = hosting.load(scenario, guests, memory, workload, seed, knobs, kernel, policy, duration)
    stands_in, why = is_plain(plain)
    place = Folder(folder, stands_in)
    if why:
        warn(why)

    @contextmanager
    def visit(desk: Desk) -> Iterator[IsOver]:
        with place.visit(desk, HostFiles(desk, loaded.ksm.profile)) as is_over:
            if as_json:
                document = {"schema_version": SCHEMA_VERSION, "folder": str(place.path), "plain": stands_in}
                say_document(document, at_once=True)
            elif not quiet:
                say(f"{loaded.name} is at {place.path}; Ctrl-C ends it", err=True)
            yield is_over

    return hosting.host(loaded, hosting.Hosting(speed, duration, output, quiet, verbose), visit)
