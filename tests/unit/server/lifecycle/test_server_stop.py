"""ServerStop: it ends at its deadline, whatever raises on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.lifecycle import server_stop
from pybrpc.server.lifecycle.server_stop import CLEANUP_S, ServerStop
from pybrpc.server.values import UnfinishedCall
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

CALL = UnfinishedCall("a.Service.Method", "10.0.0.1:7", 3.0, "open")


class Connection:
    """With its socket in one. A call runs on it, so only the end of the grace closes it."""

    def __init__(self, raises: bool) -> None:
        self.is_closing = False
        self.is_internal = False
        self.is_retired = False
        self.socket = self
        self.raises = raises
        self.is_closed = False
        self.exchange = None
        self.is_used = True

    def is_held(self) -> bool:
        return self.is_used

    def close_gracefully(self, linger_s: float) -> None:
        self.is_closing = True
        if self.raises:
            raise MemoryError

    def close(self) -> None:
        self.is_closed = True
        if self.raises:
            raise MemoryError


class Call:
    def __init__(self, entry: Any) -> None:
        self.entry = entry


class Stage:
    """The stop of a server with three connections."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.dispatcher = StepDispatcher()
        for module in (server_stop, periodic):
            patch.setattr(module, "time", self.dispatcher.clock)
        self.connections = [Connection(raises=False) for _ in range(3)]
        self.begins = self.ends = self.cancels = 0
        self.admission: Any = Admission(ServiceRegistry(), None)
        self.server: Any = SimpleNamespace(
            admission=self.admission,
            dispatcher=self.dispatcher,
            connections=self.connections,
            handler_loop=SimpleNamespace(cancel_waiting=self._on_cancel),
            acceptor=SimpleNamespace(endpoint="127.0.0.1:8000", close=lambda: None),
            stopped=SimpleNamespace(is_set=False),
            unfinished=lambda: [CALL],
            unfinished_connections=list,
            end=self._end,
            on_stop_begun=self._on_stop_begun,
        )
        self.stop = ServerStop(self.server)

    def _end(self) -> None:
        self.ends += 1

    def _on_stop_begun(self) -> None:
        self.begins += 1

    def _on_cancel(self) -> None:
        self.cancels += 1

    def run_call(self, *, is_async: bool) -> Any:
        """A handler runs."""
        call = Call(SimpleNamespace(is_async=is_async))
        self.admission.running.add(call)
        return call

    def end_call(self, call: Any) -> None:
        self.admission.running.remove(call)
        self.stop.review_soon()
        self.dispatcher.run_until_idle()

    def begin_and_wait(self) -> None:
        """Begin to stop, with a grace of 3 s, and let 4 s pass."""
        self.stop.begin(self.dispatcher.clock.monotonic() + 3.0)
        self.dispatcher.advance(2.9)
        assert self.ends == 0
        self.dispatcher.advance(1.1)


