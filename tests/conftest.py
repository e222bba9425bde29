"""Every test is watched: one that passes but leaves a thread, a descriptor or a task fails.

asyncio tests are plain functions that call `asyncio.run(...)` (or `uvloop.run`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import hypothesis
import pytest

import pybrpc
from tests.peers.loops import LOOPS
from tests.peers.programs import require_program

GRACE_S = 15.0
"""How long what a test started may take to go away after its end."""

SCHEDULES = 150
"""Random interleavings of each scenario: a second or two. An hour takes about a million."""

has_failed = pytest.StashKey[bool]()

# A shell has what runs in its background ignore SIGINT, and nohup has it ignore SIGHUP; children of
# the tests would do so too.
for ignored, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(ignored) == signal.SIG_IGN:
        signal.signal(ignored, handler)

hypothesis.settings.register_profile("pybrpc", deadline=None)
# For `make unit`: --hypothesis-profile=quick
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile("pybrpc")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pybrpc")
    group.addoption("--seed", type=int, help="run random interleavings of this seed only")
    group.addoption(
        "--schedules", type=int, default=SCHEDULES, help="how many random interleavings of each"
    )
    group.addoption(
        "--rounds", type=int, default=1, help="how often each stress test of the write path runs"
    )
    group.addoption(
        "--each-kind",
        action="store_true",
        help="raise all kinds of exceptions, and each alone",
    )


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> range:
    """The seeds of random interleavings, from `--seed` and `--schedules`."""
    seed: int | None = request.config.getoption("seed")
    if seed is not None:
        return range(seed, seed + 1)
    return range(request.config.getoption("schedules"))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a stress test of the write path runs, as `--rounds` says."""
    count: int = request.config.getoption("rounds")
    return count


def pytest_report_header() -> str:
    return f"pybrpc: {pybrpc.__impl__}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if pybrpc.__impl__ == "compiled":
        skip = pytest.mark.skip(reason="looks into what compiled code does not show")
        for item in items:
            if item.get_closest_marker("python_only"):
                item.add_marker(skip)
    if "uvloop" not in LOOPS:
        skip = pytest.mark.skip(reason="there is no uvloop for this Python")
        for item in items:
            if isinstance(item, pytest.Function) and "uvloop" in parameters_of(item):
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what pytest keeps of 25,000 tests: each of the many
    collections that tests make would take a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("program"):
        for name in marker.args:
            require_program(name)


def parameters_of(item: pytest.Function) -> Iterable[object]:
    return item.callspec.params.values() if hasattr(item, "callspec") else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[has_failed] = report.failed
    return report


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that passed but left threads, descriptors or tasks behind."""
    threads, descriptors = running_threads(), open_descriptors()
    tasks: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        watch_tasks(patch, tasks)
        yield
    reset_default_runtime()
    if request.node.stash.get(has_failed, False):
        return
    assert tasks == set(), "the test leaked asyncio tasks"
    assert what_stays(lambda: running_threads() - threads) == set(), "the test leaked threads"
    assert what_stays(lambda: open_descriptors() - descriptors) == set(), (
        "the test leaked descriptors"
    )


@pytest.fixture
def unix_path() -> Iterator[Path]:
    """A path for a Unix socket, short as such must be, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="pybrpc-", dir="/tmp") as directory:
        yield Path(directory, "sock")


def running_threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def open_descriptors() -> set[str]:
    """One text for each open descriptor: its number and what it is open on."""
    found = set()
    for number in os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"):
        try:
            os.fstat(int(number))
        except OSError:
            continue  # the one that listdir itself had open
        found.add(f"{number} -> {target_of(number)}")
    return found


def target_of(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return "?"


def what_stays(leaked: Callable[[], set[object]]) -> set[object]:
    """The leaks left after a grace period, which ends as soon as `leaked` finds none."""
    end = time.monotonic() + GRACE_S
    pause_s = 0.01
    while (found := leaked()) and time.monotonic() < end:
        gc.collect()  # an unclosed socket that only a cycle keeps then warns, which is an error
        # Pauses grow: a collection may take a second, and meanwhile no thread comes to its end.
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)
    return found


def watch_tasks(patch: pytest.MonkeyPatch, leaked: set[str]) -> None:
    """Note the tasks that a closing asyncio.Runner would cancel without a word."""
    leave = asyncio.Runner.__exit__

    def look_and_leave(runner: asyncio.Runner, kind: object, *rest: object) -> None:
        if kind is None:
            leaked.update(unfinished_tasks(runner.get_loop()))
        leave(runner, kind, *rest)

    patch.setattr(asyncio.Runner, "__exit__", look_and_leave)


def unfinished_tasks(loop: asyncio.AbstractEventLoop) -> set[str]:
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return set()
    _, pending = loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_S))
    return set(map(repr, pending))


def reset_default_runtime() -> None:
    """Stop the dispatchers that pybrpc made because the test needed them."""
    runtime = sys.modules.get("pybrpc.transport.runtime")
    if runtime is not None:
        runtime.reset_default_runtime()
    waiter = sys.modules.get("pybrpc.transport.dispatch.direct_waiter")
    if waiter is not None:
        waiter.forget_poller()
    sampler = sys.modules.get("pybrpc.metrics.sampler")
    if sampler is not None:
        sampler.replace_default_sampler()
    threads = sys.modules.get("pybrpc.streams.callback_threads")
    if threads is not None:
        threads.reset_callback_threads()
