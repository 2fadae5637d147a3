"""A run from nothing to results to nothing left: the playbooks in order, with what must be held meanwhile.

    prepare, images │ lock on KSM, guardian of its tunables │ guests, workload │ measure, collect │ teardown

Whatever happens after the lock is taken, teardown is played. If this process is killed, the guardian ends what Ansible
has started, puts the tunables back, takes the guests away and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vmdedup.errors import VmdedupError
from vmdedup.image.store import built
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guests import away
from vmdedup.live.guests.accel import choose
from vmdedup.live.guests.guest import qemu_pid
from vmdedup.live.guests.marks import start_time
from vmdedup.live.ksm.alone import require_root
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.provision.events import Record
from vmdedup.live.provision.inventory import inventory, save_inventory
from vmdedup.live.provision.plan import STOP, RunPlan
from vmdedup.live.provision.playbook import Ansible, Heard, find_ansible
from vmdedup.result.directory import json_bytes

PREPARE, PROVISION = ("prepare", "images"), ("guests", "workload")
MEASURE, TEARDOWN = ("measure", "collect"), ("teardown",)


@dataclass(frozen=True, slots=True)
class Step:
    """Some playbooks played. changed: how many tasks changed something, by host. tasks: name and seconds, in order."""

    playbooks: Sequence[str]
    seconds: float
    changed: dict[str, int]
    tasks: Sequence[tuple[str, float]]


@dataclass(slots=True)
class Report:
    """What was done. interrupted: somebody asked for an early end. results: whether there are any."""

    steps: list[Step] = field(default_factory=list)
    interrupted: bool = False
    results: bool = False

    @property
    def seconds(self) -> float:
        """How long all steps took."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run shall go.

    images: the folder of built images. again: provision twice, the second time must change nothing. wait: seconds to
    wait for KSM's lock. stop: asked all the time whether to end early. heard: told what goes on.
    """

    images: Path
    again: bool = False
    wait: float = 0.0
    stop: Callable[[], bool] = lambda: False
    heard: Heard = lambda line: None


def provision(plan: RunPlan, output: Path, wishes: Wishes) -> Report:
    """Make the guests, have them work, measure into `output`, and take everything down.

    VmdedupError: a step failed, with task, host, reason, and where the log is; or a second provisioning changed
    something. EnvironmentLacksError: no root, no Ansible, KSM not idle. Interrupted while measuring, the results
    so far are kept; earlier, there are none.
    """
    require_root()
    program = find_ansible()
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        guardian = stack.enter_context(Guardian())
        log = output.with_name(f"{output.name}.ansible.log")
        ansible = Ansible(guardian.folder("vmdedup-"), program, log, wishes.heard)
        domains = [guest.domain for guest in plan.guests]
        stack.enter_context(guardian.in_charge_of(ansible.word, away.remedy(domains), away.command(domains)))
        stack.callback(ansible.end_leftovers)
        course = _Course(plan, ansible, wishes, output)
        course.run(guardian)
        return course.report


class _Course:
    """The steps of one run."""

    def __init__(self, plan: RunPlan, ansible: Ansible, wishes: Wishes, output: Path) -> None:
        self.report = Report()
        self._plan, self._ansible, self._wishes, self._output = plan, ansible, wishes, output
        self._write()

    def run(self, guardian: Guardian) -> None:
        """All of it; interrupted, the report says so."""
        try:
            self._play(PREPARE)
            self._choose_accelerator()
            with KsmSession(wait=self._wishes.wait, guardian=guardian), self._taken_down():
                self._with_guests(guardian)
        except KeyboardInterrupt:
            self.report.interrupted = True
        self.report.interrupted |= self._wishes.stop()
        self._keep()

    def _write(self) -> None:
        """Write the plan and the inventory into the directory of the run."""
        directory = self._ansible.directory
        self._plan.save(directory)
        owner = os.getpid(), start_time(os.getpid())
        document = inventory(self._plan, directory, self._wishes.images, owner)
        document["all"]["vars"] |= {"measure_results": str(self._output), "collect_results": str(self._output)}
        save_inventory(document, directory)

    def _choose_accelerator(self) -> None:
        """KVM or TCG, found out with the images that are built now."""
        images = [built(name) for name in self._plan.images]
        accelerator = choose(self._plan.accelerator, images, self._wishes.heard)
        self._plan = replace(self._plan, accelerator=accelerator)
        self._write()

    def _with_guests(self, guardian: Guardian) -> None:
        self._play(PROVISION)
        for guest in self._plan.guests:
            guardian.end(qemu_pid(guest.domain))
        if self._wishes.again:
            self._refuse_changes(self._play((*PREPARE, *PROVISION)))
        self._play(MEASURE, wanted=self._measured)

    @contextmanager
    def _taken_down(self) -> Iterator[None]:
        """Whatever happens inside, teardown comes after it; what it leaves is said too."""
        try:
            yield
        except BaseException as error:
            if left := self._take_down():
                raise VmdedupError(f"{error or 'interrupted'}; and {left}") from None
            raise
        if left := self._take_down():
            raise VmdedupError(left)

    def _take_down(self) -> str:
        """Play teardown; if that fails, remove the domains without Ansible. Returns what could not be done."""
        names = [guest.domain for guest in self._plan.guests]
        try:
            self._play(TEARDOWN, wanted=lambda: True)
        except (VmdedupError, KeyboardInterrupt) as failed:
            self._wishes.heard(f"teardown failed ({failed}); removing the guests without Ansible")
            try:
                away.take_away(names)
            except VmdedupError as error:
                return f"guests may be left ({error}); remove them: vmdedup live remove {' '.join(names)}"
        return ""

    def _play(self, books: Sequence[str], wanted: Callable[[], bool] | None = None) -> Record:
        """Play and note; ended early if that is wished."""
        began = time.monotonic()
        record = self._ansible.play(books, wanted or (lambda: not self._wishes.stop()))
        tasks = [(task.name, round(task.seconds, 3)) for task in record.tasks]
        self.report.steps.append(Step(books, round(time.monotonic() - began, 3), record.changed, tasks))
        return record

    def _measured(self) -> bool:
        """While measuring, an early end is asked for with a file; the playbook goes on and collects."""
        if self._wishes.stop():
            (self._ansible.directory / STOP).touch()
        return True

    def _refuse_changes(self, record: Record) -> None:
        changed = [f"{task.name} ({', '.join(task.changed)})" for task in record.tasks if task.changed]
        if changed:
            raise VmdedupError(f"provisioning again changed something: {'; '.join(changed)}")

    def _keep(self) -> None:
        """Put the log and the times beside the results."""
        output = self._output
        self.report.results = (output / "run.json").is_file()
        if self.report.results:
            shutil.move(self._ansible.log, output / "ansible.log")
            (output / "provision.json").write_bytes(json_bytes(document(self.report)))


def document(report: Report) -> dict[str, Any]:
    """A report as provision.json and `--json` have it."""
    steps = [asdict(step) | {"tasks": [{"task": t, "seconds": s} for t, s in step.tasks]} for step in report.steps]
    about = {"schema_version": 1, "interrupted": report.interrupted, "seconds": round(report.seconds, 3)}
    return about | {"steps": steps}
