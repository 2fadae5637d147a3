"""Real guests of a scenario, started through libvirt without anything else, measured, compared, and taken away again.

    guardian, lock │ start, wait │ measure │ pause │ verify, dump │ stop

Nothing outlives it: the guardian and libvirt's daemon end the guests if this process is killed, and the guardian puts
KSM's tunables back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, GuestError, UsageError, VmdedupError
from vmdedup.image.store import Image, require
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guests.accel import choose
from vmdedup.live.guests.binding import restart
from vmdedup.live.guests.connection import SYSTEM, Connection
from vmdedup.live.guests.fleet import Fleet, Order
from vmdedup.live.guests.node_memory import NodeFiles
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory.export import export_ram
from vmdedup.live.memory.huge import HUGE_PAGES, without_huge_pages
from vmdedup.live.provision.plan import GuestPlan, RunPlan
from vmdedup.live.scripts.verify import Verification, verify
from vmdedup.outputs import check_output, make_folder
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Watcher
from vmdedup.run.qemu.host import QemuHost
from vmdedup.run.qemu.measured import measure
from vmdedup.units import parse_share

FILLED = "VMDEDUP-FILLED"  # what the tiny image's own work says when its memory is filled
_ALONE = ("boot", "idle")  # workloads that need nobody to start them


@dataclass(frozen=True)
class Wishes:
    """How a run shall go.

    huge_pages: "never" while QEMU starts; "split": before pages are compared; "keep". accel: auto, kvm or tcg.
    boot_limit, wait: seconds for all guests to come up, and for KSM's lock. measure, pause, verify: what is done.
    scans: full scans compared. variants: knobs of each comparison. dump: folder for the guests' memory.
    force: files there are replaced. dump_format: raw, elf, kdump-zlib.
    """

    uri: str = SYSTEM
    huge_pages: str = "split"
    accel: str = "auto"
    boot_limit: float = 300.0
    wait: float = 0.0
    measure: bool = True
    pause: bool = False
    verify: bool = False
    scans: int = 4
    variants: tuple[Mapping[str, str], ...] = ({},)
    dump: Path | None = None
    force: bool = False
    dump_format: str = "raw"

    def dump_file(self, folder: Path, name: str) -> Path:
        """Where a guest's memory goes."""
        return folder / f"{name}.{self.dump_format}"

    def check_dumps(self, names: Iterable[str]) -> None:
        """Before anything is started: UsageError if a dump must not be written."""
        if self.dump is not None:
            make_folder(self.dump)
            for name in names:
                check_output(self.dump_file(self.dump, name), self.force)


@dataclass
class Outcome:
    """What came of it. failure: what went wrong after the measuring, whose result is there all the same."""

    result: Result | None = None
    verifications: list[Verification] = field(default_factory=list)
    dumps: list[Path] = field(default_factory=list)
    interrupted: bool = False
    failure: VmdedupError | None = None


def run_direct(
    plan: RunPlan,
    wishes: Wishes,
    watcher: Watcher,
    stop: Callable[[], bool] = lambda: False,
    directory: RunDirectory | None = None,
) -> Outcome:
    """Run the plan's guests. stop: asked all the time whether to end early. directory: where rows go as they come.

    VmdedupError, KeyboardInterrupt: there is nothing to keep.
    """
    wishes.check_dumps(guest.name for guest in plan.guests)
    images = {name: require(name, note=watcher.event) for name in plan.images}
    words = {guest.name: _words(guest, images[guest.image]) for guest in plan.guests}
    accel = choose(wishes.accel, list(images.values()), watcher.event)
    with ExitStack() as stack:
        connection = stack.enter_context(Connection(wishes.uri))
        guardian = stack.enter_context(Guardian())
        session = stack.enter_context(KsmSession(wishes.wait, NodeFiles(connection), guardian))
        session.start_state()
        fleet = Fleet(connection, guardian, f"{plan.name}-{uuid.uuid4().hex[:8]}")
        run = _Run(plan, wishes, watcher, connection, session, guardian, fleet, stop, directory)
        stack.callback(run.stop)
        run.start(images, words, accel)
        run.work()
    return run.outcome


