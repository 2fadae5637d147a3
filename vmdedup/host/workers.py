"""Worker processes: forked from a server that has everything loaded, commanded over a pipe, ending with their parent.

    parent                      fork server                     worker
    Worker(...)  ── spawn ───►  imported, compiled  ── fork ──► commands[name](*arguments)
    call(name, ...)  ──────────────── pipe ───────────────────► ("done", answer) or ("failed", error);
                                                                ("broke", why) once, and it ends

There is one fork server in a process; what it loads is settled when the first worker starts. A worker whose
parent ends, however that happens, ends within a moment: a thread of its waits for nothing else.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from vmdedup.breakdown import WANTS_MEMORY, in_a_line
from vmdedup.errors import BrokeDownError, VmdedupError, WorkerDiedError
from vmdedup.host.segment import NO_MEMORY
from vmdedup.ours import folder
from vmdedup.ours.child import safe_interpreters
from vmdedup.ours.passing import Passing
from vmdedup.signals import ignore_ending

ORPHANED = 17
_JOIN_SECONDS = 5.0
_LONGEST_ROOT = 107 - len("/vmd-xxxxxxxx/listener-xxxxxxxx")  # bytes that a socket's name may have, without the rest
# What the system sends a process for what it did itself. Any other signal comes from outside.
_OWN_FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
)
_log = logging.getLogger(__name__)
_preload: list[str] = ["vmdedup.host.orphan"]
_told: dict[str, str] = {}  # variables of the fork server's environment; other children of ours have no use for them

Commands = Mapping[str, Callable[..., Any]]


def fork_server(*modules: str) -> ForkServerContext:
    """The context that workers come from; modules are what its server shall import besides what it was told before."""
    _preload.extend(module for module in modules if module not in _preload)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_preload))
    _give_folder()
    return context


def tell_server(name: str, value: str) -> None:
    """A variable for what the fork server imports; without effect once it runs."""
    _told[name] = value


def start_server() -> None:
    """Start the fork server now, if it does not run, so that it loads and compiles while this process does the same."""
    with safe_interpreters(_told):
        forkserver.ensure_running()


def start(process: BaseProcess) -> None:
    """Start a worker. WorkerDiedError: the fork server has ended, or cannot be had."""
    try:
        with without_main(), safe_interpreters(_told):
            process.start()
    except (EOFError, OSError) as error:
        reason = getattr(error, "strerror", None) or "the process that starts them was killed"
        raise WorkerDiedError(f"no worker process can be started: {reason}; run it again") from None


@atexit.register
def _end_workers() -> None:
    """At exit, before multiprocessing asks daemons to end and waits for them: ours do not heed SIGTERM."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _give_folder() -> None:
    """Have the fork server's socket in a folder that goes with this process, however it ends."""
    configuration: dict[str, Any] = getattr(multiprocessing.current_process(), "_config")  # noqa: B009
    if configuration.get("tempdir") is None:
        root = folder.temporary_root()
        if len(os.fsencode(root)) > _LONGEST_ROOT:
            root = folder.runtime()
        configuration["tempdir"] = str(Passing(root).path)


@contextmanager
def without_main() -> Iterator[None]:
    """Start a process without its importing the caller's main module, which a worker has no use for.

    So scripts and notebooks need no guard around what they do, and a worker is no larger than it must be.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def settle() -> None:
    """To be called first in a worker: Ctrl-C is the parent's business, and the parent's end is the worker's."""
    ignore_ending()
    threading.Thread(target=_die_with_parent, name="parent-watch", daemon=True).start()


def _die_with_parent(patience: float | None = None) -> None:
    """End this process when its parent has ended, or after so many seconds."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel], patience)
        os._exit(ORPHANED)


def serve(pipe: Connection, commands: Commands) -> None:
    """Obey commands until the parent closes the pipe. A VmdedupError is an answer; any other error ends the worker."""
    try:
        while True:
            name, arguments = pipe.recv()
            try:
                answer: tuple[Any, ...] = ("done", commands[name](*arguments))
            except VmdedupError as error:
                answer = ("failed", error)
            pipe.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        _die_with_parent(_JOIN_SECONDS)


def _work(target: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    """The whole of a worker. Whatever breaks it, wherever, the parent is told in a line; the rest is for the log."""
    try:
        target(pipe, *arguments)
    except BaseException as error:
        _log.debug("%s", error, exc_info=True)
        with suppress(OSError):
            pipe.send(("broke", in_a_line(error)))


class Worker:
    """A process that runs target(pipe, *arguments), which must come to serve(). name: for messages."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any, preload: str) -> None:
        context = fork_server(preload)
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._broke: BrokeDownError | None = None
        arguments = (target, theirs, *arguments)
        self._process = context.Process(target=_work, args=arguments, name=f"vmdedup-{name}", daemon=True)
        start(self._process)
        theirs.close()

    def call(self, command: str, *arguments: Any) -> Any:
        """Have a command done. Raises what it raised; WorkerDiedError if the process is gone.

        BrokeDownError: it is gone by an error of its own. Every later call says so again.
        """
        if self._broke is not None:
            raise self._broke
        with suppress(OSError):  # one that is gone may have left word
            self._pipe.send((command, arguments))
        try:
            kind, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(_JOIN_SECONDS)
            raise self._death() from None
        if kind == "broke":
            raise self._breakdown(answer)
        if kind == "failed":
            raise answer
        return answer

    def _death(self) -> WorkerDiedError:
        """Why it is gone without a word."""
        code = self._process.exitcode
        if code is None:
            return WorkerDiedError(f"{self.name} has died (it does not answer)")
        if code == NO_MEMORY:
            return self._breakdown(WANTS_MEMORY)
        if code >= 0:
            return self._breakdown(f"it ended by itself, exit status {code}")
        name = signal.Signals(-code).name
        if -code in _OWN_FAULTS:
            return self._breakdown(f"ended by {name}")
        return WorkerDiedError(f"{self.name} has died (killed by {name})")

    def _breakdown(self, why: str) -> BrokeDownError:
        self._broke = BrokeDownError(f"{self.name} broke down: {why}")
        return self._broke

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid or 0)

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when it ends."""
        return int(self._process.sentinel)

    def is_alive(self) -> bool:
        """Whether the process is still there."""
        return bool(self._process.is_alive())

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._pipe.close()
        self._process.kill()
        self._process.join(_JOIN_SECONDS)
