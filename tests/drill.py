"""Commands disturbed at random moments: python tests/drill.py [--kills 500] [--signals 100] [--seed N] [COMMAND…]

Each command (tests/kit/drill_commands.py) is killed, alone, with those who watch over it, or with all that it has
started; is sent SIGTERM and SIGHUP; and gets standard streams that are full or closed. Afterwards nothing may be left:
no process, no shared memory, no temporary folder, no mount, no changed tunable of KSM; no traceback may have been said;
and results must be there. Prints a tally by command: how often it was killed, signalled, had such streams, or
had ended before (late); what was found of each kind of fault; and exit statuses. Exit status 1 if anything was wrong. A
case is known by command, seed and number; what a case that went wrong has left is kept in its folder.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.drill_case import KILLS, KINDS, KSM_WAIT, Case, Disturb, Place, place, send
from kit.drill_commands import COMMANDS, Command
from kit.leftovers import tunables
from vmdedup.errors import EnvironmentLacksError

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
STREAMS = ("> /dev/full", ">&-", "2> /dev/full", "2>&-")
TRIES = 4  # a command that has ended before its moment came is started again so often


@dataclass
class Drill:
    """What is done with commands in one place, and the tally of it."""

    place: Place
    seed: int
    usual: dict[str, Case] = field(default_factory=dict)
    tally: dict[str, Counter[str]] = field(default_factory=dict)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    _kernel: threading.Lock = field(default_factory=threading.Lock)

    def undisturbed(self, name: str) -> None:
        """How long it takes, and what it ends with."""
        for _ in range(TRIES):
            case = self._case(name, random.Random(self.seed))
            with self._alone(case.command):
                case.run()
            if not (case.command.kernel and case.status == EnvironmentLacksError.exit_status):
                break  # else somebody else was first to have the kernel's KSM
        self.usual[name] = case
        if case.status not in case.command.status:
            case.wrong("statuses", f"status {case.status}: {case.errors}")
        self._count(name, "undisturbed", case, "undisturbed")

    def kill(self, name: str, number: int) -> None:
        """SIGKILL, at a random moment."""
        dice = random.Random(f"{self.seed} kill {name} {number}")
        how = dice.choice(KILLS)
        self._disturb(name, "killed", how, dice, f"{how.__name__} {number}")
        self.kills[how.__name__] += 1

    def interrupt(self, name: str, number: int) -> None:
        """A signal that asks it to end."""
        dice = random.Random(f"{self.seed} signal {name} {number}")
        which, whole_group = dice.choice(SIGNALS), dice.random() < 0.5
        self._disturb(name, "signalled", send(which, whole_group), dice, f"{which.name} {number}", which)

    def stream(self, name: str, where: str) -> None:
        """A standard stream that is full or closed."""
        case = self._case(name, random.Random(self.seed), where)
        with self._alone(case.command):
            case.run()
        if complaint := _unlike_a_lost_stream(case, self.usual[name]):
            case.wrong("statuses", f"{complaint}: {case.errors or 'nothing said'}")
        self._count(name, "streams", case, where)

    def _disturb(
        self, name: str, column: str, how: Disturb, dice: random.Random, label: str, which: signal.Signals | None = None
    ) -> None:
        """which: the signal that asks it to end, if it is asked."""
        for _ in range(TRIES):
            case = self._case(name, dice)
            with self._alone(case.command):
                case.run(how, dice.uniform(0.0, self.usual[name].seconds))
            if case.disturbed and which is not None and (complaint := _unlike_a_signal(case, which)):
                case.wrong("statuses", f"{complaint}: {case.errors or 'nothing said'}")
            self._count(name, column if case.disturbed else "late", case, label)
            if case.disturbed:
                break

    def _case(self, name: str, dice: random.Random, redirected: str = "") -> Case:
        return Case(COMMANDS[name], self.place, dice, redirected)

    def _alone(self, command: Command) -> threading.Lock | nullcontext[None]:
        """One at a time where the kernel's KSM is used, and when nobody else does."""
        if not command.kernel:
            return nullcontext()
        tunables(wait=KSM_WAIT)
        return self._kernel

    def _count(self, name: str, column: str, case: Case, label: str) -> None:
        counts = self.tally.setdefault(name, Counter())
        counts[column] += 1
        self.statuses.setdefault(name, Counter())[case.status] += 1
        counts.update(fault.kind for fault in case.faults)
        for fault in case.faults:
            print(f"WRONG {name}: {label} in {case.folder}: {fault.kind}: {fault.what.strip()}", flush=True)

    def table(self) -> str:
        """The tally."""
        columns = ("killed", "signalled", "streams", "late", *KINDS)
        names = [name for name in COMMANDS if name in self.tally]
        rows = [[name, *(str(self.tally[name][column]) for column in columns)] for name in names]
        total = ["all", *(str(sum(self.tally[name][column] for name in names)) for column in columns)]
        ends = ["ended with", *(_listed(self.statuses[name]) for name in names), ""]
        lines = [["command", *columns], *rows, total]
        cells = [
            f"{line[0]:<19}" + "".join(f"{cell:>{len(name) + 2}}" for name, cell in zip(columns, line[1:], strict=True))
            for line in lines
        ]
        table = "\n".join(f"{line}  {end}".rstrip() for line, end in zip(cells, ends, strict=True))
        return f"{table}\nkills: {', '.join(f'{how} {count}' for how, count in sorted(self.kills.items()))}"

    @property
    def wrong(self) -> int:
        return sum(counts[kind] for counts in self.tally.values() for kind in KINDS)


