"""LookUps: one look-up for all that wait for a name, in a few threads."""

from __future__ import annotations

import errno
import os
import socket as plain
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.connecting import look_ups as look_ups_module
from pybrpc.transport.connecting.look_ups import MIN_SWEPT, LookUps, Resolved, resolve_in_background
from pybrpc.transport.connecting.resolver import Address
from tests.fakes.threads import WAIT_S, wait_until

NAME, OTHER, THIRD = (Endpoint(host, 80) for host in ("a-name", "other", "third"))


def addresses_of(endpoint: Endpoint) -> list[Address]:
    return [(plain.AF_INET, (endpoint.host, endpoint.port))]


class SlowResolver:
    """Look-ups that end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Endpoint] = []
        self._released = threading.Semaphore(0)
        self._is_over = False

    def __call__(self, endpoint: Endpoint) -> list[Address]:
        self.begun.append(endpoint)
        assert self._is_over or self._released.acquire(timeout=WAIT_S)
        return addresses_of(endpoint)

    def finish_one(self) -> None:
        self._released.release()

    def finish_all(self) -> None:
        self._is_over = True
        self._released.release(10_000)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowResolver]:
    resolver = SlowResolver()
    monkeypatch.setattr(look_ups_module, "resolve", resolver)
    yield resolver
    resolver.finish_all()
    wait_until(lambda: not resolving_threads())


def resolving_threads() -> int:
    return sum(thread.name == "pybrpc-resolve" for thread in threading.enumerate())


def test_all_that_wait_for_a_name_share_one_look_up(slow: SlowResolver) -> None:
    look_ups, results = LookUps(), list[Resolved]()
    for _ in range(1000):
        look_ups.add(NAME, results.append)
    wait_until(lambda: slow.begun == [NAME])
    assert resolving_threads() == 1
    slow.finish_one()
    wait_until(lambda: len(results) == 1000)
    assert all(result == addresses_of(NAME) for result in results)


def test_result_is_not_kept(slow: SlowResolver) -> None:
    look_ups, results = LookUps(), list[Resolved]()
    for count in (1, 2):
        look_ups.add(NAME, results.append)
        wait_until(lambda count=count: len(slow.begun) == count)
        slow.finish_one()
        wait_until(lambda count=count: len(results) == count)


def test_look_ups_beyond_the_threads_wait_their_turn(slow: SlowResolver) -> None:
    look_ups, results = LookUps(max_threads=2), list[Resolved]()
    for endpoint in (NAME, OTHER, THIRD):
        look_ups.add(endpoint, results.append)
    wait_until(lambda: len(slow.begun) == 2)
    assert resolving_threads() == 2
    slow.finish_one()
    wait_until(lambda: len(slow.begun) == 3)
    slow.finish_all()
    wait_until(lambda: len(results) == 3)
    assert slow.begun[2] == THIRD


def test_one_that_waits_no_more_gets_nothing(slow: SlowResolver) -> None:
    look_ups, results, given_up = LookUps(), list[Resolved](), list[Resolved]()
    waiter = look_ups.add(NAME, given_up.append)
    look_ups.add(NAME, results.append)
    waiter.cancel()
    waiter.cancel()
    slow.finish_one()
    wait_until(lambda: len(results) == 1)
    assert given_up == []


def test_look_up_that_nobody_waits_for_is_not_begun(slow: SlowResolver) -> None:
    look_ups, results = LookUps(max_threads=1), list[Resolved]()
    look_ups.add(NAME, results.append)
    wait_until(lambda: slow.begun == [NAME])
    look_ups.add(OTHER, results.append).cancel()
    look_ups.add(THIRD, results.append)
    slow.finish_all()
    wait_until(lambda: len(results) == 2)
    assert slow.begun == [NAME, THIRD]


def test_look_ups_that_nobody_waits_for_are_dropped_while_all_threads_hang(
    slow: SlowResolver,
) -> None:
    look_ups = LookUps(max_threads=1)
    look_ups.add(NAME, print)
    wait_until(lambda: slow.begun == [NAME])
    for i in range(10 * MIN_SWEPT):
        look_ups.add(Endpoint(f"name-{i}", 80), print).cancel()
    assert len(look_ups._queued) <= MIN_SWEPT


@pytest.mark.parametrize(
    "raised", [LookupError("unknown encoding: idna"), SystemExit(3), OSError(1, "no")]
)
def test_result_is_whatever_the_look_up_raised(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(endpoint: Endpoint) -> Any:
        raise raised

    monkeypatch.setattr(look_ups_module, "resolve", look_up)
    results: list[Resolved] = []
    LookUps().add(NAME, results.append)
    wait_until(lambda: bool(results))
    assert results == [raised]
    assert raised.__traceback__ is None, "its frames would be kept"


def test_one_that_raises_keeps_no_result_from_the_others(slow: SlowResolver) -> None:
    def fail(result: Resolved) -> None:
        raise SystemExit

    look_ups, results = LookUps(), list[Resolved]()
    for on_done in (fail, results.append):
        look_ups.add(NAME, on_done)
    slow.finish_one()
    wait_until(lambda: len(results) == 1)
    look_ups.add(OTHER, results.append)
    slow.finish_one()
    wait_until(lambda: len(results) == 2)


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_any_thread_the_look_up_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    look_ups, results = LookUps(), list[Resolved]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        look_ups.add(NAME, results.append)
    (error,) = results
    assert isinstance(error, OSError)
    assert error.errno == errno.EAGAIN
    assert "can't start new thread" in str(error)
    look_ups.add(Endpoint("127.0.0.1", 80), results.append)
    wait_until(lambda: len(results) == 2)


def test_without_another_thread_the_look_up_waits_for_one_that_runs(
    slow: SlowResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_ups, results = LookUps(), list[Resolved]()
    look_ups.add(NAME, results.append)
    wait_until(lambda: slow.begun == [NAME])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        look_ups.add(OTHER, results.append)
    assert results == []
    slow.finish_all()
    wait_until(lambda: len(results) == 2)


def test_interrupt_while_a_thread_starts_is_raised_and_the_look_up_done_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thread.start waits until the thread runs, and a signal handler may raise there."""
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def start_and_raise(thread: threading.Thread) -> None:
        start(thread)
        thread.join(WAIT_S)
        raise KeyboardInterrupt

    look_ups, results = LookUps(max_threads=1), list[Resolved]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_raise)
        with pytest.raises(KeyboardInterrupt):
            look_ups.add(Endpoint("127.0.0.1", 80), results.append)
    wait_until(lambda: len(results) == 1)
    look_ups.add(Endpoint("127.0.0.2", 80), results.append)
    wait_until(lambda: len(results) == 2)


def test_forked_child_looks_names_up_although_the_parent_was_at_it(slow: SlowResolver) -> None:
    resolve_in_background(NAME, print)
    wait_until(lambda: slow.begun == [NAME])
    pid = os.fork()
    if pid == 0:
        slow.finish_all()
        over = threading.Event()
        resolve_in_background(NAME, lambda _: over.set())
        os._exit(0 if over.wait(WAIT_S) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("host", "is_found"), [("localhost", True), ("no-such-host.invalid", False), ("a..b", False)]
)
def test_resolving_ends_in_addresses_or_an_error(host: str, is_found: bool) -> None:
    results: list[object] = []
    over = threading.Event()
    resolve_in_background(Endpoint(host, 80), lambda r: (results.append(r), over.set()))
    assert over.wait(WAIT_S)
    assert isinstance(results[0], list) == is_found
    assert isinstance(results[0], OSError) != is_found


def test_addresses_of_a_name_are_distinct() -> None:
    results: list[list[Address]] = []
    over = threading.Event()
    resolve_in_background(Endpoint("localhost", 80), lambda r: (results.append(r), over.set()))
    assert over.wait(WAIT_S)
    assert len(results[0]) == len(set(results[0]))
