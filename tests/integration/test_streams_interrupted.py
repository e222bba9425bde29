"""Streams that nobody refers to any more, waits that are interrupted, and ends that come early."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.waiting import acquire_until
from pybrpc.errors import (
    RpcError,
    StreamClosedError,
    StreamResetError,
    WouldDeadlockError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse, StreamSettings
from pybrpc.protocols.streaming.stream_frame import (
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import echo_body
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.streams import (
    THREADS,
    Pair,
    accepting,
    client_of,
    every_pair,
    opened,
    run_in,
    served,
    wait_until_idle,
)

SMALL = pybrpc.StreamOptions(max_buf_size=10)


# --- a stream that nobody refers to any more ---


def drop(pair: Pair) -> None:
    """Forget the stream of the client, and its call."""
    stream = pair.client.inner
    pair.client.inner = pair.clients[0].inner = pair.call.inner = None
    del stream
    gc.collect()


@every_pair
def test_stream_that_is_dropped_is_reset(sides: str) -> None:
    with opened(sides) as pair:
        call, table = pair.call.inner, pair.client.inner._core.table
        ours = pair.client.inner.id
        del call
        with pytest.warns(ResourceWarning, match=f"unclosed <A?i?o?Stream {ours} with"):
            drop(pair)
        error = pair.server.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert error.is_remote
        wait_until(lambda: not table.streams)
        pair.call.inner = _NoCall(pair)


class _NoCall:
    """So that the harness has something to close."""

    def __init__(self, pair: Pair) -> None:
        self._is_async = pair.of_client.loop is not None

    def close(self, timeout: float) -> Any:
        return None

    def reset(self) -> None: ...


@every_pair
def test_stream_that_has_ended_is_dropped_without_a_warning(sides: str) -> None:
    with opened(sides, streams=2) as pair:
        pair.servers[0].close(WAIT_S)
        pair.servers[1].send(b"unread", timeout=WAIT_S)
        wait_until(lambda: len(pair.clients[1].inner._core.unread) == 1)
        pair.servers[1].close(WAIT_S)
        table = pair.client.inner._core.table
        wait_until(lambda: len(table.streams) == 1)
        wait_until(lambda: all(each.has_ended for each in table.streams.values()))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pair.clients[1].inner = None
            drop(pair)
        wait_until(lambda: not table.streams)
        pair.call.inner = _NoCall(pair)


# --- interrupted ---


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("what", ["recv", "send", "wait_consumed", "drain", "wait_closed"])
def test_ctrl_c_ends_a_wait_and_leaves_the_stream_open(what: str) -> None:
    def interrupt() -> None:
        main_id = threading.main_thread().ident or 0
        while sys._current_frames()[main_id].f_code is not acquire_until.__code__:
            pass
        signal.pthread_kill(main_id, signal.SIGINT)

    with opened("threads-threads", SMALL) as pair:
        pair.client.send(b"x" * 10)
        thread = threading.Thread(target=interrupt)
        thread.start()
        arguments = (b"never sent",) if what == "send" else ()
        with pytest.raises(KeyboardInterrupt):
            getattr(pair.client, what)(*arguments)
        thread.join()
        core = pair.client.inner._core
        assert not core.outgoing
        assert not core.consumed_waits
        assert not core._received_waits
        assert not core._ended_waits
        assert pair.client.state == "open"
        assert pair.server.recv(WAIT_S) == b"x" * 10
        pair.server.send(b"still there")
        assert pair.client.recv(WAIT_S) == b"still there"


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_cancelled_waits_lose_nothing(kind: str) -> None:
    with opened(f"{kind}-asyncio", SMALL) as pair:
        client = pair.client.inner
        loop = pair.of_client.loop

        async def cancel() -> None:
            await client.send(b"x" * 10)
            core = client._core
            for what in (client.recv, client.drain, client.wait_consumed, client.wait_closed):
                task = asyncio.create_task(what())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            task = asyncio.create_task(client.send(b"never"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not core.outgoing
            assert not core.consumed_waits
            assert not core._received_waits
            assert not core._ended_waits

        run_in(loop, cancel())
        pair.server.send(b"kept", timeout=WAIT_S)
        assert pair.client.recv(WAIT_S) == b"kept"
        assert pair.server.recv(WAIT_S) == b"x" * 10
        pair.server.inner._core.note_consumed()
        pair.client.send(b"sent", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"sent"


def test_blocking_wait_in_a_turn_is_refused() -> None:
    """In a callback of a call, say, which runs in the thread that polls for the stream."""
    with opened("threads-threads", SMALL) as pair:
        pair.client.send(b"x" * 10)
        stream, raised = pair.client.inner, []
        over = threading.Event()

        def wait_for_it() -> None:
            for wait in (
                lambda: stream.recv(),
                lambda: stream.send(b"more"),
                lambda: stream.wait_consumed(),
                lambda: stream.wait_closed(),
                lambda: stream.drain(),
                lambda: stream.close(),
                lambda: next(stream.batches()),
            ):
                try:
                    wait()
                except BaseException as error:
                    raised.append(error)
            over.set()

        stream._core.table.socket.dispatcher.post(wait_for_it)
        assert over.wait(WAIT_S)
        assert [type(error) for error in raised] == [WouldDeadlockError] * 7
        assert "receiving on a stream inside a callback would wait for itself" in str(raised[0])
        core = stream._core
        assert not core.outgoing
        assert not core.consumed_waits
        assert not core._received_waits
        assert not core._ended_waits
        assert stream.state == "open"
        assert pair.server.recv(WAIT_S) == b"x" * 10


@pytest.mark.parametrize("form", [THREADS, "asyncio"])
def test_stream_is_used_while_the_loop_of_its_connection_is_gone(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is logged when a loop ends with open streams, whose connection was closed."""
    caplog.set_level(logging.WARNING)
    with opened(f"{form}-{form}") as pair:
        client = pair.client.inner
    assert client.is_closed
    with pytest.raises(RpcError):
        client.send_nowait(b"late")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@every_pair
