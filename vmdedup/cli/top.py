"""vmdedup top [SCENARIO]: a live view of what KSM does, on an emulated host, or on this one, which is only read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli import hosting
from vmdedup.cli.say import say_document
from vmdedup.errors import UsageError, VmdedupError

if TYPE_CHECKING:
    from vmdedup.run.clock.desk import Desk
    from vmdedup.run.clock.paced import IsOver
    from vmdedup.top.moment import Moment

HELP = """A live view: ksmd's rates and CPU, how long a pass takes, and, guest by guest, RAM, resident, merged, zeros,
huge pages left, profit, and who has how much in common with whom.

With SCENARIO it is an emulated host, which keeps step with real time. Without, it is this host, whose guests run
already (root): files below /proc and /sys are read, no page of a guest is, nobody is stopped, nothing is written.

Keys: m, a, r, z, h, p, n sort by merged, RAM, resident, zeros, huge pages, profit, name; q ends it. Without a
terminal, one look after the other is printed; --once shows one, after an interval, so that it has rates. Where a look
takes long, as there is much memory, the next one comes later: all of them take 3 % of a core at most.

\b
  vmdedup top dense
  sudo vmdedup top
  sudo vmdedup top --once --json
  vmdedup top identical --speed 10 --interval 1s
"""
MOST_OF_A_CORE = 0.03  # that looks may take
KEYS = "m merged  a RAM  r resident  z zeros  h huge pages  p profit  n name  q ends it"


def top(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="Name or TOML file; none: this host.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One look.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Each look as one JSON document.")] = False,
    interval: Annotated[str, typer.Option(help="Real time between two looks.")] = "3s",
    sort: Annotated[str, typer.Option(metavar="KEY", help="What guests are sorted by, as the keys.")] = "m",
    guests: hosting.Guests = None,
    memory: hosting.Memory = None,
    workload: hosting.Workload = None,
    seed: hosting.Seed = None,
    knobs: hosting.Knobs = None,
    kernel: hosting.Kernel = None,
    policy: hosting.PolicyName = None,
    speed: hosting.Speed = 1.0,
    duration: hosting.Duration = None,
) -> int:
    """Returns the exit status."""
    from vmdedup.top.moment import SORTS
    from vmdedup.units import SECOND_NS, parse_duration

    if sort not in SORTS:
        raise UsageError(f"--sort {sort!r}: there are {', '.join(SORTS)}")
    seconds = parse_duration(interval) / SECOND_NS
    if seconds <= 0:
        raise UsageError("an interval of 0 will not do; give for example 3s")
    viewer = _Viewer(once, as_json, seconds, sort)
    if scenario is None:
        if any(value is not None for value in (guests, memory, workload, seed, knobs, kernel, policy, duration)):
            raise UsageError("this host is only read; name a SCENARIO, or leave out what is for emulated hosts")
        return _real(viewer)
    loaded = hosting.load(scenario, guests, memory, workload, seed, knobs, kernel, policy, duration)
    how = hosting.Hosting(speed, duration, None, as_json or once, 0)
    return hosting.host(loaded, how, lambda desk: _visit(desk, viewer))


def _real(viewer: _Viewer) -> int:
    from vmdedup.signals import Interrupt
    from vmdedup.top.real import RealTop

    look = RealTop()
    with Interrupt() as interrupt:
        viewer.watch(look, lambda: interrupt.wanted)
    return 0


@contextmanager
def _visit(desk: Desk, viewer: _Viewer) -> Iterator[IsOver]:
    """The view has a thread of its own: the run is in this one."""
    from vmdedup.top.emulated import EmulatedTop

    is_left = threading.Event()

    def watch() -> None:
        try:
            viewer.watch(EmulatedTop(desk), is_left.is_set)
        except VmdedupError:
            pass  # the run has ended
        finally:
            is_over.set()

    is_over, thread = threading.Event(), threading.Thread(target=watch)
    thread.start()
    try:
        yield is_over.is_set
    finally:
        is_left.set()
        desk.close()
        thread.join()


class _Viewer:
    """Looks again and again, and shows it."""

    def __init__(self, once: bool, as_json: bool, interval: float, sort: str) -> None:
        from vmdedup.top.moment import SORTS

        self._once, self._as_json, self._interval = once, as_json, interval
        self._sorts, self._sort = SORTS, SORTS[sort]

    def watch(self, look: Callable[[], Moment], is_over: Callable[[], bool]) -> None:
        """Until it is over, or q is pressed."""
        from vmdedup.cli.keys import has_keys, keys
        from vmdedup.report.console import console

        if self._once or self._as_json or not has_keys():
            self._print(look, is_over)
            return
        screen = console(no_color=False, to_stdout=True)
        with keys(), screen.screen(hide_cursor=True) as shown:
            self._show(look, is_over, lambda view: shown.update(view), lambda: max(3, screen.height - 14))

    def _print(self, look: Callable[[], Moment], is_over: Callable[[], bool]) -> None:
        """One look after the other; each after an interval, so that it has rates."""
        from vmdedup.report.console import console, print_parts
        from vmdedup.report.top import top_view
        from vmdedup.top.moment import document

        before, target = look(), console(no_color=False, to_stdout=True)
        while self._wait(is_over, before):
            now = look()
            told = document(now, before)
            if self._as_json:
                say_document(told)
            else:
                print_parts(target, [top_view(told, self._sort, len(told["guests"]))])
            if self._once:
                return
            before = now

    def _until(self, last: Moment) -> float:
        """When the next look is due: where looks take long, so much later that a core has little to do with them."""
        return time.monotonic() + max(self._interval, last.took / MOST_OF_A_CORE)

    def _wait(self, is_over: Callable[[], bool], last: Moment) -> bool:
        """Let an interval pass. False: it is over."""
        until = self._until(last)
        while not is_over() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return not is_over()

    def _show(
        self,
        look: Callable[[], Moment],
        is_over: Callable[[], bool],
        show: Callable[[Any], None],
        rows: Callable[[], int],
    ) -> None:
        from vmdedup.cli.keys import key
        from vmdedup.report.top import top_view
        from vmdedup.top.moment import document

        before: Moment | None = None
        while not is_over():
            now = look()
            told, until = document(now, before), self._until(now)
            before = now
            show(top_view(told, self._sort, rows(), KEYS))
            while not is_over() and (left := until - time.monotonic()) > 0:
                pressed = key(min(left, 0.2))
                if pressed == "q":
                    return
                if pressed in self._sorts:
                    self._sort = self._sorts[pressed]
                    show(top_view(told, self._sort, rows(), KEYS))
