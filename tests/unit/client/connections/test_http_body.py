"""IncomingBody: what comes, what is taken, and when its connection is free again."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pybrpc.client.connections.http_body import BegunResponse, IncomingBody, ProgressiveResponse
from pybrpc.errors import ErrorCode, RpcCanceledError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.transport.writing.backlog import Backlog


class FakeConnection:
    """Notes how holds end."""

    def __init__(self) -> None:
        self.ends: list[bool] = []
        self.is_retired = False

    def release_hold(self, user: object, is_clean: bool) -> None:
        self.ends.append(is_clean)

    def retire(self) -> None:
        self.is_retired = True


class FakeWait:
    def __init__(self) -> None:
        self.ends = 0

    def end(self) -> None:
        self.ends += 1


class Body:
    def __init__(self) -> None:
        self.connection: Any = FakeConnection()
        self.unread = Backlog(100)
        self.core = IncomingBody(self.connection, self.unread)


BROKEN = make_rpc_error(ErrorCode.EEOF, "gone")


def test_parts_are_taken_together_and_counted_until_then() -> None:
    body = Body()
    body.core.add(IOBuf(b"ab"))
    body.core.add(IOBuf(b"c"))
    assert (body.unread.size_bytes, body.unread.requests) == (3, 2)
    assert body.core.take() == b"abc"
    assert body.unread.is_empty()
    assert body.core.take() is None
    assert not body.core.is_over


def test_connection_is_free_once_all_is_taken() -> None:
    body = Body()
    body.core.add(IOBuf(b"a"))
    body.core.end(None, is_clean=True)
    assert body.connection.ends == []
    assert body.core.take() == b"a"
    assert body.connection.ends == [True]
    assert body.core.is_over
    assert not body.connection.is_retired
    body.core.abandon()
    assert body.connection.ends == [True]


@pytest.mark.parametrize("is_clean", [True, False])
def test_end_after_all_was_taken_frees_the_connection(is_clean: bool) -> None:
    body = Body()
    body.core.end(None, is_clean)
    assert (body.connection.ends, body.connection.is_retired) == ([is_clean], not is_clean)


def test_abandoned_body_drops_what_comes_and_closes_its_connection() -> None:
    body = Body()
    body.core.add(IOBuf(b"a"))
    body.core.abandon()
    body.core.add(IOBuf(b"b"))
    assert (body.connection.ends, body.connection.is_retired) == ([False], True)
    assert body.unread.is_empty()
    assert body.core.take() is None
    assert isinstance(body.core.error, RpcCanceledError)


def test_abandoned_body_does_not_seem_whole() -> None:
    body = Body()
    body.core.add(IOBuf(b"a"))
    body.core.end(None, is_clean=True)
    body.core.abandon()
    assert body.unread.is_empty()
    assert (body.core.take(), body.core.is_over) == (None, True)
    assert isinstance(body.core.error, RpcCanceledError)
    body.core.abandon(BROKEN)
    assert isinstance(body.core.error, RpcCanceledError)


def test_failure_of_the_connection_comes_after_the_parts() -> None:
    body = Body()
    body.core.add(IOBuf(b"a"))
    body.core.on_connection_failed(body.connection, BROKEN)
    assert not body.core.is_over
    assert body.core.take() == b"a"
    assert body.core.is_over
    assert body.core.error is not None
    assert body.core.error.code == ErrorCode.EEOF


def test_failure_after_the_end_is_none() -> None:
    body = Body()
    body.core.end(None, is_clean=True)
    body.core.on_connection_failed(body.connection, BROKEN)
    assert body.core.error is None


@pytest.mark.parametrize("event", ["add", "end", "failed", "abandon"])
def test_waits_end_with_each_event(event: str) -> None:
    body, wait, forgotten = Body(), FakeWait(), FakeWait()
    assert body.core.begin_wait(wait)
    assert body.core.begin_wait(forgotten)
    body.core.forget_wait(forgotten)
    if event == "add":
        body.core.add(IOBuf(b"a"))
    elif event == "end":
        body.core.end(None, is_clean=True)
    elif event == "failed":
        body.core.on_connection_failed(body.connection, BROKEN)
    else:
        body.core.abandon()
    assert (wait.ends, forgotten.ends) == (1, 0)
    assert not body.core.begin_wait(wait), "there is nothing to wait for"
    body.core.forget_wait(wait)


def test_result_that_nobody_keeps_is_abandoned() -> None:
    body = Body()
    head: Any = None
    owner = ProgressiveResponse(BegunResponse(head, body.core))
    assert owner.body is body.core
    del owner
    gc.collect()
    assert body.connection.is_retired


def test_result_that_was_read_is_not_abandoned() -> None:
    body = Body()
    head: Any = None
    owner = ProgressiveResponse(BegunResponse(head, body.core))
    body.core.end(None, is_clean=True)
    del owner
    gc.collect()
    assert not body.connection.is_retired
