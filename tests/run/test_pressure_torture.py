"""Everything at once, in real time: huge pages, khugepaged, swap, KSM, too little memory, and kills at random.

TORTURE_SECONDS in the environment makes it longer than the suite has time for.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import Watching, host_of, run
from vmdedup.host.memory import Host
from vmdedup.run import run as run_module
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import COMPLETE

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

SECONDS = float(os.environ.get("TORTURE_SECONDS", "8"))
EVERY_S = 0.8  # a guest, or a kill of one or of ksmd
TEXT = """\
name = "torture"
duration = "{seconds}s"
clock = "wall"
[host]
memory = "24MiB"
swap = {{ kind = "{kind}", size = "24MiB" }}
huge_pages = "always"
[host.khugepaged]
scan_sleep_millisecs = 20
pages_to_scan = 8192
[ksm]
run = 1
pages_to_scan = 20000
sleep_millisecs = 1
use_zero_pages = 1
max_page_sharing = 16
[[guests]]
count = {count}
memory = "12MiB"
workload = "stress"
disk = {{ kind = "generated", mib = 4 }}
start = "one_after_another"
delay = "{every}s"
"""


class Torturer(Watching):
    """Checks the host after each recovery, and at the end; kills somebody now and then in between."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._over = threading.Event()
        self.killed: Counter[str] = Counter()
        self.checks = 0
        monkeypatch.setattr(run_module, "Emulation", self._build)
        recover = Host.recover

        def recover_and_check(host: Host) -> None:
            recover(host)
            self._check(host)

        monkeypatch.setattr(Host, "recover", recover_and_check)

    def _check(self, host: Host) -> None:
        host.check()
        self.checks += 1

    def sample(self, row: Row) -> None:
        super().sample(row)
        if row["time_s"] >= SECONDS:  # everybody stands, and scans no more
            self._check(host_of(self._emulation))

    def _build(self, *arguments: Any) -> Emulation:
        self._emulation = Emulation(*arguments)
        self._thread = threading.Thread(target=self._kill, daemon=True)
        self._thread.start()
        return self._emulation

    def _kill(self) -> None:
        while not self._over.wait(self._random.uniform(0.2, 1.4) * EVERY_S):
            living = [guest for guest in list(self._emulation.guests.values()) if guest.state == "free" and guest.pid]
            who = "ksmd" if self._random.random() < 0.3 or len(living) < 3 else "guest"
            pid = self._emulation.ksmd.pid if who == "ksmd" and self.rows else None
            if who == "guest":
                pid = self._random.choice(living).pid
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed[who] += 1

    def end(self) -> None:
        """No more kills."""
        self._over.set()
        self._thread.join()


def _folder(parent: Path) -> Path:
    folder = parent / "before"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", ["zram", "disk"])
def test_nothing_is_read_that_was_not_written_and_the_host_stays_sound(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(_folder(tmp_path), TEXT.format(seconds=2, kind=kind, count=2, every=EVERY_S))  # compiled before time counts
    torturer = Torturer(11, monkeypatch)
    count = int(SECONDS / EVERY_S)
    text = TEXT.format(seconds=SECONDS, kind=kind, count=count, every=EVERY_S)
    try:
        result = run(tmp_path, text, watcher=torturer)
    finally:
        torturer.end()
    said = [event["text"] for event in result.run["events"]]
    wrong = [text for text in said if not any(word in text for word in ("SIGKILL", "out of memory: "))]
    assert wrong == [], "guests that read what they did not write say so, and end"
    assert result.run["ended"] == COMPLETE
    last = result.series.row(-1, named=True)
    assert last["pswpout"] > 100
    assert last["thp_split_page"] > 0
    assert max(result.series["huge_pages"]) > 0
    assert max(result.series["pages_sharing"]) > 0
    assert sum(torturer.killed.values()) >= 3
    print(kind, torturer.checks, dict(torturer.killed), last, len(said))
