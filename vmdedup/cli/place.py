"""vmdedup place FINGERPRINTS…: which guest on which host, what that promises, and what the emulated hosts deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import Progress, say_document

if TYPE_CHECKING:
    from vmdedup.place.emulation import Wanted
    from vmdedup.place.fleet import Fleet, Guest
    from vmdedup.place.plan import Plan, Room

HELP = """Which guest on which host, so that hosts share most: plans by several algorithms, and what each promises.

FINGERPRINTS are files of `vmdedup scan --hashes-only` (of one salt), dumps, recorded traces of UMass's (.dat), and
models of `vmdedup learn` (web.guest*20: twenty such guests). A file of several guests is the host that they are on now.

first-fit    the first host with room, blind to what is shared; the others are held against it
best-fit     the largest first, each where it adds least
buddies      Memory Buddies: hosts are emptied one by one, guests move to where they share most
tree, cluster-tree   Sindelar's: hosts are filled by a tree of what guests share
exact        the best plan there is, for small fleets (needs highspy: pip install 'vmdedup[place]')

A guest takes what its dump holds, less what it shares on its host: promised is what that saves. --emulate has the hosts
of each plan emulated, so that delivered stands beside promised: ksmd is given so long after the last guest has come,
and guests that move come one after the other, at --network, with nothing of them shared. Hosts are emulated at
1/--scale of their size (one content of so many, ksmd at that share of its pace), unless they are small.

\b
  vmdedup place host1.parquet host2.parquet --host-memory 64GiB
  vmdedup place web.guest*40 db.guest*10 --host-memory 16GiB --hosts 4
  vmdedup place rack*.parquet --host-memory 256GiB --sample 64 --algorithm first-fit,best-fit --json
  vmdedup place host*.parquet --host-memory 64GiB --emulate 10min --scale 64
  vmdedup place host*.parquet --host-memory 64GiB --emulate 10min --scheduler tcp://head:8786
"""
FAILED = 1


def place(
    fingerprints: Annotated[
        list[str], typer.Argument(metavar="FINGERPRINTS…", help="Exports, dumps, traces, models (FILE*N).")
    ],
    host_memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory of a host that guests may take.")],
    hosts: Annotated[int | None, typer.Option(min=1, help="At most so many hosts [default: as needed].")] = None,
    algorithm: Annotated[
        str, typer.Option(metavar="NAME,…", help="Algorithms; exact is for small fleets.")
    ] = "first-fit,best-fit,buddies,tree,cluster-tree",
    sample: Annotated[int, typer.Option(min=1, help="Keep one content of so many; their error is said.")] = 1,
    network: Annotated[str, typer.Option(metavar="SIZE", help="Bytes a second that a move copies.")] = "1GiB",
    salt: Annotated[
        str | None, typer.Option(envvar="VMDEDUP_SALT", help="Of exported hashes, if dumps are placed beside them.")
    ] = None,
    emulate: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Emulate each host; ksmd has so long to deliver.")
    ] = None,
    scale: Annotated[int, typer.Option(min=1, help="With --emulate: at 1/N of a host's size.")] = 1,
    pages_to_scan: Annotated[int, typer.Option(min=1, help="With --emulate: of ksmd, every 20 ms.")] = 4000,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="With --emulate: by workers of this Dask scheduler.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="With --emulate: so many at once [default: cores].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.place.plan import Room
    from vmdedup.place.table import choose
    from vmdedup.units import PAGE_SIZE, parse_size

    names, room = choose(algorithm), Room(parse_size(host_memory) // PAGE_SIZE, hosts)
    bytes_a_second = _positive("--network", parse_size(network))
    wanted = _wanted(emulate, scale, pages_to_scan, scheduler, jobs)
    found = _found(fingerprints, salt, sample, names, room, bytes_a_second, wanted, Progress(quiet))
    if as_json:
        say_document(found)
    else:
        from vmdedup.report.console import console
        from vmdedup.report.place import render

        render(found, console(no_color, to_stdout=True))
    return FAILED if any(host.get("reason") for plan in found["plans"] for host in plan["hosts"]) else 0


def _found(
    files: list[str],
    salt: str | None,
    sample: int,
    names: list[str],
    room: Room,
    bytes_a_second: int,
    wanted: Wanted | None,
    shown: Progress,
) -> dict[str, Any]:
    """The document: guests read, plans made, hosts emulated."""
    from vmdedup.place.answer import document, plans
    from vmdedup.place.fleet import fleet_of
    from vmdedup.place.sources import read_guests

    with shown as progress:
        guests = read_guests(files, salt, sample, lambda done, all: progress.show(f"read {done:,} of {all:,} guests"))
        fleet = fleet_of(guests)
        made, seconds = plans(fleet, room, names, lambda name: progress.show(f"placing by {name}"))
        found = document(fleet, room, made, seconds, bytes_a_second)
        if wanted is not None:
            _emulate(found, guests, fleet, room, made, bytes_a_second, wanted, progress)
    return found


def _positive(option: str, value: int) -> int:
    from vmdedup.errors import UsageError

    if value < 1:
        raise UsageError(f"{option}: nothing is copied at no bytes a second; give a size like 1GiB")
    return value


def _wanted(
    emulate: str | None, scale: int, pages_to_scan: int, scheduler: str | None, jobs: int | None
) -> Wanted | None:
    """How hosts are to be emulated; None: not at all. UsageError: options that do not go together."""
    from vmdedup.errors import UsageError
    from vmdedup.place.emulation import Wanted
    from vmdedup.units import parse_duration

    if emulate is None:
        if scale != 1 or scheduler is not None or jobs is not None:
            raise UsageError("--scale, --scheduler and --jobs are of --emulate; give it a duration like 10min")
        return None
    if scheduler is not None and jobs is not None:
        raise UsageError("--scheduler has workers of its own; leave --jobs out")
    if not (nanoseconds := parse_duration(emulate)):
        raise UsageError("--emulate 0: in no time nothing is shared; give it a duration like 10min")
    return Wanted(nanoseconds, scale, pages_to_scan, scheduler, jobs)


def _emulate(
    found: dict[str, Any],
    guests: list[Guest],
    fleet: Fleet,
    room: Room,
    made: list[Plan],
    bytes_a_second: int,
    wanted: Wanted,
    progress: Progress,
) -> None:
    """Emulate the hosts of all plans, and put what they deliver into the document."""
    from vmdedup.place.answer import before
    from vmdedup.place.delivered import add_delivered
    from vmdedup.place.emulation import Emulation, tasks

    start = before(fleet, room)
    with Emulation(wanted) as emulation:
        for plan, said in zip(made, found["plans"], strict=True):

            def say(text: str, name: str = plan.algorithm) -> None:
                progress.show(f"{name}: {text}")

            hosts = emulation.run(tasks(guests, fleet, plan, start, bytes_a_second, wanted), say)
            add_delivered(said, hosts, wanted.scale, found["host_memory_mib"])
