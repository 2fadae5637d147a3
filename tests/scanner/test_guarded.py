"""A scanner that is started again: which deaths are forgiven, how often, and who stands meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kit.scanners import Counting
from vmdedup.errors import BrokeDownError, WorkerDiedError
from vmdedup.policy.uksm.policy import Uksm
from vmdedup.scanner.guarded import GuardedScanner

TRIES = 20


class Dying(Counting):
    """Dies in the next calls, and while it is started again, as often as it is told to."""

    def __init__(self, deaths: int = 0, deaths_again: int = 0) -> None:
        super().__init__()
        self.deaths, self.deaths_again = deaths, deaths_again
        self.error: WorkerDiedError = WorkerDiedError("killed")
        self.tries = self.revived = 0

    def scan(self, pages: int) -> int:
        """One batch, if it lives."""
        self.tries += 1
        if self.deaths:
            self.deaths -= 1
            raise self.error
        return super().scan(pages)

    def revive(self) -> None:
        """Start again, if that is not its death."""
        self.revived += 1
        if self.deaths_again:
            self.deaths_again -= 1
            raise self.error

    def relocate(self, mm: int, node: int) -> int:
        """All of it goes."""
        return 0

    def check(self) -> None:
        """All is well."""


class Guard:
    """A guarded scanner, and what was seen of it: its notes, and how often everybody stood."""

    def __init__(self, scanner: Dying) -> None:
        self.scanner, self.guarded = scanner, GuardedScanner(scanner)
        self.notes: list[str] = []
        self.stood = 0
        self.guarded.note = self.notes.append
        self.guarded.standing = self.standing

    @contextmanager
    def standing(self) -> Iterator[None]:
        revived = self.scanner.revived
        yield
        self.stood += 1
        assert self.scanner.revived > revived, "it is started again while everybody stands"


@pytest.mark.parametrize(("deaths", "again"), [(0, 0), (1, 0), (2, 0), (TRIES, 0), (1, 1), (1, TRIES)])
def test_the_call_that_found_it_dead_is_made_again(deaths: int, again: int) -> None:
    guard = Guard(Dying(deaths, again))
    assert guard.guarded.scan(7) == 7
    assert guard.scanner.batches == [7]
    assert (guard.scanner.tries, guard.scanner.revived, guard.stood) == (deaths + 1, deaths + again, deaths)
    assert guard.notes == ["killed; it is started again"] * deaths


def test_one_that_dies_again_and_again_is_given_up_for_good() -> None:
    guard = Guard(Dying(TRIES + 1))
    with pytest.raises(WorkerDiedError, match=r"^killed, 21 times in a row before it had done anything$"):
        guard.guarded.scan(7)
    assert (guard.scanner.tries, guard.scanner.revived, guard.scanner.deaths) == (TRIES + 1, TRIES, 0)
    with pytest.raises(WorkerDiedError, match="21 times"):
        guard.guarded.get("run")
    assert guard.scanner.tries == TRIES + 1


def test_so_is_one_that_dies_whenever_it_is_started_again() -> None:
    guard = Guard(Dying(1, TRIES + 1))
    with pytest.raises(WorkerDiedError, match=r"^killed$"):
        guard.guarded.scan(7)
    assert guard.scanner.revived == TRIES + 1
    with pytest.raises(WorkerDiedError, match=r"^killed$"):
        guard.guarded.scan(7)


@pytest.mark.parametrize(("deaths", "again"), [(1, 0), (1, 1)])
def test_one_that_broke_down_is_not_started_again(deaths: int, again: int) -> None:
    """By an error of its own, in a call or as it started again: it would again."""
    guard = Guard(Dying(deaths, again))
    guard.scanner.error = BrokeDownError("a division by zero")
    with pytest.raises(BrokeDownError, match=r"^a division by zero$"):
        guard.guarded.scan(7)
    assert (guard.scanner.tries, guard.scanner.revived, guard.notes) == (1, 0, [])
    with pytest.raises(BrokeDownError):
        guard.guarded.counters()


def test_one_that_breaks_down_as_it_starts_again_is_given_up() -> None:
    class Broken(Dying):
        def revive(self) -> None:
            self.revived += 1
            raise BrokeDownError("a division by zero")

    guard = Guard(Broken(1))
    with pytest.raises(BrokeDownError):
        guard.guarded.scan(7)
    assert guard.scanner.revived == 1


def test_zeros_need_not_cost_a_policy_a_frame_unless_it_can_be_told() -> None:
    scanner = Dying()
    scanner.knobs["use_zero_pages"] = 0
    assert GuardedScanner(scanner).get("use_zero_pages") == 0
    scanner.kind = Uksm
    assert "use_zero_pages" not in Uksm.all_tunables()
    assert GuardedScanner(scanner).get("use_zero_pages") == 1
    assert GuardedScanner(scanner).get("run") == 1


def test_everything_else_is_handed_on() -> None:
    guard = Guard(Dying())
    guard.guarded.prices = {"visit": 3.0}
    guard.guarded.set("pages_to_scan", "9")
    guard.guarded.charge(5, 6)
    assert (guard.scanner.prices, guard.guarded.prices) == ({"visit": 3.0}, {"visit": 3.0})
    assert (guard.scanner.get("pages_to_scan"), guard.scanner.charged) == (9, [(5, 6)])
    assert guard.guarded.kind is guard.scanner.kind
