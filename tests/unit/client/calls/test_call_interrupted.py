"""Calls whose thread is struck by an exception: while it sends, aborts or handles a response."""

from __future__ import annotations

from typing import NoReturn

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    RpcCanceledError,
    RpcError,
)
from tests.fakes.connections import (
    FakeCall,
    FakeConnection,
    make_call,
    start,
)


class Interrupted(FakeConnection):
    """A signal handler raises while a request is sent; the write right may be lost with it."""

    def __init__(self, *, before: bool) -> None:
        def on_send(connection: FakeConnection, attempt: Attempt) -> None:
            if before:
                raise KeyboardInterrupt

        super().__init__(on_send)
        self.before = before
        self.taken_back: list[FakeCall] = []
        self.failures: list[RpcError] = []
        self.socket.fail = self.failures.append  # type: ignore[attr-defined]

    def send(self, attempt: Attempt) -> None:
        super().send(attempt)
        raise KeyboardInterrupt

    def reclaim(self, call: FakeCall) -> None:
        self.taken_back.append(call)


@pytest.mark.parametrize("before", [True, False])
def test_call_that_is_interrupted_while_it_is_sent_is_cancelled_and_its_connection_closed(
    before: bool,
) -> None:
    connection = Interrupted(before=before)
    call = make_call(connection)
    with pytest.raises(KeyboardInterrupt):
        call.start()
    assert connection.taken_back == [call]
    (failure,) = connection.failures
    assert failure.code == ErrorCode.EFAILEDSOCKET
    assert failure.text.startswith("Interrupted by KeyboardInterrupt while calling 10.")
    assert connection.pending == {}
    if not before:
        assert isinstance(call.error, RpcCanceledError)


@pytest.mark.python_only
@pytest.mark.parametrize("part", ["phase", "discard", "note"])
@pytest.mark.parametrize("raised", [RecursionError, MemoryError, KeyboardInterrupt])
def test_call_that_was_claimed_to_be_aborted_ends_whatever_strikes_the_thread(
    part: str, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = FakeConnection()
    call = start(connection)
    error = call.canceled_error()

    def strike(*arguments: object) -> NoReturn:
        raise raised

    if part == "phase":
        monkeypatch.setattr(Attempt, "phase", property(strike))
    elif part == "discard":
        monkeypatch.setattr(connection.timeouts.queue, "discard", strike)
    else:
        monkeypatch.setattr(FakeCall, "_note_last", strike)
    with pytest.raises(raised):
        call.abort(error)
    assert (call.ends, call.is_over, connection.pending) == ([error], True, {})
    assert not call.abort(error)


def test_call_that_is_struck_while_its_response_is_handled_ends_with_the_cause() -> None:
    connection = FakeConnection()
    call = start(connection)
    reason = MemoryError("no room")
    attempt = connection.take_number(1)
    assert attempt is not None
    call.on_raised(attempt, reason)
    call.on_raised(attempt, reason)
    (error,) = call.ends
    assert isinstance(error, BadResponseError)
    assert error.__cause__ is reason
    assert connection.timeouts.calls == []
