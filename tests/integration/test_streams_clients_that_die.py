"""Clients of streams that stop reading, or die at every stage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from socket import SHUT_WR
from typing import Any

import pytest

from pybrpc.errors import (
    RpcError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    RST,
)
from pybrpc.rpc.stream_options import StreamOptions
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_streams import Accepting, RawStreamClient, RemoteStream
from tests.peers.serving import make_server, start
from tests.peers.stream_lines import (
    OWN_ID,
    check_goes_on,
    lined,
    request_for,
    reset,
    suppressed,
)


def test_sender_waits_for_a_peer_that_does_not_read() -> None:
    with lined(StreamOptions(max_buf_size=0)) as line:
        _, stream = line.open()
        with pytest.raises(StreamTimeoutError) as caught:
            stream.send_many([bytes(100_000)] * 1000, timeout=0.2)
        sent = caught.value.sent
        assert 0 < sent < 500  # what the kernel has, and ROOM_BYTES more
        with pytest.raises(StreamTimeoutError):
            stream.drain(timeout=0.01)
        assert not stream.is_writable()
        with pytest.raises(StreamTimeoutError):
            stream.close(timeout=0.01)
        assert isinstance(stream.failure, StreamResetError)
        frames = []
        while (frame := line.client.read()).frame_type == DATA:
            frames.append(frame)
        assert len(frames) == sent
        kinds = [frame.frame_type]
        if frame.frame_type == CLOSE:
            kinds.append(line.client.read().frame_type)
        assert kinds[-1] == RST
        assert line.client.echo("alive")[0] == "alive"


def test_sender_without_window_waits_and_times_out() -> None:
    with lined(StreamOptions(max_buf_size=100, min_buf_size=0)) as line:
        remote, stream = line.open()
        stream.send(bytes(100))
        for call in (lambda: stream.send(b"x", 0.01), lambda: stream.drain(0.01)):
            with pytest.raises(StreamTimeoutError):
                call()
        with pytest.raises(StreamTimeoutError) as caught:
            stream.send_many([b"1", b"2"], 0.01)
        assert caught.value.sent == 0
        with pytest.raises(StreamTimeoutError):
            stream.wait_consumed(0.01)
        line.client.send(remote.feedback(100))
        stream.wait_consumed(WAIT_S)
        assert line.client.read_of(DATA).data == bytes(100)
        check_goes_on(remote, stream)
        stream.send(bytes(100))
        with pytest.raises(StreamTimeoutError):
            stream.send(b"y", 0.01)
        stream.reset()


WAITS: dict[str, Callable[[Any], Any]] = {
    "recv": lambda stream: stream.recv(WAIT_S),
    "batches": lambda stream: list(stream.batches(5, WAIT_S)),
    "iteration": lambda stream: list(stream),
    "send": lambda stream: stream.send(b"x", WAIT_S),
    "send_many": lambda stream: stream.send_many([b"x", b"y"], WAIT_S),
    "drain": lambda stream: stream.drain(WAIT_S),
    "wait_consumed": lambda stream: stream.wait_consumed(WAIT_S),
}
"""All of a stream whose window is used up."""


DEATHS: dict[str, Callable[[RemoteStream], None]] = {
    "FIN": lambda remote: remote.end.sock.close(),
    "half-close": lambda remote: remote.end.sock.shutdown(SHUT_WR),
    "reset": lambda remote: reset(remote.end.sock),
    "half a frame": lambda remote: (
        remote.end.send(remote.data(b"message")[:-1]),
        remote.end.sock.shutdown(SHUT_WR),
    )[1],
    "garbage": lambda remote: remote.end.send(b"garbage garbage"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_every_waiter_hears_that_its_peer_is_gone(death: str) -> None:
    with lined(StreamOptions(max_buf_size=4, min_buf_size=0)) as line:
        remote, stream = line.open()
        stream.send(b"full")
        outcomes: dict[str, Any] = {}

        def wait(name: str) -> None:
            try:
                outcomes[name] = WAITS[name](stream)
            except BaseException as error:
                outcomes[name] = error

        threads = [threading.Thread(target=wait, args=(name,)) for name in WAITS]
        closed = threading.Thread(target=lambda: outcomes.update(end=stream.wait_closed(WAIT_S)))
        for thread in (*threads, closed):
            thread.start()
        core = stream._core
        wait_until(
            lambda: (
                len(core._received_waits) == 3
                and len(core.outgoing) == 3
                and len(core.consumed_waits) == 1
                and len(core._ended_waits) == 1
            )
        )
        DEATHS[death](remote)
        for thread in (*threads, closed):
            thread.join(WAIT_S)
        assert set(outcomes) == {*WAITS, "end"}
        for name, outcome in outcomes.items():
            assert isinstance(outcome, RpcError), (name, outcome)
            assert not isinstance(outcome, StreamClosedError | StreamTimeoutError), (name, outcome)
        line.client.sock.close()
        line.wait_gone()


@pytest.mark.parametrize("death", DEATHS)
def test_close_ends_when_its_peer_is_gone(death: str) -> None:
    with lined(StreamOptions(max_buf_size=4, min_buf_size=0)) as line:
        remote, stream = line.open()
        stream.send(b"full")
        sender = threading.Thread(target=lambda: suppressed(lambda: stream.send(b"x")))
        sender.start()
        wait_until(lambda: len(stream._core.outgoing) == 1)
        closer = threading.Thread(target=lambda: suppressed(stream.close))
        closer.start()
        wait_until(lambda: stream._core.is_closing)
        DEATHS[death](remote)
        for thread in (sender, closer):
            thread.join(WAIT_S)
            assert not thread.is_alive()
        line.client.sock.close()
        line.wait_gone()


def test_client_that_dies_before_its_streams_are_accepted() -> None:
    entered, go_on = threading.Event(), threading.Event()
    accepting = Accepting()

    def handler(request: Any, controller: Any) -> Any:
        entered.set()
        assert go_on.wait(WAIT_S)
        return accepting(request, controller)

    with make_server(Stream=handler) as server, RawStreamClient(start(server)) as client:
        client.ask(OWN_ID)
        assert entered.wait(WAIT_S)
        client.sock.shutdown(SHUT_WR)
        run = server._run
        assert run is not None
        (connection,) = run.connections
        wait_until(connection.is_canceled)
        go_on.set()
        assert isinstance(accepting.errors.get(timeout=WAIT_S), RpcError)
        assert client.read_answer().error_code != 0
        assert client.read_until_closed() == []
        client.sock.close()
        wait_until(lambda: server.statistics().connections == 0)


def test_client_that_dies_between_acceptance_and_answer() -> None:
    accepted, go_on = threading.Event(), threading.Event()
    accepting = Accepting()

    def handler(request: Any, controller: Any) -> Any:
        response = accepting(request, controller)
        accepted.set()
        assert go_on.wait(WAIT_S)
        return response

    with make_server(Stream=handler) as server, RawStreamClient(start(server)) as client:
        client.ask(OWN_ID)
        assert accepted.wait(WAIT_S)
        client.sock.shutdown(SHUT_WR)
        stream = accepting.take()
        assert isinstance(stream.wait_closed(WAIT_S), RpcError)
        go_on.set()
        assert client.read_answer().error_code == 0
        kinds = [frame.frame_type for frame in client.read_until_closed()]
        assert kinds == [RST]
        client.sock.close()
        wait_until(lambda: server.statistics().connections == 0)


def test_half_of_a_request_for_a_stream() -> None:
    with lined() as line:
        asked = bytes(BAIDU_STD.pack_request(request_for(OWN_ID)))
        line.client.send(asked[:-1])
        line.client.sock.close()
        line.wait_gone()
