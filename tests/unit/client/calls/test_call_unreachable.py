"""Call to an endpoint that is down: it fails at once, pauses, or waits; it can always be ended."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import (
    ConnectError,
    ErrorCode,
    Phase,
    RpcCanceledError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.connections import FakeCall, FakeConnection, start

pytestmark = pytest.mark.usefixtures("clock")

PAUSING = RetryPolicy(backoff=Backoff(first_s=1, factor=1, jitter=0))


class Down(FakeConnection):
    """A source of an endpoint that is down; `during_get` happens while a call asks it."""

    why_down = None
    is_down = True

    def during_get(self, call: Any) -> None:
        pass

    def get(self, call: Any) -> Any:
        self.during_get(call)
        if not self.is_down:
            return self
        raise make_rpc_error(ErrorCode.ECONNREFUSED, "down", phase=Phase.CONNECT)


def refuse(connection: FakeConnection, attempt: Attempt) -> None:
    """The endpoint was thought to be up."""
    connection.socket.is_connected = False
    raise make_rpc_error(ErrorCode.ECONNREFUSED, "refused", phase=Phase.CONNECT)


class Up(Down):
    is_down = False


def cancel(call: FakeCall) -> None:
    assert not call.abort(call.canceled_error())


def test_call_without_backoff_fails_at_once_while_the_endpoint_is_down() -> None:
    """To ask again would only say the same."""
    call = start(Down())
    (error,) = call.ends
    assert type(error) is ConnectError
    assert (error.text, error.phase) == ("[E111]down", Phase.CONNECT)
    assert call.retried_count == 0


def test_call_with_backoff_asks_again_within_max_retry(clock: FakeClock) -> None:
    source = Down(clock=clock)
    call = start(source, retry=PAUSING, max_retry=2)
    assert call.ends == []
    source.dispatcher.advance(1.01)
    assert (call.ends, call.retried_count) == ([], 2)
    source.dispatcher.advance(1.01)
    (error,) = call.ends
    assert error.text == "[E111]down [R1][E111]down [R2][E111]down"


def test_endpoint_that_is_back_gets_the_call_after_the_pause(clock: FakeClock) -> None:
    source = Down(clock=clock)
    call = start(source, retry=PAUSING)
    source.is_down = False
    source.dispatcher.advance(1.01)
    assert source.answer() in call.ends


@pytest.mark.parametrize("retry", [RetryPolicy(), PAUSING], ids=["at once", "pauses"])
def test_call_that_is_cancelled_while_it_asks_for_a_connection_is_cancelled(
    retry: RetryPolicy,
) -> None:
    source = Down()
    source.during_get = cancel  # type: ignore[method-assign]
    call = start(source, retry=retry)
    (error,) = call.ends
    assert type(error) is RpcCanceledError
    assert source.dispatcher._timers == []


def test_call_that_waits_for_ready_goes_on_until_it_is_sent() -> None:
    """Beyond max_retry: none of these was an attempt of the server's."""
    source = Up(*[refuse] * 5)
    call = start(source, wait_for_ready=True, max_retry=0)
    assert call.ends == []
    assert (source.sent, call.retried_count) == (6, 0)
    assert source.answer() in call.ends


@pytest.mark.parametrize("end", ["break_down", "answer_error"])
def test_call_that_waits_for_ready_fails_like_others_once_it_was_sent(end: str) -> None:
    source = Up()
    call = start(source, wait_for_ready=True, max_retry=0)
    getattr(source, end)(ErrorCode.ECONNRESET)
    assert len(call.ends) == 1
    assert source.sent == 1


def test_call_that_waits_for_ready_fails_if_its_source_gives_up() -> None:
    """Which knows that it waits: it says so only if nothing can come of that."""
    call = start(Down(), wait_for_ready=True)
    assert len(call.ends) == 1


def test_call_that_waits_for_ready_ends_at_its_deadline(clock: FakeClock) -> None:
    def refuse_late(connection: FakeConnection, attempt: Attempt) -> None:
        clock.now_s += 6
        refuse(connection, attempt)

    source = Up(refuse_late)
    call = start(source, wait_for_ready=True, timeout_s=5)
    assert len(call.ends) == 1
    assert source.sent == 1


@pytest.mark.parametrize(
    ("how", "kind"), [("cancel", RpcCanceledError), ("expire", RpcTimeoutError)]
)
def test_call_that_waits_for_ready_can_be_ended(how: str, kind: type) -> None:
    """While it is refused: it must not wait on."""

    def end_and_refuse(connection: FakeConnection, attempt: Attempt) -> None:
        call = attempt.call
        assert not call.abort(call.canceled_error() if how == "cancel" else call.timeout_error())
        refuse(connection, attempt)

    source = Up(end_and_refuse)
    call = start(source, wait_for_ready=True)
    (error,) = call.ends
    assert type(error) is kind
    assert source.sent == 1
