"""ksmd in a process of its own, as it is in a host."""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing.connection import Connection

from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.host.workers import Worker, serve, settle
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.scanner.process import ScannerProcess, commands_of

PRELOAD = "vmdedup.ksm.preload"


def run_ksmd(
    pipe: Connection, host: Host, logs: LogChannel | None, written: Mapping[str, str], takes_over: bool
) -> None:
    """The whole life of the process. takes_over: what is merged on the host is another's, that has died."""
    settle()
    if logs is not None:
        logs.attach()
    ksmd = Ksmd(host)
    # Tunables first: some are refused once there are merged pages.
    for knob, text in written.items():
        ksmd.set(knob, text)
    if takes_over:
        ksmd.take_over()
    serve(
        pipe,
        commands_of(
            ksmd,
            ksmd.scan,
            full_scan=ksmd.full_scan,
            is_entered=ksmd.is_entered,
            metadata_bytes=ksmd.metadata_bytes,
        ),
    )


class KsmdProcess(ScannerProcess):
    """One ksmd on one host. logs: where its process's log records go."""

    def __init__(self, host: Host, logs: LogChannel | None = None) -> None:
        self._logs = logs
        super().__init__(host, {})

    def _start(self, again: bool) -> Worker:
        return Worker("ksmd", run_ksmd, self.host, self._logs, dict(self._written), again, preload=PRELOAD)

    def is_entered(self, mm: int) -> bool:
        """Whether ksmd scans the address space."""
        return bool(self._worker.call("is_entered", mm))

    def full_scan(self) -> int:
        """Scan to the end of the current full scan. Returns pages scanned."""
        return int(self._worker.call("full_scan"))

    def metadata_bytes(self) -> dict[str, int]:
        """Bytes that its records take, by kind."""
        values: dict[str, int] = self._worker.call("metadata_bytes")
        return values
