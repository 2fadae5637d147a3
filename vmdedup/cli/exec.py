"""vmdedup exec SCENARIO -- CMD…: a program for which an emulated host is this host."""

from __future__ import annotations

from typing import Annotated

import typer

from vmdedup.cli import hosting
from vmdedup.cli.say import warn

HELP = """Run a program for which an emulated host is this host: /sys/kernel/mm/ksm, /proc/meminfo, and its processes.

The program needs no change: it reads the emulated ksmd's counters of that moment, and what it writes ksmd obeys
within a tick (100ms), or refuses as the kernel does: EINVAL, ERANGE, EBUSY while pages are shared. Each guest has a
process qemu-system-x86_64 with the guest's resident memory and ksm_stat; there is one called ksmd. The program is root
in namespaces of its own; nothing of this host's KSM is changed, or can be. Works without being root, where users may
have namespaces.

The host lives as long as the program and all that it leaves running, or for --duration, or until Ctrl-C. The exit
status is the program's. Where /dev/fuse is missing, plain files stand in, and what they cannot do is said.

What a program finds there, and what it does not: docs/clients.md.

\b
  vmdedup exec identical -- sh -c 'while sleep 1; do grep -H . /sys/kernel/mm/ksm/pages_*; done'
  vmdedup exec oom --speed 10 -- ksmtuned
  vmdedup exec mixed --kernel 6.1 -- virsh -c 'qemu:///embed?root=/tmp/virt' node-memory-tune --shm-pages-to-scan 1000
  vmdedup exec dense --duration 5min -o runs/tuned -- sh -c 'mount --bind my.conf /etc/ksmtuned.conf; ksmtuned'
"""


def exec(
    scenario: hosting.ScenarioName,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The program and its arguments.")],
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
    output: hosting.Output = None,
    quiet: hosting.Quiet = False,
    verbose: hosting.Verbose = 0,
) -> int:
    """Returns the exit status: the program's, unless the run was told to end, or failed."""
    from vmdedup.guise.files import HostFiles
    from vmdedup.guise.visit import Program, is_plain

    loaded = hosting.load(scenario, guests, memory, workload, seed, knobs, kernel, policy, duration)
    stands_in, why = is_plain(plain)
    program = Program(command, stands_in)
    if why:
        warn(why)
    how = hosting.Hosting(speed, duration, output, quiet, verbose)
    status = hosting.host(loaded, how, lambda desk: program.visit(desk, HostFiles(desk, loaded.ksm.profile)))
    return status or program.status
