"""BlockingCall: how it ends, over a fake connection."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

import pytest

from pybrpc.client.calls.sync_calls import (
    new_blocking_call,
)
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    WouldDeadlockError,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import GRACE_S
from tests.fakes.connections import ANSWER, ECHO, FakeSource, OddMethod
from tests.fakes.sync_calls import ODD, Held, is_freed_after, make


class TimeLimitReached(Exception):
    """As a job queue sets it in the thread of a job."""


def waits(source: FakeSource, *turns: Any) -> None:
    """Each wait for the dispatcher runs one of `turns`; None: the deadline comes."""
    left = list(turns)

    def wait(waiter: Any, deadline: float) -> bool:
        turn = left.pop(0)
        if turn is None:
            return False
        turn()
        return True

    source.dispatcher.wait = wait  # type: ignore[method-assign]


def test_blocking_call_returns_the_response() -> None:
    source = FakeSource()
    waits(source, source.answer_well)
    assert make(new_blocking_call, source).wait() == ANSWER


def test_blocking_call_raises_the_error() -> None:
    source = FakeSource()
    waits(source, lambda: source.answer_error(ErrorCode.EINTERNAL))
    with pytest.raises(RpcError, match="no"):
        make(new_blocking_call, source).wait()


def test_blocking_call_ends_at_its_deadline() -> None:
    source = FakeSource()
    waits(source, None, lambda: None)
    with pytest.raises(RpcTimeoutError):
        make(new_blocking_call, source).wait()
    assert source.pending == {}


def test_blocking_call_that_is_interrupted_is_cancelled_and_its_connection_reclaimed() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    source = FakeSource()
    waits(source, interrupt)
    call = make(new_blocking_call, source)
    with pytest.raises(KeyboardInterrupt):
        call.wait()
    assert isinstance(call.error, RpcCanceledError)
    assert (source.pending, source.taken_back) == ({}, 1)


def test_blocking_call_in_a_turn_of_its_dispatcher_raises_instead_of_waiting_for_itself() -> None:
    source = FakeSource()
    raised: list[Exception] = []
    controller = Controller()

    def call_in_turn() -> None:
        try:
            make(new_blocking_call, source, controller=controller).wait()
        except WouldDeadlockError as error:
            raised.append(error)

    source.dispatcher.post(call_in_turn)
    source.dispatcher.run_until_idle()
    (error,) = raised
    assert "a blocking call of conformance.EchoService.Echo inside a callback" in str(error)
    assert source.sent == 0
    make(new_blocking_call, source, controller=controller)  # it is not in use


def test_blocking_call_that_its_owner_lost_ends_a_second_after_its_deadline() -> None:
    """Another thread has claimed the attempt, and never ends the call."""
    source = FakeSource()
    controller = Controller()
    call = make(new_blocking_call, source, controller=controller)
    lost: list[Any] = []
    deadlines: list[float] = []

    def wait(waiter: Any, deadline: float) -> bool:
        deadlines.append(deadline)
        if not lost:
            lost.append(source.take_number(1))
        return False

    source.dispatcher.wait = wait  # type: ignore[method-assign]
    began_at = time.monotonic()
    with pytest.raises(RpcTimeoutError, match="Reached timeout=5000ms"):
        call.wait()
    assert deadlines[0] == call.deadline
    assert began_at + GRACE_S <= deadlines[1] <= time.monotonic() + GRACE_S
    assert controller.error_code == ErrorCode.ERPCTIMEDOUT
    # The end that comes too late changes nothing.
    call.on_response(lost[0], RpcResponse(1, body=ANSWER.SerializeToString()))
    assert controller.error_code == ErrorCode.ERPCTIMEDOUT
    assert source.taken_back == 1


def test_blocking_call_whose_owner_is_late_has_the_outcome_of_its_owner() -> None:
    source = FakeSource()
    owned: list[Any] = []

    def wait(waiter: Any, deadline: float) -> bool:
        if not owned:
            owned.append(source.take_number(1))
            return False
        response = RpcResponse(1, body=ANSWER.SerializeToString())
        owned[0].call.on_response(owned[0], response)
        return True

    source.dispatcher.wait = wait  # type: ignore[method-assign]
    assert make(new_blocking_call, source).wait() == ANSWER


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError, BadResponseError),
        (MemoryError, BadResponseError),
        (RecursionError, BadResponseError),
        (UnicodeError, BadResponseError),
        (KeyboardInterrupt, KeyboardInterrupt),
        (SystemExit, SystemExit),
        (TimeoutError, TimeoutError),
        (TimeLimitReached, TimeLimitReached),
    ],
)
def test_what_a_parser_raises_is_eresponse_and_what_interrupts_it_is_raised(
    raised: type[BaseException], seen: type[BaseException]
) -> None:
    source = FakeSource()
    waits(source, source.answer_well)
    with pytest.raises(seen) as caught:
        make(new_blocking_call, source, method=OddMethod(raised)).wait()
    if seen is BadResponseError:
        assert isinstance(caught.value.__cause__, raised)


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["error", "odd"])
def test_error_of_a_blocking_call_leaves_no_reference_cycle(end: str) -> None:
    def call(held: Held) -> None:
        source = FakeSource()
        answer = source.answer_well if end == "odd" else partial(source.answer_error, 2001)
        waits(source, answer)
        with contextlib.suppress(RpcError):
            make(new_blocking_call, source, method=ODD if end == "odd" else ECHO).wait()

    assert is_freed_after(call)