def _listed(statuses: Counter[int]) -> str:
    return " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))


def _unlike_a_signal(case: Case, which: signal.Signals) -> str:
    """What is wrong with how it ended; before it was at its work a signal may end it as any program."""
    if case.status not in (128 + which, -which, *case.command.status):
        return f"status {case.status}"
    if case.status == 128 + which and "interrupted" not in case.errors:
        return "it does not say that it was interrupted"
    return ""


def _unlike_a_lost_stream(case: Case, usual: Case) -> str:
    """What is wrong with how it ended: lost output is one line and status 1, all else ends as usual."""
    lost = not case.redirected.startswith("2") and bool(usual.output)
    expected = {1 if lost else usual.status} | ({*case.command.status} if case.command.kernel else set())
    if case.status not in expected:
        return f"status {case.status}, not {sorted(expected)}"
    said = [line for line in case.errors.splitlines() if "standard output cannot be written" in line]
    if lost and case.status == 1 and (len(said) != 1 or not said[0].startswith("vmdedup: ")):
        return "it does not say in one line that its output is lost"
    return ""


def shared_out(names: list[str], count: int) -> list[tuple[str, int]]:
    """So many cases over all commands, each as often as the others."""
    return [(names[number % len(names)], number // len(names)) for number in range(count)]


def drill(names: list[str], here: Place, options: argparse.Namespace) -> Drill:
    """All of it. Returns the tally."""
    done, dice = Drill(here, options.seed), random.Random(options.seed)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(done.undisturbed, names))
        kills = [(name, partial(done.kill, name, number)) for name, number in shared_out(names, options.kills)]
        signals = [(name, partial(done.interrupt, name, number)) for name, number in shared_out(names, options.signals)]
        streams = [(name, partial(done.stream, name, where)) for name in names for where in STREAMS[: options.streams]]
        cases = [*kills, *signals, *streams]
        dice.shuffle(cases)
        cases.sort(key=lambda case: COMMANDS[case[0]].kernel)  # these wait for each other, and for whoever has KSM
        began = time.monotonic()
        for number, _ in enumerate(pool.map(lambda case: case[1](), cases), 1):
            if number % 50 == 0:
                print(f"{number} of {len(cases)} cases, {time.monotonic() - began:.0f} s", flush=True)
    return done


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python tests/drill.py [--kills N] [--signals N] [--seed N] [OPTION…] [COMMAND…]",
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)} (all)")
    parser.add_argument("--kills", type=int, default=500, metavar="N", help="how many, over all commands (500)")
    parser.add_argument("--signals", type=int, default=100, metavar="N", help="SIGTERM and SIGHUP, together (100)")
    parser.add_argument(
        "--streams", type=int, default=len(STREAMS), metavar="N", help="the first N kinds of them (all)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random moments (1)")
    parser.add_argument("--jobs", type=int, default=3, metavar="N", help="so many commands at a time (3)")
    parser.add_argument("--no-kernel", action="store_true", help="leave out what needs the kernel's KSM")
    options = parser.parse_args()
    if unknown := set(options.commands) - set(COMMANDS):
        parser.error(f"{', '.join(sorted(unknown))} is not among the commands; see --help")
    return options


def main() -> int:
    """Drill as the command line says."""
    options = _options()
    names = options.commands or [name for name in COMMANDS if not (options.no_kernel and COMMANDS[name].kernel)]
    kernel = any(COMMANDS[name].kernel for name in names)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started by nohup, all would ignore these
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    with place(folder, kernel) as here:
        if kernel and here.tunables is None:
            print(
                "the kernel's KSM takes root, and that nobody else uses it; --no-kernel leaves it out", file=sys.stderr
            )
            return 2
        done = drill(names, here, options)
    print(done.table())
    if done.wrong:
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