@pytest.mark.parametrize(
    ("end", "kind"),
    [("on_close", type(None)), ("close", type(None)), ("reset", StreamResetError)],
)
def test_stream_may_end_before_its_answer_is_noted(
    sides: str, end: str, kind: type[object]
) -> None:
    """A quick client has the answer, and has sent its CLOSE, before the server goes on."""

    def end_it(streams: list[Any], controller: Any) -> None:
        getattr(streams[0]._core, end)()

    service = accepting(sides.partition("-")[2], on_accepted=end_it)
    with opened(sides, service=service) as pair:
        assert isinstance(pair.client.wait_closed(WAIT_S), kind)
        wait_until_idle(pair)


@pytest.mark.parametrize("form", [THREADS, "asyncio", "uvloop"])
def test_wait_consumed_succeeds_if_all_was_consumed_before_the_end(form: str) -> None:
    """The FEEDBACK and the CLOSE come in one read: the waiter wakes when the stream has ended."""

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        settings = request.stream_settings
        assert settings is not None
        theirs = settings.stream_id
        answer = RpcResponse(request.correlation_id, body=echo_body(request))
        answer.stream_settings = StreamSettings(5, True, True, ())
        wrapped = pack_data(data_meta(theirs, 5), BAIDU_STD.pack_response(answer))
        peer.send(bytes(wrapped))
        assert is_waiting.wait(WAIT_S)
        peer.send(pack_feedback(theirs, 5, 4) + pack_close(theirs, 5))
        peer.wait_closed()

    is_waiting = threading.Event()
    with ScriptedServer(script) as server, client_of(form, server.address) as client:
        call = client.open()
        (stream,) = client.streams_of(call)
        stream.send(b"four", timeout=WAIT_S)
        waits = stream.start("wait_consumed", WAIT_S)
        wait_until(lambda: bool(stream.inner._core.consumed_waits))
        is_waiting.set()
        waits.result()
        assert stream.wait_closed(WAIT_S) is None
        with pytest.raises(StreamClosedError, match="closed by the peer"):
            stream.send(b"late")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_call_that_opens_streams() -> None:
    """Its answer comes later; the streams of the server are reset."""
    entered, leave = threading.Event(), threading.Event()

    def wait(streams: list[Any], controller: Any) -> None:
        entered.set()
        assert leave.wait(WAIT_S)

    def interrupt() -> None:
        assert entered.wait(WAIT_S)
        main_id = threading.main_thread().ident or 0
        while sys._current_frames()[main_id].f_code is not acquire_until.__code__:
            pass
        signal.pthread_kill(main_id, signal.SIGINT)

    service = accepting(THREADS, on_accepted=wait)
    with served(service) as server, client_of(THREADS, server.endpoint) as client:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            client.stream().open()
        thread.join()
        leave.set()
        (stream,) = service.next()
        assert isinstance(stream.wait_closed(WAIT_S), StreamResetError)
        assert client.echo("next").message == "next"