class _Run:
    """The steps of one run."""

    def __init__(
        self,
        plan: RunPlan,
        wishes: Wishes,
        watcher: Watcher,
        connection: Connection,
        session: KsmSession,
        guardian: Guardian,
        fleet: Fleet,
        stop: Callable[[], bool],
        directory: RunDirectory | None,
    ) -> None:
        self._plan, self._wishes, self._watcher = plan, wishes, watcher
        self._connection, self._session, self._guardian = connection, session, guardian
        self._fleet, self._stop, self._directory = fleet, stop, directory
        self.outcome = Outcome()

    def start(self, images: Mapping[str, Image], words: Mapping[str, tuple[str, ...]], accel: str) -> None:
        """Start all guests and wait until they are up."""
        if self._wishes.huge_pages == "never":
            without_huge_pages(self._guardian, HUGE_PAGES)
        for number, guest in enumerate(self._plan.guests, start=1):
            self._watch()
            self._watcher.event(f"starting {guest.name} ({number} of {len(self._plan.guests)})")
            self._fleet.start(
                Order(
                    name=guest.name,
                    domain=guest.domain,
                    image=images[guest.image],
                    memory_mib=guest.memory_mib,
                    accel=accel,
                    sharing=guest.sharing,
                    port=guest.port,
                    words=words[guest.name],
                    line=FILLED if words[guest.name] else "",
                )
            )
        self._watcher.event("waiting for the guests to come up")
        self._fleet.wait_ready(self._wishes.boot_limit, self._watch)

    def work(self) -> None:
        """Measure, then all that is done with guests that stand still. What fails after the measuring is kept apart."""
        if self._wishes.measure:
            self._measure()
        self.outcome.interrupted = self._stop()
        if self.outcome.interrupted or self.outcome.failure is not None:
            return
        try:
            self._stand_still()
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        except VmdedupError as error:
            if self.outcome.result is None:
                raise
            self.outcome.failure = error

    def _measure(self) -> None:
        self.outcome.result = measure(
            self._plan, self._fleet.pids, self._session.files, self._watcher, self._directory, self._stop, self._settle
        )

    def _settle(self, host: QemuHost) -> None:
        """Where it is wished, have the last row be that of guests that stand still; if that fails, of running ones."""
        if not self._wishes.pause:
            return
        try:
            self._fleet.pause()
            host.state = "paused"
        except VmdedupError as error:
            self.outcome.failure = error

    def _stand_still(self) -> None:
        if not (self._wishes.verify or self._wishes.dump):
            return
        for guest in self._fleet.guests.values():
            if not guest.is_paused():
                guest.pause()
        if self._wishes.dump is not None:
            self._dump(self._wishes.dump)
        if self._wishes.verify:
            without_huge_pages(self._guardian, HUGE_PAGES)
        for knobs in self._wishes.variants if self._wishes.verify else ():
            self._watch()
            split = self._wishes.huge_pages == "split"
            found = verify(self._session, self._fleet.pids, self._wishes.scans, knobs, self._note, split)
            self.outcome.verifications.append(found)

    def _dump(self, folder: Path) -> None:
        for name, guest in self._fleet.guests.items():
            self._note(f"dumping {name}")
            path = self._wishes.dump_file(folder, name)
            if self._wishes.dump_format == "raw":
                export_ram(guest.pid, path)
            else:
                guest.dump(path.absolute(), self._wishes.dump_format)
            self.outcome.dumps.append(path)

    def _note(self, text: str) -> None:
        self._watch()
        self._watcher.event(text)

    def _watch(self) -> None:
        """Stop here if that is wished."""
        if self._stop():
            raise KeyboardInterrupt

    def stop(self) -> None:
        """End the guests; those that cannot be ended are named, whatever else went wrong."""
        try:
            self._fleet.stop()
        except GuestError as error:
            if self.outcome.result is None:
                raise
            self.outcome.failure = error
        if self.outcome.failure is None and not self._connection.is_alive():
            reason = "libvirtd has gone during the run, whose guests were ended without it"
            self.outcome.failure = EnvironmentLacksError(f"{reason}; {restart()}")


def _words(guest: GuestPlan, image: Image) -> tuple[str, ...]:
    """What starts a guest's workload from its kernel's command line. UsageError: nothing does."""
    if guest.workload in _ALONE:
        return ()
    if guest.workload == "phases" and image.disk is None:
        share = parse_share(guest.parameters.get("fill_share", "50%"))
        return (f"vmdedup.work={max(1, int(share * guest.memory_mib * 0.6))}",)
    raise UsageError(
        f"guest {guest.name!r}: nobody starts workload {guest.workload!r} in image {image.name!r}; "
        "leave out --direct, or let the guest be idle"
    )
