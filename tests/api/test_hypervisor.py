"""The Python face of a run: where warnings go, what its help says."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from vmdedup.api.hypervisor import Hypervisor
from vmdedup.api.watching import ToLogging
from vmdedup.scenario.model import GuestSection


class Keeping(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage())


@pytest.fixture
def loggers() -> Iterator[dict[str, Keeping]]:
    """A handler on "vmdedup.run" and one on the root."""
    found = {}
    for name in ("vmdedup.run", ""):
        found[name] = Keeping()
        logging.getLogger(name).addHandler(found[name])
    yield found
    for name, handler in found.items():
        logging.getLogger(name).removeHandler(handler)
    logging.getLogger("vmdedup.run").propagate = True


@pytest.mark.parametrize("propagates", [True, False])
def test_warnings_of_a_run_go_to_its_logger(loggers: dict[str, Keeping], propagates: bool) -> None:
    logging.getLogger("vmdedup.run").propagate = propagates
    ToLogging().handle(logging.LogRecord("vmdedup.guest", logging.WARNING, "", 0, "odd", (), None))
    assert loggers["vmdedup.run"].kept == ["odd"]
    assert loggers[""].kept == (["odd"] if propagates else [])


def test_the_help_of_add_names_every_key() -> None:
    said = set(re.findall(r"\w+", Hypervisor.add.__doc__ or ""))
    assert set(GuestSection.model_fields) - said == set()
