"""A thousand streams on one connection, one of which nobody reads: the others don't notice."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import StreamTimeoutError
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams import callback_threads
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_streams import Accepting
from tests.peers.serving import make_server, start

OTHERS = 999
EACH = 3


def send_back(stream: Any, messages: list[bytes]) -> None:
    stream.send_many(messages)


def test_one_slow_reader_among_a_thousand_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_threads, "IDLE_S", 0.05)
    unread = Accepting()
    echoing = Accepting(StreamOptions(on_messages=send_back))
    with make_server(Echo=unread, Stream=echoing) as server, ExitStack() as stack:
        channel = stack.enter_context(pybrpc.Channel(str(start(server)), timeout=WAIT_S))
        stub = pybrpc.Stub(ECHO, channel)
        options = StreamOptions(max_buf_size=200_000)
        slow = stack.enter_context(stub.Echo.stream(echo_request(), options=options)).stream
        with pytest.raises(StreamTimeoutError) as caught:
            slow.send_many([bytes(1000)] * 1000, timeout=0.01)
        sent = caught.value.sent
        assert sent == 200
        streams: list[Any] = []
        while len(streams) < OTHERS:
            count = min(64, OTHERS - len(streams))
            call = stub.Stream.stream(echo_request(), streams=count)
            streams += stack.enter_context(call).streams
        assert server.statistics().connections == 1
        for number in range(EACH):
            for index, stream in enumerate(streams):
                stream.send(b"%d %d" % (index, number), timeout=WAIT_S)
        for index, stream in enumerate(streams):
            received = [stream.recv(timeout=WAIT_S) for _ in range(EACH)]
            assert received == [b"%d %d" % (index, number) for number in range(EACH)]
        reader = unread.take()
        assert [reader.recv(timeout=WAIT_S) for _ in range(sent)] == [bytes(1000)] * sent
        with pytest.raises(StreamTimeoutError):
            reader.recv(timeout=0.01)
        slow.wait_consumed(WAIT_S)
        slow.send(b"goes on", timeout=WAIT_S)
        assert reader.recv(timeout=WAIT_S) == b"goes on"
        reader.close()
    wait_until(lambda: server.statistics().connections == 0)
    wait_until(lambda: not callback_threads.callback_threads().threads)
