"""vmdedup serve [SCENARIO]: metrics for Prometheus, of an emulated host, or of this one, which is only read."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli import hosting
from vmdedup.cli.say import say, say_document
from vmdedup.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmdedup.run.clock.desk import Desk
    from vmdedup.run.clock.paced import IsOver

HELP = """Serve metrics for Prometheus: of an emulated host that keeps step with real time, or of this host.

With SCENARIO it is an emulated one; without, this host's files are read at each scrape, and nothing is written. Where
node_exporter has a name, that is used (node_ksmd_…); the rest begin with vmdedup_: what is saved by kind and by guest,
use if all diverge, ksmd's CPU, the time of a pass, huge pages split, memory freed uncounted. Who shares with whom only
with --matrix, as it grows with the square of the guests; what would be possible only with --possible, as all memory is
hashed for that at each scrape.

--dashboard prints a dashboard for Grafana, --alerts alert rules for Prometheus. See docs/clients.md.

\b
  vmdedup serve identical
  vmdedup serve dense --speed 10 --matrix --listen 0.0.0.0:9797
  sudo vmdedup serve
  vmdedup serve --dashboard > ksm.json; vmdedup serve --alerts > ksm.yml
"""
SCHEMA_VERSION = 1
_LOOK_S = 0.2
_Scenario = Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="Name or TOML file; none: this host.")]
_Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="Of this host: the folder with sys/ and proc/.")]


def serve(
    scenario: _Scenario = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where; port 0: any.")] = "127.0.0.1:9797",
    matrix: Annotated[bool, typer.Option("--matrix", help="Who shares with whom, a figure a pair.")] = False,
    possible: Annotated[bool, typer.Option("--possible", help="What could be saved; hashes all memory.")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Of this host: the folder with sys/ and proc/.")
    ] = Path("/"),
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Print the dashboard, and end.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="Print the alert rules, and end.")] = False,
    guests: hosting.Guests = None,
    memory: hosting.Memory = None,
    workload: hosting.Workload = None,
    seed: hosting.Seed = None,
    knobs: hosting.Knobs = None,
    kernel: hosting.Kernel = None,
    policy: hosting.PolicyName = None,
    speed: hosting.Speed = 1.0,
    duration: hosting.Duration = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say as JSON where it is.")] = False,
    output: hosting.Output = None,
    quiet: hosting.Quiet = False,
    verbose: hosting.Verbose = 0,
) -> int:
    """Returns the exit status."""
    from vmdedup.metrics.server import address_of, need_client

    if dashboard or alerts:
        say((files("vmdedup.metrics") / ("grafana.json" if dashboard else "alerts.yml")).read_text().rstrip())
        return 0
    need_client()
    told = _Told(address_of(listen), as_json, quiet)
    if scenario is None:
        given = (guests, memory, workload, seed, knobs, kernel, policy, output)
        if any(value is not None for value in given) or matrix or possible:
            raise UsageError("this host is only read; name a SCENARIO, or leave out what is for emulated hosts")
        return _real(root, duration, told)
    loaded = hosting.load(scenario, guests, memory, workload, seed, knobs, kernel, policy, duration)
    how = hosting.Hosting(speed, duration, output, quiet, verbose)
    return hosting.host(loaded, how, lambda desk: _visit(desk, matrix, possible, told))


class _Told:
    """Where it is to be, and how that is said."""

    def __init__(self, address: tuple[str, int], as_json: bool, quiet: bool) -> None:
        self.address, self._as_json, self._quiet = address, as_json, quiet

    def say(self, url: str) -> None:
        """It is there."""
        if self._as_json:
            say_document({"schema_version": SCHEMA_VERSION, "url": url}, at_once=True)
        elif not self._quiet:
            say(f"metrics are at {url}; Ctrl-C ends it", err=True)


@contextmanager
def _visit(desk: Desk, matrix: bool, possible: bool, told: _Told) -> Iterator[IsOver]:
    from vmdedup.metrics.emulated import EmulatedHost
    from vmdedup.metrics.server import served

    with served(EmulatedHost(desk, matrix, possible), told.address) as url:
        told.say(url)
        try:
            yield lambda: False
        finally:
            desk.close()


def _real(root: Path, duration: str | None, told: _Told) -> int:
    from vmdedup.metrics.real import RealHost
    from vmdedup.metrics.server import served
    from vmdedup.signals import Interrupt, interrupted_status
    from vmdedup.units import SECOND_NS, parse_duration

    left = parse_duration(duration) / SECOND_NS if duration else None
    with served(RealHost(root), told.address) as url, Interrupt() as interrupt:
        told.say(url)
        waiting = threading.Event()
        while not interrupt.wanted and (left is None or left > 0):
            waiting.wait(_LOOK_S)
            left = None if left is None else left - _LOOK_S
        return interrupted_status() if interrupt.wanted else 0
