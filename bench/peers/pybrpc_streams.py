"""Streams of pybrpc, from threads. Messages are echoed as they are sent: singly or in lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from bench.figures import Figures
from bench.peers.peer import OnReady, WaitForEnd
from bench.peers.pybrpc_sync import statistics_of
from bench.streams.stream_peer import ECHO, SOURCE, TOGETHER, WINDOW_BYTES, SyncStream
from bench.work import TIMEOUT_S
from pybrpc.streams import Stream

LISTS = "lists"
"""ECHO, with lists."""
SMALL_WINDOW = pybrpc.StreamOptions(max_buf_size=WINDOW_BYTES)


def options_for(service: str) -> pybrpc.StreamOptions | None:
    return None if service == SOURCE else SMALL_WINDOW


class StreamService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        payload = request.payload

        def send_on(stream: Stream) -> None:
            while True:
                stream.send(payload)

        bodies = {ECHO: echo, LISTS: echo_lists}
        body = bodies.get(request.message, send_on)
        controller.accept_stream(options_for(request.message), body=body)
        return EchoResponse()


def echo(stream: Stream) -> None:
    for message in stream:
        stream.send(message)


def echo_lists(stream: Stream) -> None:
    for batch in stream.batches(TOGETHER):
        stream.send_many(batch)


class PybrpcStreamClient:
    def __init__(self, channel: pybrpc.Channel, together: int) -> None:
        self._channel = channel
        self._stub: Any = pybrpc.Stub(SERVICE, channel)
        self._together = together

    @contextlib.contextmanager
    def open(self, service: str, payload: bytes) -> Iterator[SyncStream]:
        message = LISTS if self._together and service == ECHO else service
        request = EchoRequest(message=message, payload=payload)
        with self._stub.Echo.stream(request, options=options_for(service)) as call:
            stream: Stream = call.stream
            recv, reset = stream.recv, stream.reset
            if self._together:
                batches = stream.batches(TOGETHER)
                yield SyncStream(stream.send_many, batches, recv, reset, self._together)
            else:
                yield SyncStream(stream.send, stream, recv, reset)

    def statistics(self) -> Figures:
        return statistics_of(self._channel)


class PybrpcStreams:
    def __init__(self, together: int = 0) -> None:
        self._together = together

    def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        server = pybrpc.Server()
        server.add_service(SERVICE, StreamService())
        on_ready(server.start("127.0.0.1:0").port)
        wait_for_end()
        server.stop(grace=1.0)
        server.join()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcStreamClient]:
        with pybrpc.Channel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:
            yield PybrpcStreamClient(channel, self._together)


PEER = PybrpcStreams()
LISTS_PEER = PybrpcStreams(TOGETHER)
