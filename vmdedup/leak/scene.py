"""Guests on one host under one policy, in virtual time: where attacks are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from vmdedup.breakdown import in_a_line
from vmdedup.errors import BrokeDownError, VmdedupError
from vmdedup.host.layout import CTL_HINTS
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.base import Policy
from vmdedup.policy.table import load_policy

VICTIM, ATTACKER = 1, 2  # their domains
FULL_SCANS = 6  # after so many, what has not been merged is not going to be
_MOST_NS = 24 * 3600 * 1_000_000_000
_MS = 1_000_000
_IDLE_BATCHES = 100  # one that found nothing to do as often as that rests longer
_IDLE_NS = 10_000 * _MS
_GIVEN_UP_NS = 3600 * 1000 * _MS  # without anything to do


class Scene:
    """A host whose guests say when they come. now: ns since it began. random: of all that guests do."""

    def __init__(self, host: Host, policy: Policy, random: np.random.Generator) -> None:
        self.host = host
        self.policy = policy
        self.random = random
        self.now = 0
        self._idle = 0  # batches in a row that looked at nothing
        self._busy_at = 0  # when one last did

    def admit(self, name: str, pages: int, domain: int, spare: int = 0) -> Memory:
        """A guest whose pages are all different. spare: pages more, that it has not touched."""
        memory = self.host.add(pages + spare, name, domain=domain)
        rows = self.random.integers(0, 256, (pages, self.host.page_size), dtype=np.uint8)
        memory.write_pages(np.arange(pages), rows)
        self.policy.enter(memory.mm)
        return memory

    @property
    def rounds(self) -> int:
        """How often all memory has been gone through."""
        return self.policy.counters()["full_scans"]

    def step(self) -> None:
        """One batch, what it costs, and the rest after it."""
        policy = self.policy
        policy.charge(self.now // _MS, policy.work_ns() // _MS)
        looked, before = 0, policy.work_ns()
        if policy.get("run") == 1:
            looked = policy.batch(policy.get("pages_to_scan"))
        self._idle = 0 if looked else self._idle + 1
        rest = max(1, policy.get("sleep_millisecs")) * _MS
        self.now += policy.work_ns() - before + (rest if self._idle < _IDLE_BATCHES else max(rest, _IDLE_NS))
        if looked:
            self._busy_at = self.now

    @property
    def is_over(self) -> bool:
        """Whether the policy had its chance: FULL_SCANS rounds, an hour of doing nothing, or a day."""
        return self.rounds >= FULL_SCANS or self.now - self._busy_at > _GIVEN_UP_NS or self.now > _MOST_NS

    def wait(self, done: Callable[[], bool], rounds: int = 0) -> None:
        """Step to the end of the round in which it is done, not before so many rounds, or until it is over.

        Nobody tells an attacker when that is: it waits for so long that a round more or less does not matter.
        """
        done_in = FULL_SCANS
        while not self.is_over:
            self.step()
            if done():
                done_in = min(done_in, max(rounds, self.rounds))
            if self.rounds > done_in:
                return


@contextmanager
def scene(
    name: str, tunables: Mapping[str, str], pages: int, seed: int, draws: object = None, frames: int | None = None
) -> Iterator[Scene]:
    """A scene under a policy, by its name or as FILE.py, for two guests of so many pages together.

    tunables: written before anybody is there. draws: seed of the guests, as numpy takes it; otherwise seed. frames: of
    host memory. KnobError: as Policy.set. BrokeDownError: the policy raised what is none of our errors.
    """
    kind = load_policy(name)
    host = Host.create(pages, frames, mms=2, swap=kind.needs_swap)
    host.arrays.ctl[CTL_HINTS] = int(kind.wants_hints)
    try:
        policy = kind(host, seed)
        for knob, text in tunables.items():
            policy.set(knob, text)
        yield Scene(host, policy, np.random.default_rng(seed if draws is None else draws))  # type: ignore[arg-type]
    except VmdedupError:
        raise
    except Exception as error:
        raise BrokeDownError(f"policy {name} broke down: {in_a_line(error)}") from error
    finally:
        host.close()
