"""The measured part of a run that Ansible provisions: in a process of its own, started by the role `measure`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.live.guests.guest import qemu_pid
from vmdedup.live.ksm.alone import require_root
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.provision.plan import FILE, STOP, RunPlan
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Silent
from vmdedup.run.qemu.measured import measure


def measure_provisioned(directory: Path, results: RunDirectory) -> Result:
    """Start ksmd with the plan's tunables and measure the guests of directory/plan.json for as long as that says.

    results: where rows go as they come.

    A file `stop` in the directory, or the directory's end, ends it early. ksmd is stopped afterwards; putting the
    tunables back is up to who holds KSM's lock. VmdedupError: nobody does, no plan, a guest does not run.
    """
    require_root()
    plan = RunPlan.load(directory)
    _require_held()
    pids = {guest.name: qemu_pid(guest.domain) for guest in plan.guests if guest.sharing}

    def is_over() -> bool:
        return (directory / STOP).exists() or not (directory / FILE).exists()

    with closing(KsmFiles()) as files:
        return measure(plan, pids, files, Silent(), results, is_over)


def _require_held() -> None:
    """VmdedupError: nobody holds the lock on the kernel's KSM, so anybody may come in between."""
    try:
        lock = KsmLock()
    except EnvironmentLacksError:
        return
    lock.close()
    raise VmdedupError("nobody holds KSM's lock; put flock /run/vmdedup/ksm.lock before what calls this")
