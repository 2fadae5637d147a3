"""A scanner that runs freely, on a clock of its own: when its batches begin, how large they are, who stops it."""

from __future__ import annotations

import pytest

from kit.scanners import Counting
from vmdedup.errors import WorkerDiedError
from vmdedup.policy.controllers.ksmtuned import Ksmtuned
from vmdedup.policy.ideal import Ideal
from vmdedup.scanner.free import FreeScanner


class Clock:
    """Time that goes on only while somebody waits, or works; it ends."""

    def __init__(self, end: float) -> None:
        self.now, self.end = 0.0, end

    def wait(self, seconds: float) -> bool:
        """Until so much later, or the end."""
        self.now += seconds
        return self.is_set()

    def is_set(self) -> bool:
        """Whether it has ended."""
        return self.now >= self.end - 1e-9

    def set(self) -> None:
        """It ends now."""
        self.end = self.now


class Timed(Counting):
    """A batch takes so many seconds a page; `began` has when each began, in milliseconds."""

    def __init__(self, page_s: float = 0.0, **knobs: int) -> None:
        super().__init__(**knobs)
        self.page_s = page_s
        self.began: list[int] = []
        self.clock = Clock(0)

    def scan(self, pages: int) -> int:
        """One batch, which takes its time."""
        self.began.append(round(1000 * self.clock.now))
        self.clock.now += pages * self.page_s
        self.bill_ns += round(pages * self.page_s * 1e9)
        return super().scan(pages)

    def cpu_seconds(self) -> float:
        """All of its bill."""
        return self.bill_ns / 1e9


def run(scanner: Timed, seconds: float, monkeypatch: pytest.MonkeyPatch, share: float | None = None) -> FreeScanner:
    """Let it run for so long."""
    scanner.clock = Clock(seconds)
    monkeypatch.setattr("vmdedup.scanner.free.time.monotonic", lambda: scanner.clock.now)
    free = FreeScanner(scanner, share)
    monkeypatch.setattr(free, "_end", scanner.clock)
    free._run()
    return free


def test_batches_and_rests_are_as_tunables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 pages of 0.1 ms, and 20 ms of sleep: one every 30 ms."""
    scanner = Timed(0.0001)
    run(scanner, 0.1, monkeypatch)
    assert scanner.began == [0, 30, 60, 90]
    assert scanner.batches == [100] * 4
    assert scanner.charged == [(0, 0), (30, 10), (60, 20), (90, 30)]


def test_one_that_keeps_to_no_budget_rests_as_long_as_it_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Timed(0.001)
    scanner.kind = Ideal
    run(scanner, 0.45, monkeypatch)
    assert scanner.began == [0, 200, 400]
    quick = Timed(0.0001)
    quick.kind = Ideal
    run(quick, 0.1, monkeypatch)
    assert quick.began == [0, 30, 60, 90]


def test_a_share_of_a_core_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 2 µs, a tenth of a core: batches of a millisecond, one every ten."""
    scanner = Timed(2e-6)
    run(scanner, 0.1, monkeypatch, share=0.1)
    assert scanner.batches == [500] * 10
    assert scanner.began == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert scanner.charged[:2] == [(0, 0), (10, 1)]


@pytest.mark.parametrize("run_knob", [0, 2])
def test_a_stopped_one_looks_twenty_times_a_second(run_knob: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Timed(run=run_knob)
    looks: list[float] = []
    get = scanner.get

    def counted(knob: str) -> int:
        looks.append(scanner.clock.now)
        return get(knob)

    monkeypatch.setattr(scanner, "get", counted)
    run(scanner, 0.2, monkeypatch)
    assert scanner.batches == []
    assert looks == pytest.approx([0, 0.05, 0.1, 0.15])


def test_a_controller_is_told_the_time_while_ksmd_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Timed(sleep_millisecs=1000)
    scanner.kind = Ksmtuned
    run(scanner, 1.2, monkeypatch)
    # Before each batch twice, once as a controller and once as ksmd; every quarter of a second between them.
    assert scanner.charged == [(ms, 0) for ms in (0, 0, 250, 500, 750, 1000, 1000, 1000)]
    assert scanner.began == [0, 1000]


@pytest.mark.parametrize("knob", ["run", "sleep_millisecs"])
def test_another_setting_ends_the_sleep(knob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Steered(Timed):
        def charge(self, now_ms: int, cpu_ms: int) -> None:
            super().charge(now_ms, cpu_ms)
            if now_ms >= 300:
                self.knobs[knob] = {"run": 0, "sleep_millisecs": 900}[knob]

    scanner = Steered(sleep_millisecs=1000)
    scanner.kind = Ksmtuned
    run(scanner, 1.3, monkeypatch)
    assert scanner.began == {"run": [0], "sleep_millisecs": [0, 500]}[knob]


def test_an_error_ends_its_scanning_and_is_raised_by_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Timed):
        def scan(self, pages: int) -> int:
            raise WorkerDiedError("killed")

    free = run(Broken(), 1.0, monkeypatch)
    with pytest.raises(WorkerDiedError, match="killed"), free.standing():
        pytest.fail("nobody stands")


def test_nobody_scans_while_it_stands_and_leaving_ends_it() -> None:
    scanner = Timed(sleep_millisecs=3_600_000)
    with FreeScanner(scanner) as free, free.standing():
        before = len(scanner.batches)
        scanner.set("run", "0")
        assert len(scanner.batches) == before <= 1
    assert len(scanner.batches) <= 1


def test_leaving_raises_what_ended_it_unless_another_error_is_on_its_way() -> None:
    class Broken(Timed):
        def scan(self, pages: int) -> int:
            raise WorkerDiedError("killed")

    free = FreeScanner(Broken())
    with pytest.raises(WorkerDiedError, match="killed"), free:
        free._thread.join()
    with pytest.raises(ValueError, match="mine"), FreeScanner(Broken()) as other:
        fail_after(other)


def fail_after(free: FreeScanner) -> None:
    """Fail, once it has ended by itself."""
    free._thread.join()
    raise ValueError("mine")
