"""What every test has: fixed random numbers, and a look at the end whether anything was left behind."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kit.leftovers import MARK, children, held_by_others, marked, shared_memory, tunables, wait_for_none
from vmdedup.errors import EnvironmentLacksError
from vmdedup.jit.kernel import BOUNDSCHECK, PYTHON_MODE
from vmdedup.live.ksm.session import KsmSession

pytest_plugins = ["kit.known_child"]  # fixtures of more than one folder

settings.register_profile(
    "vmdedup",
    derandomize=True,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("vmdedup")

# Started in the background, or by nohup, tests and all that they start would ignore these signals; tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No prices of this host: figures are the same on all.
os.environ["VMDEDUP_PRICES"] = "/nonexistent/prices.json"
# What multiprocessing keeps until this process ends, and who removes its folder then. A worker has its fork server's
# command line, but another parent.
SERVERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker", "vmdedup-janitor")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What only `python -m tests` asks for: it says what another stage of its own runs."""
    parser.addoption("--without", default="", metavar="FOLDERS", help="leave out the tests in these, A,B,...")
    parser.addoption("--but", default="", metavar="MARKS", help="... but those with one of these marks, A,B,...")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs kernels to be run in another way, as a stage of `python -m tests` does; slow files first."""
    unfit = {"compiled" if PYTHON_MODE else "interpreted"}
    if not (PYTHON_MODE or BOUNDSCHECK):
        unfit.add("checked")
    folders = [Path(__file__).parent / name for name in config.getoption("--without").split(",") if name]
    kept = config.getoption("--but").split(",")
    left_out = {item for item in items if _has(item, unfit)}
    left_out |= {item for item in items if any(map(item.path.is_relative_to, folders)) and not _has(item, kept)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    # So that no processor waits at the end for another that has a long file left.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _has(item: pytest.Item, marks: Iterable[str]) -> bool:
    return any(mark and item.get_closest_marker(mark) for mark in marks)


@pytest.fixture(scope="module")
def require_kernel_ksm() -> Iterator[KsmSession]:
    """The host kernel's KSM for this module alone; skips, saying why, where it cannot be had."""
    with ExitStack() as stack:
        try:
            session = stack.enter_context(KsmSession(wait=120))
            session.start_state()
        except EnvironmentLacksError as lacking:
            if os.environ.get("VMDEDUP_REQUIRE_KERNEL"):
                raise
            pytest.skip(str(lacking))
        yield session


@pytest.fixture(scope="module")
def one_decoder() -> Iterator[None]:
    """Keep the process that decodes Parquet files through all tests of a module: each start takes half a second."""
    from vmdedup.result.decoding import DECODER

    with DECODER:
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fails the run if it leaves processes, shared memory, or changed tunables of the kernel's KSM."""
    os.environ[MARK] = mark = uuid.uuid4().hex
    files, before = shared_memory(), tunables(wait=0)
    yield
    assert not wait_for_none(lambda: _processes(mark)), "processes are left"
    assert not wait_for_none(lambda: sorted(shared_memory() - files - held_by_others(mark))), "/dev/shm has more files"
    if before is not None:
        assert tunables(wait=10) in (before, None), "the kernel's KSM has other tunables than before"


def _processes(mark: str) -> list[str]:
    """The processes that this run has started, children of children and orphans too, by their environment."""
    ours = children(os.getpid())
    servers = {pid for pid, line in ours.items() if any(name in line for name in SERVERS)}
    return [f"{pid}: {line}" for pid, line in {**marked(mark), **ours}.items() if pid not in servers]
