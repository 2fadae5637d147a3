"""vmdedup learn DUMP…: a model of a kind of guests, and what so many of them would save."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import Progress, say, say_document, warn
from vmdedup.signals import Interrupt, interrupted_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmdedup.learn.boot import Boot, Contents
    from vmdedup.outputs import Output

HELP = """Learn a kind of guests from dumps of some, foretell what N of them would save, and make a model of it.

Each DUMP is one boot of the same kind: all that `vmdedup scan` reads (dumps, domain:NAME, pid:N, exported hashes) and
recordings, from which also is learnt how pages change. Two boots are needed to foretell what guests share. A scenario's
[[guests]] model = "web.guest", count = 40 emulates such guests. A model has no content of any page, and no fingerprint,
unless --with-contents. Dumps that are of another kind than the others are flagged and left out.

\b
  vmdedup learn web1.elf web2.elf -o web.guest
  vmdedup learn web1.elf web2.elf --guests 40
  vmdedup learn day.rec domain:web -o web.guest
  vmdedup learn web1.elf web2.elf --check web3.elf --check web4.elf
  vmdedup learn web1.parquet web2.parquet -o web.guest
  vmdedup learn --show web.guest --guests 100
"""


def learn(
    dumps: Annotated[list[str] | None, typer.Argument(metavar="DUMP…", help="Boots of one kind of guests.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the model there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file, whatever it is.")] = False,
    guests: Annotated[int, typer.Option(min=1, max=4096, help="Foretell 1 to so many guests.")] = 6,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DUMP", help="A further boot: hold what is foretold against what it really saves. Repeat it."
        ),
    ] = None,
    with_contents: Annotated[
        bool, typer.Option("--with-contents", help="Keep pages' contents in the model: then give it to nobody.")
    ] = False,
    salt: Annotated[
        str | None,
        typer.Option(envvar="VMDEDUP_SALT", help="Of exported hashes, if dumps are learnt from beside them."),
    ] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Say what a model foretells, and learn nothing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, and nothing but errors where -o is given.")
    ] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError

    if show is not None:
        if dumps or output or check:
            raise UsageError("--show learns nothing; leave DUMP, --output and --check out")
        _say(_shown(show, guests), str(show), as_json, False)
        return 0
    if not dumps:
        raise UsageError("nothing to learn from; name at least one dump, better two; see vmdedup learn --help")
    further = check or []
    with ExitStack() as stack:
        file = stack.enter_context(_output(output, force, [*dumps, *further])) if output is not None else None
        read = _read(dumps, further, salt, with_contents, quiet)
        if read is None:
            warn("interrupted; nothing is written")
            return interrupted_status()
        document = _learn(*read, guests, file)
    _say(document, "learnt" if output is None else str(output), as_json, quiet and output is not None)
    return 0


def _shown(path: Path, guests: int) -> dict[str, Any]:
    from vmdedup.learn.answer import answer
    from vmdedup.learn.file import ModelFile

    with ModelFile(path) as file:
        return answer(file.model, guests)


def _output(path: Path, force: bool, inputs: Sequence[str]) -> Output:
    from vmdedup.outputs import Output

    return Output(path, force, ["/dev/stdin" if name == "-" else name for name in inputs])


def _read(
    dumps: Sequence[str], further: Sequence[str], salt: str | None, with_contents: bool, quiet: bool
) -> tuple[list[Boot], list[Boot], Contents] | None:
    """The boots to learn from, those to check with, and what they hold; None: interrupted."""
    from vmdedup.learn.boot import StoppedError
    from vmdedup.learn.sources import read_boots

    with Interrupt() as interrupt, Progress(quiet) as progress:

        def watch(done: int, total: int) -> None:
            progress.show(f"read {done:,} of {total:,} pages, {100 * done // max(1, total)} %")

        try:
            boots, contents = read_boots([*dumps, *further], salt, with_contents, watch, interrupt, [len(dumps)])
        except StoppedError:
            return None
    return boots[0], boots[1], contents


def _learn(
    boots: list[Boot], further: list[Boot], contents: Contents, guests: int, file: Output | None
) -> dict[str, Any]:
    """Learn, write the model, and say what is foretold, and how it agrees with further dumps."""
    from vmdedup.errors import UsageError
    from vmdedup.learn.alike import likeness, of_one_kind
    from vmdedup.learn.answer import answer, checked
    from vmdedup.learn.file import write_model
    from vmdedup.learn.model import learn as learn_from

    if further and len(boots) < 2:
        raise UsageError(
            "from one boot nothing is foretold that could be checked; name two boots or more to learn from"
        )
    kind, flagged = of_one_kind(boots, contents.classes)
    for each in flagged:
        warn(f"{each.reason}; it is left out: learn it with others of its own kind")
    model = learn_from(kind, contents)
    document = answer(model, guests, flagged)
    if further:
        found = [likeness(boot, kind, contents.classes) for boot in further]
        document["check"] = checked(model.kind, kind, further, found)
    if file is not None:
        file.write(lambda target: write_model(model, target))
    return document


def _say(document: dict[str, Any], of_what: str, as_json: bool, quiet: bool) -> None:
    """The answer on stdout."""
    if as_json:
        say_document(document)
        return
    from vmdedup.report.learning import lines

    for line in lines(document, of_what) if not quiet else ():
        say(line)
