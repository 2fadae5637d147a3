"""A run of Ansible while it goes on: each task that is done with its seconds, and the one at work."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_IDLE = "ansible-playbook"
_NOT_SHOWN = "Validating arguments"  # Ansible's own task before each role


class TaskView:
    """A context manager; shows nothing unless the console is a terminal, and wanted."""

    def __init__(self, target: Console, shown: bool = True) -> None:
        columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
        self._console = target
        self._progress = Progress(*columns, console=target, transient=True, disable=not (shown and target.is_terminal))
        self._now = self._progress.add_task(_IDLE)
        self._name, self._began = "", 0.0

    def heard(self, line: str) -> None:
        """A line of the run: a task begins, a task failed, a playbook ends."""
        kind, _, name = line.partition(" ")
        if self._progress.disable:
            return
        if kind in ("TASK", "RECAP"):
            self._done()
            self._name, self._began = (name, time.monotonic()) if kind == "TASK" else ("", 0.0)
            self._progress.reset(self._now, description=self._name or _IDLE)
        elif line.startswith(("  failed", "teardown failed", "guests are emulated")):
            self._console.print(line.strip(), highlight=False, soft_wrap=True)

    def _done(self) -> None:
        if self._name and _NOT_SHOWN not in self._name:
            self._console.print(f"{time.monotonic() - self._began:6.1f} s  {self._name}", highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
