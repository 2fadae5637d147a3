"""What `vmdedup live run` does by Ansible: real guests from nothing to results to nothing left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vmdedup.experiment.scenario import Scenario
    from vmdedup.live.provision.course import Report

INTERRUPTED = 130


def run_by_ansible(
    scenario: Scenario,
    output: Path | None,
    *,
    image: str | None = None,
    accelerator: str = "tcg",
    again: bool = False,
    wait: float = 0.0,
    as_json: bool = False,
    quiet: bool = False,
    no_color: bool = False,
) -> int:
    """Provision the scenario's guests, measure, take them down, show what came out. Returns the exit status.

    image: for all guests. again: provision twice; VmdedupError if that changes anything. wait: seconds for KSM's lock.
    """
    from vmdedup.experiment.interrupt import Interrupt
    from vmdedup.experiment.output import choose_output
    from vmdedup.experiment.realguests import real_plan
    from vmdedup.image.site import Site
    from vmdedup.live.provision.course import Wishes, provision

    plan, notes = real_plan(scenario, image, accelerator)
    for note in notes if not quiet else ():
        typer.echo(f"vmdedup: {note}", err=True)
    path = choose_output(scenario, output)
    with Interrupt() as interrupt, _progress(quiet, no_color) as heard:
        wishes = Wishes(Site.of_user().images, again, wait, lambda: interrupt.wanted, heard)
        report = provision(plan, path, wishes)
    return _show(report, path, as_json, quiet, no_color)


def _show(report: Report, path: Path, as_json: bool, quiet: bool, no_color: bool) -> int:
    """The answers on stdout, and where they are."""
    if not report.results:
        typer.echo("vmdedup: interrupted before there was anything to keep; nothing is left", err=True)
        return INTERRUPTED
    from vmdedup.live.provision.course import document
    from vmdedup.result.run import open_result

    summary = open_result(path).summary
    if as_json:
        from vmdedup.report.document import render as render_document

        typer.echo(render_document({**summary, "provision": document(report)}))
    else:
        from vmdedup.cli.console import console
        from vmdedup.report.summary import render

        render(summary, console(no_color, to_stdout=True))
    if not quiet or report.interrupted:
        begin = "interrupted; the results so far are in" if report.interrupted else f"{report.seconds:.0f} s; results:"
        typer.echo(f"{begin} {path}", err=True)
    return INTERRUPTED if report.interrupted else 0


@contextmanager
def _progress(quiet: bool, no_color: bool) -> Iterator[Callable[[str], None]]:
    """On a terminal, each task with its seconds when it is done, and the one going on."""
    from vmdedup.cli.console import console

    screen = console(no_color)
    if quiet or not screen.is_terminal:
        yield lambda line: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=screen, transient=True) as progress:
        yield _Tasks(progress).heard


class _Tasks:
    """Turns the lines of a run into lines on a terminal."""

    def __init__(self, progress: Any) -> None:
        self._progress, self._going_on = progress, progress.add_task("ansible-playbook")
        self._name, self._began = "", 0.0

    def heard(self, line: str) -> None:
        """A line of the run: a task begins, a task failed, a playbook ends."""
        kind, _, name = line.partition(" ")
        if kind in ("TASK", "RECAP"):
            self._done()
            self._name, self._began = (name, time.monotonic()) if kind == "TASK" else ("", 0.0)
            self._progress.reset(self._going_on, description=self._name or "ansible-playbook")
        elif line.startswith(("  failed", "teardown failed")):
            self._progress.console.print(line, highlight=False, soft_wrap=True)

    def _done(self) -> None:
        if self._name and "Validating arguments" not in self._name:
            self._progress.console.print(f"{time.monotonic() - self._began:6.1f} s  {self._name}", highlight=False)
