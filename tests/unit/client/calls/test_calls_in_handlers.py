"""A call that a handler makes: the deadline that it gets, and how it ends with the handler's."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

import pybrpc
from pybrpc.base.deadline import NEVER
from pybrpc.client.calls.aio_calls import LoopBinding, new_aio_call
from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.sync_calls import new_callback_call, new_future_call
from pybrpc.errors import (
    BadRequestError,
    ErrorCode,
    HandlerCanceledError,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
)
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.connections import (
    ECHO,
    FakeConnection,
    FakeSource,
    OnSend,
    make_call,
    nothing,
    raise_error,
    start,
)
from tests.fakes.serving import no_later, serving_call
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.usefixtures("clock")

GONE = "the peer left"


@pytest.mark.parametrize(
    ("own_s", "handlers_s", "expected_s"),
    [(5, 2, 2), (5, 7, 5), (None, 2, 2), (5, NEVER, 5), (None, NEVER, None), (0.5, -1, 0)],
)
def test_call_gets_the_smaller_of_its_own_and_the_handlers_deadline(
    clock: FakeClock, own_s: float | None, handlers_s: float, expected_s: float | None
) -> None:
    with serving_call(clock.now_s + handlers_s):
        call = make_call(FakeConnection(), own_s)
    left_ms = None if expected_s is None else max(1, int(expected_s * 1000))
    assert call.wire_timeout_ms() == left_ms
    if expected_s is None:
        assert call.deadline == NEVER
    elif expected_s:
        assert call.deadline == clock.now_s + expected_s


def test_call_that_is_made_after_the_handlers_deadline_is_never_sent(clock: FakeClock) -> None:
    connection = FakeConnection()
    with serving_call(clock.now_s - 1):
        call = start(connection)
    (error,) = call.ends
    assert type(error) is RpcTimeoutError
    assert error.text.startswith(
        "[E1008]Reached the deadline of the request that the handler serves, before this call @"
    )
    assert connection.sent == 0


def test_error_names_the_deadline_that_has_passed(clock: FakeClock) -> None:
    connection = FakeConnection()
    with serving_call(clock.now_s + 2):
        short, long = start(connection, 1), start(connection, 5)
        short.expire()
        long.expire()
    assert short.ends[0].text.startswith("[E1008]Reached timeout=1000ms @")
    assert long.ends[0].text.startswith(
        "[E1008]Reached the deadline of the request that the handler serves, "
        "2000ms after this call began @"
    )
    assert {type(call.ends[0]) for call in (short, long)} == {RpcTimeoutError}


def test_call_ends_with_a_clear_error_when_the_handler_is_canceled() -> None:
    connection = FakeConnection()
    controller = pybrpc.Controller()
    with serving_call() as served:
        call = start(connection, controller=controller)
        served.cancel(GONE, no_later)
    (error,) = call.ends
    assert type(error) is HandlerCanceledError
    assert isinstance(error, RpcCanceledError)
    assert error.code == controller.error_code == ErrorCode.ECANCELED
    assert error.text.startswith(
        "[E125]Canceled with the request that the handler serves, because the peer left @"
    )
    assert (connection.pending, connection.timeouts.calls) == ({}, [])


def test_call_that_is_made_by_a_canceled_handler_is_never_sent() -> None:
    connection = FakeConnection()
    with serving_call() as served:
        served.cancel(GONE, no_later)
        call = start(connection)
    (error,) = call.ends
    assert type(error) is HandlerCanceledError
    assert connection.sent == 0


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_cancel_between_two_attempts_ends_the_call(earlier: int) -> None:
    """It comes while the attempt is not pending yet: no other thread can claim it."""
    with serving_call() as served:

        def cancel(connection: FakeConnection, attempt: Attempt) -> None:
            served.cancel(GONE, no_later)

        connection = FakeConnection(*[nothing] * earlier, cancel)
        call = start(connection)
        for _ in range(earlier):
            connection.break_down()
    (error,) = call.ends
    assert type(error) is HandlerCanceledError
    assert (connection.pending, connection.sent) == ({}, earlier + 1)


def test_cancel_ends_both_attempts_of_a_call_with_a_backup() -> None:
    connection = FakeConnection()
    with serving_call() as served:
        call = start(connection, backup=BackupRequestPolicy(0.1, max_ratio=1.0))
        served.cancel(GONE, no_later)
    assert [type(end) for end in call.ends] == [HandlerCanceledError]
    assert connection.pending == {}


ENDS: dict[str, tuple[OnSend, Any]] = {
    "answered": (nothing, FakeConnection.answer),
    "failed": (nothing, FakeConnection.break_down),
    "refused": (raise_error(ErrorCode.EOVERCROWDED), None),
}


@pytest.mark.parametrize("how", ENDS)
def test_call_that_has_ended_hears_no_cancel(how: str) -> None:
    on_send, end = ENDS[how]
    connection = FakeConnection(on_send)
    with serving_call() as served:
        call = start(connection, max_retry=0)
        if end is not None:
            end(connection)
        assert repr(served) == "<ServedCall running, 0 nested calls>"
        served.cancel(GONE, no_later)
    assert len(call.ends) == 1
    assert not isinstance(call.ends[0], RpcCanceledError)


def test_request_that_can_not_be_sent_leaves_nothing_in_the_served_call() -> None:
    with serving_call() as served, pytest.raises(BadRequestError):
        new_future_call(FakeSource(), ECHO, "no message", 5.0, CallOptions(), None)  # type: ignore[arg-type]
    assert repr(served).endswith("0 nested calls>")


def test_call_goes_on_after_its_handler_with_the_deadline_it_has(clock: FakeClock) -> None:
    connection = FakeConnection()
    with serving_call(clock.now_s + 2) as served:
        call = start(connection)
    served.cancel(GONE, no_later)
    assert (call.ends, call.deadline) == ([], clock.now_s + 2)
    connection.answer()
    assert len(call.ends) == 1


def test_detached_call_inherits_nothing(clock: FakeClock) -> None:
    connection = FakeConnection()
    with serving_call(clock.now_s + 2) as served:
        with pybrpc.detached():
            call = start(connection)
        served.cancel(GONE, no_later)
    assert (call.ends, call.deadline) == ([], clock.now_s + 5)
    call.expire()
    assert "Reached timeout=5000ms" in call.ends[0].text


def test_future_and_callback_get_the_error_of_the_cancel() -> None:
    source, told = FakeSource(), []
    request = pb.EchoRequest(message="x")
    with serving_call() as served:
        future = new_future_call(source, ECHO, request, 5.0, CallOptions(), None).begin(None)
        callback = new_callback_call(source, ECHO, request, 5.0, CallOptions(), None)
        callback.begin(lambda *end: told.append(end), None)
        served.cancel(GONE, no_later)
    source.dispatcher.run_until_idle()
    assert not future.cancelled()
    assert isinstance(future.exception(0), HandlerCanceledError)
    ((response, error),) = told
    assert response is None
    assert isinstance(error, HandlerCanceledError)
    assert (source.pending, source.attended) == ({}, 0)


def test_future_that_the_handler_cancels_itself_is_cancelled() -> None:
    source = FakeSource()
    with serving_call() as served:
        call = new_future_call(source, ECHO, pb.EchoRequest(message="x"), 5.0, CallOptions(), None)
        future = call.begin(None)
        assert future.cancel()
        served.cancel(GONE, no_later)
    assert future.cancelled()


def test_awaited_call_raises_the_error_of_the_cancel() -> None:
    async def task() -> None:
        source = FakeSource()
        any_source: Any = source
        binding = LoopBinding(asyncio.get_running_loop(), any_source, False)
        with serving_call() as served:
            call = new_aio_call(
                binding, ECHO, pb.EchoRequest(message="x"), 5.0, CallOptions(), None
            )
            future = call.begin(binding, None)
            asyncio.get_running_loop().call_soon(served.cancel, GONE, no_later)
            with pytest.raises(HandlerCanceledError):
                await future
        assert source.pending == {}

    asyncio.run(task())


@pytest.mark.parametrize("is_canceled", [True, False])
def test_future_that_nobody_awaits_logs_no_cancel(
    is_canceled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler that has begun the call was cancelled too. Of another error asyncio does log."""

    async def task() -> None:
        source = FakeSource()
        any_source: Any = source
        binding = LoopBinding(asyncio.get_running_loop(), any_source, False)
        with serving_call() as served:
            options = CallOptions(max_retry=0)
            call = new_aio_call(binding, ECHO, pb.EchoRequest(message="x"), 5.0, options, None)
            future = call.begin(binding, None)
            if is_canceled:
                served.cancel(GONE, no_later)
            else:
                source.break_down()
        while not future.done():
            await asyncio.sleep(0)

    asyncio.run(task())
    gc.collect()
    assert ("never retrieved" in caplog.text) != is_canceled


def test_served_call_keeps_no_call_that_has_ended() -> None:
    connection = FakeConnection()
    with serving_call() as served:
        call = start(connection)
        connection.answer()
        gone = weakref.ref(call)
        call = None  # type: ignore[assignment]
        gc.collect()
        assert gone() is None
        assert served.cancel_reason == ""


def test_call_that_fails_keeps_its_error_when_the_cancel_comes_later() -> None:
    connection = FakeConnection()
    with serving_call() as served:
        call = start(connection, max_retry=0)
        connection.answer_error(ErrorCode.EINTERNAL)
        served.cancel(GONE, no_later)
    (error,) = call.ends
    assert isinstance(error, RpcError)
    assert error.code == ErrorCode.EINTERNAL
