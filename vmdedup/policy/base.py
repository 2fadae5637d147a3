"""What every policy is: a scanner of one host's memory with a budget, tunables, counters, and a bill.

    attach (its constructor) ─► enter(mm) … ─► scan(pages), scan(pages), … ─► counters(), work_ns()

A policy sees guests through host memory only (host.share, host.absent, host.hints). It runs in a process of its own
(scanner.process) and may be killed at any instruction: what it keeps in its own memory is lost then, what it did to
page tables stays true, and a new one attaches to the host as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vmdedup.errors import KnobError
from vmdedup.ksm.prices import Tally, bill_ns
from vmdedup.ksm.profile import Profile
from vmdedup.ksm.sysfs import Tunable
from vmdedup.late import load
from vmdedup.policy.work import Work

if TYPE_CHECKING:
    from vmdedup.host.memory import Host

# Every policy's schedule: batches with rests between them, as ksmd has it. So equal values mean equal scan budgets.
SCHEDULE: Mapping[str, Tunable] = {
    tunable.name: tunable
    for tunable in (
        Tunable("run", 1, "0: it rests; 1: it scans", high=1),
        Tunable("pages_to_scan", 100, "pages that it scans before it sleeps", "pages"),
        Tunable("sleep_millisecs", 20, "how long it sleeps between two batches", "ms"),
    )
}


class Policy(ABC):
    """One policy on one host. One of them may work on a host at a time.

    name: as users write it. source: the paper, and where in it. tunables: its own, besides SCHEDULE. leaks: what guests
    can learn of others under it, and what not, where that is what it is for; with what `vmdedup leak` says.
    below_page: patches or compression are among its means. needs_swap, wants_hints: what a run gets ready for it.
    host: whose memory it scans. seed: of all its random choices.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    leaks: ClassVar[str] = ""
    tunables: ClassVar[Mapping[str, Tunable]] = {}
    below_page: ClassVar[bool] = False  # whether it also keeps pages in other forms than whole
    needs_swap: ClassVar[bool] = False  # whether its host is to have a swap area (Host.create(swap=True))
    wants_hints: ClassVar[bool] = False  # whether guests shall leave hints for it (host.hints)
    is_tallied: ClassVar[bool] = False  # whether it is a ksmd: tally() tells how long a batch takes
    keeps_budget: ClassVar[bool] = True  # False: each scan looks at everything, however few pages it is given
    is_bound: ClassVar[bool] = False  # True: what could be saved at most, and no way to get there
    is_steered: ClassVar[bool] = False  # True: a daemon beside it wants its clock told even while it does not scan

    def __init__(self, host: Host, seed: int = 0) -> None:
        self.host = host
        self.seed = seed
        self.now_ms = 0
        self.work = Work()
        self._knobs = {name: tunable.default for name, tunable in self.all_tunables().items()}

    @classmethod
    def all_tunables(cls) -> dict[str, Tunable]:
        """Its schedule and its own tunables, by name."""
        return {**SCHEDULE, **cls.tunables}

    def as_of(self, profile: Profile) -> None:  # noqa: B027 - most are of no kernel
        """Which version of Linux it shall do as, before it is told anything else. Of no concern to most."""

    # Guests

    @abstractmethod
    def enter(self, mm: int) -> None:
        """An address space may be scanned from now on, after all that entered before."""

    @abstractmethod
    def exit(self, mm: int) -> None:
        """An address space has ended: forget it, then let the host use its record again (Host.release)."""

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a NUMA node, while nobody runs. Returns how many frames stay where they are.

        Those do that it has shared, unless it can follow them.
        """
        stay: int = load("vmdedup.host.mover:Mover")(self.host).relocate(mm, node)
        return stay

    # Work

    @abstractmethod
    def scan(self, pages: int) -> int:
        """Look at up to so many pages. Returns how many; fewer only if there is nothing to look at."""

    def batch(self, pages: int) -> int:
        """scan(), with waking up for it on the bill: what runs call. A scanner that finds nothing was not woken."""
        looked = self.scan(pages)
        self.work.count("batch", int(looked > 0))
        return looked

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock. cpu_ms, the CPU time it has had, matters to controllers only."""
        self.now_ms = now_ms

    def work_done(self) -> dict[str, int]:
        """How often it has done each operation of its price list."""
        return dict(self.work.done)

    def tally(self) -> Tally | None:
        """What tells how long a batch takes (ksm.prices) if is_tallied; else it lasts as long as it is billed."""
        return None

    def work_ns(self) -> int:
        """CPU time that it has used by its price list (policy.work), nanoseconds."""
        return bill_ns(self.work_done(), self.work.prices)

    # Tunables

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError: unknown (ENOENT), or refused (EINVAL, ERANGE, EBUSY)."""
        tunables = self.all_tunables()
        if knob not in tunables:
            raise KnobError(knob, text, "ENOENT")
        self._knobs[knob] = tunables[knob].parse(text)

    def knobs(self) -> dict[str, int]:
        """Every tunable's value."""
        return dict(self._knobs)

    # Figures

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """Figures by name; always full_scans, pages_scanned, pages_shared and pages_sharing, as KSM means them."""

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """Figures of one address space under KSM's names, as far as this policy has them."""
        from vmdedup.policy.figures import merging_pages  # which loads kernels: not for a look at the class

        zero, merging = int(self.host.arrays.mms[mm]["zero_pages"]), merging_pages(self.host, mm)
        profit = (merging + zero) * self.host.stands_for
        return {
            "ksm_rmap_items": 0,
            "ksm_zero_pages": zero,
            "ksm_merging_pages": merging,
            "ksm_process_profit": profit,
        }

    def check(self) -> None:
        """Verify its records against the host; raises InvariantError. The host's own check is Host.check."""
        self.host.check()

    def take_over(self) -> None:
        """What is merged on the host is another's, that has died: after tunables are written, before guests enter."""
        return

    def commands(self) -> dict[str, Callable[..., Any]]:
        """What its process can be asked besides what every policy can, by name (scanner.process)."""
        return {}

    def rehearse(self) -> None:
        """Run each kernel that it uses once: one address space has entered, of few pages, some of them equal."""
        for _ in range(4):
            self.scan(64)
        self.counters()

    def detach(self) -> None:
        """Let go of everything that it holds on the host, so that frames live only by who maps them."""
        return
