"""KSM scripts with a worker process for each process of the script, and one for ksmd: the engine across processes."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from kit.scanners import KsmdProcess
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.host.workers import Worker, serve, settle
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.process import DEEDS, LocalProcess
from vmdedup.replay.script import Script
from vmdedup.scanner.process import PRELOAD


def machine_of(script: Script, workers: bool) -> EmulatedMachine:
    """The emulator, all of it in this process, or with worker processes."""
    return EmulatedMachine(script, WorkerProcess, KsmdProcess) if workers else EmulatedMachine(script)


def play_process(pipe: Connection, host: Host, mm: int) -> None:
    """The whole life of a worker process: do what the parent says with one address space."""
    settle()
    process = LocalProcess(host.memory(mm))
    deeds = {deed: getattr(process, deed) for deed in DEEDS}
    serve(pipe, {**deeds, "fork": lambda child: process.memory.fork(child).mm})


class WorkerProcess:
    """A script's process, played in a worker process."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._worker = Worker(memory.name, play_process, memory.host, memory.mm, preload=PRELOAD)

    def do(self, deed: str, *arguments: Any) -> Any:
        """Do one of DEEDS."""
        return self._worker.call(deed, *arguments)

    def fork(self, child: str) -> WorkerProcess:
        """fork(2)."""
        return WorkerProcess(self.memory.host.memory(self._worker.call("fork", child)))

    def close(self) -> None:
        """End the worker."""
        self._worker.close()