class Refuses(logging.Filter):
    """A filter that raises at each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise ValueError("no record")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


@pytest.fixture
def refusing() -> Iterator[None]:
    logger, added = logging.getLogger("pybrpc.server"), Refuses()
    logger.addFilter(added)
    yield
    logger.removeFilter(added)


def is_over(stage: Stage) -> bool:
    return stage.ends == 1 and all(connection.is_closed for connection in stage.connections)


def test_stop_ends_at_its_deadline_while_a_log_filter_raises(stage: Stage, refusing: None) -> None:
    stage.begin_and_wait()
    assert is_over(stage)
    assert stage.dispatcher.raised == []


def test_stop_ends_at_its_deadline_when_what_is_left_cannot_be_described(stage: Stage) -> None:
    def fail() -> Any:
        raise RuntimeError("set changed size during iteration")

    stage.server.unfinished = fail
    stage.begin_and_wait()
    assert is_over(stage)


def test_stop_ends_at_its_deadline_when_a_connection_cannot_be_closed(stage: Stage) -> None:
    stage.connections[0].raises = True
    stage.begin_and_wait()
    assert is_over(stage)


def test_stop_ends_at_its_deadline_when_its_beginning_raises(stage: Stage) -> None:
    def fail() -> None:
        raise MemoryError

    stage.server.acceptor.close = fail
    stage.begin_and_wait()
    assert is_over(stage)


def test_server_is_told_when_the_stop_begins(stage: Stage) -> None:
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.dispatcher.run_until_idle()
    assert (stage.begins, stage.ends) == (1, 0)


def test_stop_goes_on_when_telling_the_server_raises(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise SystemExit

    stage.server.on_stop_begun = fail
    stage.begin_and_wait()
    assert is_over(stage)
    assert "the beginning of a stop raised" in caplog.text


def steps_of(stage: Stage, is_done: Callable[[Connection], bool]) -> list[int]:
    """Run all turns; how many connections each of them did something with. The end comes last."""
    counts = []
    before = 0
    while stage.dispatcher.step():
        done = sum(is_done(connection) for connection in stage.connections)
        assert not stage.ends or done == before == len(stage.connections)
        counts.append(done - before)
        before = done
    assert before == len(stage.connections)
    return counts


def test_connections_that_are_left_are_closed_in_the_steps_of_many_turns(stage: Stage) -> None:
    stage.connections += [Connection(raises=False) for _ in range(3 * MAX_PER_STEP)]
    stage.connections[5].raises = True
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.dispatcher.advance(2.9)
    stage.dispatcher.clock.advance(1.1)
    counts = steps_of(stage, lambda connection: connection.is_closed)
    assert max(counts) <= MAX_PER_STEP
    assert stage.ends == 1


def test_connections_that_nobody_holds_are_closed_in_the_steps_of_many_turns(stage: Stage) -> None:
    stage.connections += [Connection(raises=False) for _ in range(3 * MAX_PER_STEP)]
    stage.connections[5].raises = True
    for connection in stage.connections:
        connection.is_used = False
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.stop.review_soon()
    counts = steps_of(stage, lambda connection: connection.is_closing)
    assert max(counts) <= MAX_PER_STEP
    stage.connections.clear()
    stage.stop.review_soon()
    stage.dispatcher.run_until_idle()
    assert stage.ends == 1


def test_stop_without_a_dispatcher_closes_all_and_ends(stage: Stage) -> None:
    stage.server.acceptor.abandon = lambda: None
    stage.connections += [Connection(raises=False) for _ in range(3 * MAX_PER_STEP)]
    stage.dispatcher.close()
    stage.stop.begin(0.0)
    assert is_over(stage)


def test_connections_to_the_internal_port_stay_until_all_others_have_ended(stage: Stage) -> None:
    busy, page, idle = stage.connections
    page.is_internal = idle.is_internal = True
    idle.is_used = False
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.stop.review_soon()
    stage.dispatcher.run_until_idle()
    assert not any(each.is_closing for each in stage.connections)
    stage.connections.remove(busy)
    stage.stop.review_soon()
    stage.dispatcher.run_until_idle()
    assert (page.is_closing, idle.is_closing) == (False, True), "a page is being made"
    stage.connections.remove(idle)
    page.is_used = False
    stage.stop.review_soon()
    stage.dispatcher.run_until_idle()
    assert (page.is_closing, stage.ends) == (True, 0)
    stage.connections.remove(page)
    stage.stop.review_soon()
    stage.dispatcher.run_until_idle()
    assert stage.ends == 1


def test_retired_connection_to_the_internal_port_is_closed_like_others(stage: Stage) -> None:
    page = stage.connections[1]
    page.is_internal = page.is_retired = True
    page.is_used = False
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.dispatcher.run_until_idle()
    assert [each.is_closing for each in stage.connections] == [False, True, False]


def test_late_connections_are_closed_though_one_raises(stage: Stage) -> None:
    stage.connections[1].raises = True
    stage.stop.close_late_connections()
    assert all(each.is_closed for each in stage.connections)


def begin_without_connections(stage: Stage) -> None:
    stage.connections.clear()
    stage.stop.begin(stage.dispatcher.clock.monotonic() + 3.0)
    stage.dispatcher.run_until_idle()


@pytest.mark.parametrize("is_async", [False, True])
def test_stop_waits_for_a_handler_whose_client_is_gone(stage: Stage, is_async: bool) -> None:
    calls = [stage.run_call(is_async=is_async) for _ in range(2)]
    begin_without_connections(stage)
    stage.end_call(calls[0])
    assert stage.ends == 0
    stage.end_call(calls[1])
    assert (stage.ends, stage.cancels) == (1, 0)


def test_stop_waits_no_longer_than_the_grace_for_a_plain_handler(stage: Stage) -> None:
    stage.run_call(is_async=False)
    begin_without_connections(stage)
    stage.dispatcher.advance(2.9)
    assert stage.ends == 0
    stage.dispatcher.advance(0.2)
    assert (stage.ends, stage.cancels) == (1, 0)


def test_async_handlers_may_clean_up_after_the_grace(stage: Stage) -> None:
    call = stage.run_call(is_async=True)
    stage.run_call(is_async=False)
    begin_without_connections(stage)
    stage.dispatcher.advance(3.0)
    stage.dispatcher.advance(CLEANUP_S / 2)
    assert (stage.ends, stage.cancels) == (0, 1)
    stage.end_call(call)
    assert (stage.ends, stage.cancels) == (1, 1)
    stage.dispatcher.advance(CLEANUP_S)
    assert stage.ends == 1


def test_async_handler_that_cleans_up_for_too_long_is_given_up(stage: Stage) -> None:
    stage.run_call(is_async=True)
    begin_without_connections(stage)
    stage.dispatcher.advance(3.0)
    stage.dispatcher.advance(CLEANUP_S - 0.1)
    assert (stage.ends, stage.cancels) == (0, 1)
    stage.dispatcher.advance(0.2)
    assert (stage.ends, stage.cancels) == (1, 1)
