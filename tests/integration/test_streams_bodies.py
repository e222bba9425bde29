"""Bodies of streams: functions that run once the handler has answered."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ErrorCode,
    InternalServerError,
    RpcError,
    StreamClosedError,
    StreamResetError,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.stream_functions import (
    Odd,
    echo,
    form_of,
)
from tests.peers.streams import (
    PAIRS,
    THREADS,
    accepting,
    client_of,
    every_pair,
    opened,
    served,
    wait_until_idle,
)


async def echo_async(stream: Any) -> None:
    async for message in stream:
        await stream.send(b"echo:" + message, timeout=WAIT_S)


def body_of(sides: str, plain: Any, as_async: Any) -> Any:
    return plain if sides.endswith("-threads") else as_async


@contextlib.contextmanager
def with_body(sides: str, plain: Any, as_async: Any, **options: Any) -> Any:
    body = body_of(sides, plain, as_async)
    service = accepting(form_of(sides, "server"), body=body)
    with opened(sides, service=service, **options) as pair:
        yield pair


@every_pair
def test_body_runs_after_the_answer(sides: str) -> None:
    with with_body(sides, echo, echo_async, streams=3) as pair:
        for k, stream in enumerate(pair.clients):
            stream.send(b"%d" % k, timeout=WAIT_S)
        assert [each.recv(WAIT_S) for each in pair.clients] == [b"echo:0", b"echo:1", b"echo:2"]
        for stream in pair.clients:
            stream.close(WAIT_S)
        wait_until_idle(pair)


@every_pair
def test_stream_is_closed_when_its_body_returns(sides: str) -> None:
    def count(stream: Any) -> None:
        for i in range(3):
            stream.send(b"%d" % i)

    async def count_async(stream: Any) -> None:
        for i in range(3):
            await stream.send(b"%d" % i)

    with with_body(sides, count, count_async) as pair:
        assert list(pair.client) == [b"0", b"1", b"2"]
        assert pair.client.failure is None
        wait_until_idle(pair)


@every_pair
@pytest.mark.parametrize("error", [ValueError("odd"), Odd("odd")], ids=["Exception", "Odd"])
def test_body_that_raises_resets_its_stream(
    sides: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(stream: Any) -> None:
        raise error

    async def fail_async(stream: Any) -> None:
        raise error

    with with_body(sides, fail, fail_async) as pair:
        with pytest.raises(StreamResetError) as caught:
            pair.client.recv(WAIT_S)
        assert caught.value.is_remote
        wait_until_idle(pair)
        wait_until(lambda: any(record.exc_info for record in caplog.records))
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "the body of" in record.getMessage()


@every_pair
def test_body_whose_peer_is_gone_is_no_error(sides: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with with_body(sides, echo, echo_async) as pair:
        pair.client.send(b"x", timeout=WAIT_S)
        assert pair.client.recv(WAIT_S) == b"echo:x"
        pair.client.reset()
        wait_until_idle(pair)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@every_pair
def test_body_that_sends_to_a_closed_stream_is_no_error(
    sides: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has heard enough."""
    caplog.set_level(logging.INFO)

    def talk(stream: Any) -> None:
        while True:
            stream.send(b"x")

    async def talk_async(stream: Any) -> None:
        while True:
            await stream.send(b"x")

    with with_body(sides, talk, talk_async) as pair:
        pair.client.recv(WAIT_S)
        pair.client.close(WAIT_S)
        wait_until_idle(pair)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@every_pair
def test_body_may_let_out_errors_of_calls(sides: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are logged, unlike those of its own stream."""
    error = RpcError("elsewhere", code=ErrorCode.EINTERNAL)

    def fail(stream: Any) -> None:
        raise error

    async def fail_async(stream: Any) -> None:
        raise error

    with with_body(sides, fail, fail_async) as pair:
        assert isinstance(pair.client.wait_closed(WAIT_S), StreamResetError)
        wait_until(lambda: any(record.exc_info for record in caplog.records))


@pytest.mark.parametrize("sides", PAIRS[:2])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("number", "the body of a stream is a function, not"),
        ("other", "the body of this stream must be a"),
        ("both", "give on_messages or a body, not both"),
    ],
)
def test_wrong_bodies_are_refused(
    sides: str, kind: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = form_of(sides, "server")
    bodies = {
        "number": 3,
        "other": body_of(sides, echo_async, echo),
        "both": body_of(sides, echo, echo_async),
    }
    options = None
    if kind == "both":
        options = pybrpc.StreamOptions(on_messages=lambda stream, messages: None)
    service = accepting(theirs, options, body=bodies[kind])
    with served(service) as server, client_of(THREADS, server.endpoint) as client:
        with pytest.raises(InternalServerError):
            client.open()
    assert said in caplog.text


@every_pair
def test_iterating_after_an_own_close_ends(sides: str) -> None:
    with opened(sides) as pair:
        received = pair.client.start("recv")
        pair.client.close(WAIT_S)
        with pytest.raises(StreamClosedError, match="closed by this side"):
            received.result()
