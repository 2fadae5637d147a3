"""A guest in this process: its memory, its kernel, its boot and its workload."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmdedup.errors import GuestError, UsageError
from vmdedup.guest.balloon import Balloon
from vmdedup.guest.disk import Disk
from vmdedup.guest.filesystem import Filesystem
from vmdedup.guest.forms import form_of
from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.reporting import FreePageReporting
from vmdedup.guest.seeds import split_seed
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.stats import GuestStats
from vmdedup.guest.variant import in_release
from vmdedup.guest.workloads import check_parameters, make_boot, make_workload
from vmdedup.guest.workloads.base import Workload
from vmdedup.guest.workloads.boot import Boot
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.memory import Memory

_SCRATCH_SHARE = 2
_MOMENT_MS = 1000  # from one look at what programs use to the next


class Guest:
    """One guest. memory: its physical memory, as large as the spec says. disk: of spec.disk, its own release.

    Raises UsageError if the workload or a parameter is unknown, or if pages are not of 4096 bytes.
    """

    def __init__(self, spec: GuestSpec, memory: Memory, disk: Disk) -> None:
        check_parameters(spec.workload, spec.parameters)
        check_parameters("boot", spec.boot)
        if memory.page_size != PAGE_SIZE or memory.pages != spec.memory_pages:
            raise UsageError(
                f"guest {spec.name!r} needs {spec.memory_pages} pages of {PAGE_SIZE} bytes, not {memory.pages} of "
                f"{memory.page_size}; make the host with that page size"
            )
        self.spec = spec
        self.memory = memory
        self.disk = in_release(disk, spec.variant)
        scratch, seed = spec.memory_pages * _SCRATCH_SHARE, split_seed(spec.seed, "files")
        self.files = Filesystem(self.disk, scratch, seed, form_of(memory))
        self.state = "off"
        self._boots = 0
        self._left_mib = spec.balloon.target_mib
        self._virtual_ms = 0.0
        self._booted_ms = 0.0

    def boot(self) -> None:
        """Power on: firmware and kernel are in memory at once, the rest of the boot takes virtual time."""
        if self.state != "off":
            raise GuestError(f"guest {self.spec.name!r} is {self.state} and cannot be powered on")
        self._power_on()

    def _power_on(self) -> None:
        spec = self.spec
        self.kernel = GuestKernel(spec, self.memory, self.files, self._boots)
        self.kernel.start()
        self._balloon = self.kernel.balloon = Balloon(self.kernel, replace(spec.balloon, target_mib=self._left_mib))
        physical, reports = self.kernel.physical, spec.free_page_reporting
        self._reporting = FreePageReporting(self.memory, physical) if reports else None
        given = spec.parameters if spec.workload == "boot" else spec.boot
        self._boot: Boot = make_boot(spec.workload, self.kernel, given)
        self._workload: Workload[Any] | None = None
        self._booted_ms = self._virtual_ms
        self._boots += 1
        self.state = "booting"

    def tick(self, ms: float) -> GuestStats:
        """Live for ms milliseconds of virtual time."""
        self.advance(ms)
        return self.stats()

    def advance(self, ms: float) -> None:
        """As tick, without saying anything."""
        self._virtual_ms += ms
        if self.state == "booting":
            self._boot.step(ms)
            if self._boot.finished:
                self._begin_workload()
        elif self._workload is not None:
            self._workload.step(ms)
        if self._virtual_ms // _MOMENT_MS != (self._virtual_ms - ms) // _MOMENT_MS:
            self.kernel.run_programs()
        self._give_back(ms)
        self._boot_again()

    def _give_back(self, ms: float) -> None:
        """What the guest's kernel does beside its programs, so that the host has memory."""
        self._balloon.step(ms)
        if self._reporting is not None:
            self._reporting.step(ms)

    def aim_balloon(self, mib: float) -> None:
        """The host wants the guest to be left with so much memory from now on; 0: with all."""
        self._need_power()
        self._left_mib = mib
        self._balloon.aim(mib)

    def live(self, ms: float) -> bool:
        """As advance, for ms milliseconds of wall time. Returns whether it is too eager to rest now."""
        workload = self._workload
        if workload is None or not workload.eager:
            self.advance(ms)
            return False
        self._virtual_ms += ms
        workload.burst()
        self._give_back(ms)
        self._boot_again()
        return True

    def _boot_again(self) -> None:
        again = 1000.0 * self._boot.parameters.again_s
        if again and self._virtual_ms - self._booted_ms >= again:
            self.reboot()

    def _begin_workload(self) -> None:
        self.state = "running"
        if self.spec.workload != "boot":
            self._workload = make_workload(self.spec.workload, self.kernel, self.spec.parameters)

    def reboot(self) -> None:
        """Start again. As on real machines memory keeps what it held, unless pages are zeroed when freed."""
        self._need_power()
        if self.spec.free_pages == "zero_on_free":
            self.kernel.physical.clear(self.kernel.used())
        self._power_on()

    def leave(self) -> None:
        """Power off and give all memory back to the host."""
        self._need_power()
        self.state = "left"
        self.memory.exit()

    def verify(self) -> int:
        """Read back all whose content is known. Returns pages verified. Raises GuestError on a wrong one."""
        self._need_power()
        return self.kernel.verify() + (self._workload.verify() if self._workload is not None else 0)

    def _need_power(self) -> None:
        if self.state not in ("booting", "running"):
            raise GuestError(f"guest {self.spec.name!r} is {self.state}; power it on first")

    def stats(self) -> GuestStats:
        """What the guest says of itself now."""
        if self.state in ("off", "left"):
            return GuestStats(self.spec.name, self.state, self._virtual_ms, self._boots, self.memory.pages)
        kernel = self.kernel
        anonymous = kernel.anonymous_pages()
        free, cached, ballooned = kernel.physical.free, kernel.cache.size, len(self._balloon)
        return GuestStats(
            name=self.spec.name,
            state=self.state,
            virtual_ms=self._virtual_ms,
            boots=self._boots,
            memory_pages=self.memory.pages,
            kernel_pages=self.memory.pages - free - cached - anonymous - ballooned,
            cached_pages=cached,
            anonymous_pages=anonymous,
            free_pages=free,
            balloon_pages=ballooned,
            processes=len(kernel.processes),
            file_pages_read=kernel.pages_read,
            file_pages_missed=kernel.pages_missed,
            file_pages_written=kernel.pages_written,
            evicted_pages=kernel.cache.evicted,
        )
