"""Logging: records of several processes arrive whole and in order, and a killed writer blocks nobody."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from multiprocessing_logging import MultiProcessingHandler

from vmdedup.host.logs import LOGGER, LogChannel, Logs
from vmdedup.host.workers import fork_server

CONTEXT = fork_server()


class Keeper(logging.Handler):
    """Keeps formatted messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {self.format(record)}")


def write(channel: LogChannel, name: str, count: int) -> None:
    channel.attach()
    for number in range(count):
        logging.getLogger(f"{LOGGER}.guest").info("%s %d", name, number)


def write_much(channel: LogChannel) -> None:
    channel.attach()
    logging.getLogger(LOGGER).warning("x" * 100_000)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger(LOGGER).exception("failed %s", lambda: None)


def write_for_ever(channel: LogChannel, started: Connection) -> None:
    channel.attach()
    started.send(True)
    while True:
        logging.getLogger(LOGGER).info("again")


def test_every_record_of_every_process_in_the_order_of_its_writer() -> None:
    keeper = Keeper()
    with Logs(keeper, logging.INFO) as logs:
        writers = [CONTEXT.Process(target=write, args=(logs.channel(), f"vm-{n}", 50)) for n in range(2)]
        for writer in writers:
            writer.start()
        logging.getLogger(LOGGER).info("parent")
        for writer in writers:
            writer.join()
    assert len(keeper.lines) == 101
    for name in ("vm-0", "vm-1"):
        of_one = [line for line in keeper.lines if name in line]
        assert of_one == [f"INFO {name} {number}" for number in range(50)]


def test_levels_below_are_not_sent() -> None:
    keeper = Keeper()
    with Logs(keeper, logging.WARNING) as logs:
        writer = CONTEXT.Process(target=write, args=(logs.channel(), "vm", 5))
        writer.start()
        writer.join()
    assert keeper.lines == []


def test_long_messages_are_shortened_and_failures_keep_their_reason() -> None:
    keeper = Keeper()
    with Logs(keeper, logging.INFO) as logs:
        writer = CONTEXT.Process(target=write_much, args=(logs.channel(),))
        writer.start()
        writer.join()
    assert keeper.lines[0].endswith("x … (shortened)")
    assert "failed" in keeper.lines[1]
    assert "ValueError: why" in keeper.lines[1]


def test_a_killed_writer_blocks_nobody() -> None:
    keeper = Keeper()
    with Logs(keeper, logging.INFO) as logs:
        for _ in range(5):
            receiving, sending = CONTEXT.Pipe(duplex=False)
            victim = CONTEXT.Process(target=write_for_ever, args=(logs.channel(), sending))
            victim.start()
            assert receiving.recv()
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
        writer = CONTEXT.Process(target=write, args=(logs.channel(), "after", 3))
        writer.start()
        writer.join()
    assert [line for line in keeper.lines if "after" in line] == [f"INFO after {n}" for n in range(3)]


def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger(LOGGER)
    before = (list(logger.handlers), logger.level, logger.propagate)
    with Logs(Keeper(), logging.INFO):
        assert logger.handlers != before[0]
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_what_is_needed_of_the_library_is_there() -> None:
    """Names of multiprocessing-logging's that are not public; a version that has others is not in the range."""
    needed = ("_receive", "_send", "_format_record", "emit", "close")
    assert [name for name in needed if not callable(getattr(MultiProcessingHandler, name, None))] == []
    used = {name for kind in needed for name in getattr(MultiProcessingHandler, kind).__code__.co_names}
    assert {"sub_handler", "queue", "_is_closed", "_receive_thread"} <= used
    assert not {name for name in used if name.startswith("_")} - {
        *("_receive", "_send", "_format_record", "_is_closed", "_receive_thread")
    }
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"multiprocessing-logging>=0.4,<0.5"' in text
