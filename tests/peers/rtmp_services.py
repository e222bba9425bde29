"""Services of RTMP for tests: each in a form for threads and in one for asyncio."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.protocols.rtmp.command import parse_command
from pybrpc.protocols.rtmp.message import AUDIO, COMMAND, DATA, VIDEO, RtmpMessage
from pybrpc.rtmp import Frame, RtmpService
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S


class Recording(RtmpService):
    """Keeps the frames of publishers, and sends `frames` to players."""

    def __init__(self, frames: Sequence[Frame] = ()) -> None:
        self.frames = list(frames)
        self.got: list[Frame] = []
        self.streams: list[Any] = []
        self.failures: list[RpcError | None] = []
        self.has_ended = threading.Semaphore(0)
        """Released by each function that ends."""

    def wait_end(self) -> None:
        assert self.has_ended.acquire(timeout=WAIT_S)

    @contextlib.contextmanager
    def noting(self, stream: Any) -> Iterator[None]:
        self.streams.append(stream)
        try:
            yield
        finally:
            self.failures.append(stream.failure)
            self.has_ended.release()


class PlainRecording(Recording):
    def on_publish(self, stream: Any) -> None:
        with self.noting(stream):
            for frame in stream:
                self.got.append(frame)

    def on_play(self, stream: Any) -> None:
        with self.noting(stream):
            for frame in self.frames:
                stream.send(frame)


class AsyncRecording(Recording):
    async def on_publish(self, stream: Any) -> None:
        with self.noting(stream):
            async for frame in stream:
                self.got.append(frame)

    async def on_play(self, stream: Any) -> None:
        with self.noting(stream):
            for frame in self.frames:
                await stream.send(frame)


@contextlib.contextmanager
def serving(service: RtmpService, **options: Any) -> Iterator[Endpoint]:
    """A server with `service` on a free port."""
    server = Server(rtmp_service=service, **options)
    endpoint = server.start("127.0.0.1:0")
    try:
        yield endpoint
    finally:
        server.stop(0)
        server.join()


FRAMES = [
    Frame.of_metadata({"width": 640.0}),
    *(Frame.video(b"\x27\1\0\0\0" + bytes([n]) * 3000 * n, 40 * n) for n in range(1, 30)),
    Frame.audio(b"\xaf\1sound", 0xFFFFFF + 5),
    Frame.video(b"", 0xFFFFFF + 6),
]
FORMS = pytest.mark.parametrize("form", [PlainRecording, AsyncRecording])


def played(messages: list[RtmpMessage]) -> list[Frame]:
    frames = [
        Frame.of_message(each) for each in messages if each.message_type in (AUDIO, VIDEO, DATA)
    ]
    return [frame for frame in frames if frame.kind != "data" or frame.metadata]


def codes_in(messages: list[RtmpMessage]) -> list[str]:
    commands = [parse_command(each) for each in messages if each.message_type == COMMAND]
    return [command.argument(0)["code"] for command in commands if command.name == "onStatus"]
