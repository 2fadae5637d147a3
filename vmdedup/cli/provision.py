"""What `vmdedup live run` does by Ansible: real guests from nothing to results to nothing left."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vmdedup.cli.say import say, say_document, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.live.provision.course import Report
    from vmdedup.live.provision.plan import RunPlan
    from vmdedup.scenario.model import Scenario


def run_by_ansible(
    scenario: Scenario,
    output: Path | None,
    *,
    image: str | None = None,
    accelerator: str = "auto",
    again: bool = False,
    wait: float = 0.0,
    as_json: bool = False,
    quiet: bool = False,
    no_color: bool = False,
) -> int:
    """Provision the scenario's guests, measure, take them down, show what came out. Returns the exit status.

    image: for all guests. accelerator: auto, kvm or tcg. again: provision twice; VmdedupError if that changes anything.
    wait: seconds for KSM's lock.
    """
    from vmdedup.image.site import Site
    from vmdedup.live.provision.course import Wishes, provision
    from vmdedup.report.console import console
    from vmdedup.report.tasks import TaskView
    from vmdedup.result.directory import choose_output
    from vmdedup.run.qemu.plan import real_plan
    from vmdedup.signals import Interrupt

    plan, notes = real_plan(scenario, image, accelerator)
    for note in notes if not quiet else ():
        warn(note)
    with ExitStack() as stack:
        path = stack.enter_context(choose_output(scenario.name, output, shared=True)).path
        interrupt = stack.enter_context(Interrupt())
        view = stack.enter_context(TaskView(console(no_color), shown=not quiet))
        wishes = Wishes(Site.of_user().images, again, wait, lambda: interrupt.wanted, view.heard)
        report = provision(plan, path, wishes)
    if report.results:
        _say_shortfalls(plan, path, quiet)
    return _show(report, path, as_json, quiet, no_color)


def _say_shortfalls(plan: RunPlan, path: Path, quiet: bool) -> None:
    """Guests of a slow machine do less than they are asked to; what they save is of that."""
    from vmdedup.result.did import read_measured
    from vmdedup.run.qemu.shortfall import shortfalls

    for line in shortfalls(plan, read_measured(path)) if not quiet else ():
        warn(line)


def _show(report: Report, path: Path, as_json: bool, quiet: bool, no_color: bool) -> int:
    """The answers on stdout, and where they are."""
    if not report.results:
        warn("interrupted before there was anything to keep; nothing is left")
        return interrupted_status()
    from vmdedup.live.provision.course import document
    from vmdedup.result.opening import open_result

    summary = open_result(path).summary
    if as_json:
        say_document({**summary, "provision": document(report)})
    else:
        from vmdedup.report.console import console
        from vmdedup.report.summary import render

        render(summary, console(no_color, to_stdout=True))
    if not quiet or report.interrupted:
        begin = "interrupted; the results so far are in" if report.interrupted else f"{report.seconds:.0f} s; results:"
        say(f"{begin} {path}", err=True)
    return interrupted_status() if report.interrupted else 0
