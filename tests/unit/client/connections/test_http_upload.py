"""Upload: one part after the other, each once the kernel has taken the one before."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.connections.http_request import HttpRequest
from pybrpc.client.connections.http_upload import Upload
from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.protocols.http1.headers import HttpHeaders

GONE = make_rpc_error(ErrorCode.EEOF, "gone")


class FakeSocket:
    """Writes what it is given, when the test says so."""

    def __init__(self) -> None:
        self.error: Any = None
        self.waiting: list[Any] = []
        self.written = b""

    def write_request(self, request: Any) -> None:
        if self.error is not None:
            raise self.error
        self.waiting.append(request)

    def write(self) -> None:
        for request in self.waiting:
            request.setup()
            self.written += bytes(request.data)
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            request.on_outcome(None)


class FakeWait:
    is_over = False

    def end(self) -> None:
        self.is_over = True


def upload_to(socket: Any) -> Upload:
    upload = Upload()
    HttpRequest("POST", "/", HttpHeaders(), upload=upload).pack("h")
    upload.attach(socket)
    return upload


def test_parts_wait_for_one_another() -> None:
    socket = FakeSocket()
    upload = upload_to(socket)
    assert upload.is_ready()
    upload.send(b"ab")
    wait = FakeWait()
    assert upload.begin_wait(wait)
    socket.write()
    assert wait.is_over
    upload.send(b"")
    assert upload.is_ready(), "an empty part would end the body"
    upload.finish()
    assert not upload.is_finished
    socket.write()
    assert upload.is_finished
    assert socket.written == b"2\r\nab\r\n0\r\n\r\n"
    assert repr(upload) == "<Upload finished>"


def test_nothing_is_ready_before_the_head_is_written() -> None:
    upload = Upload()
    wait, forgotten = FakeWait(), FakeWait()
    assert upload.begin_wait(wait)
    assert upload.begin_wait(forgotten)
    upload.forget_wait(forgotten)
    socket: Any = FakeSocket()
    upload.attach(socket)
    assert wait.is_over
    assert not forgotten.is_over
    assert not upload.begin_wait(FakeWait())


@pytest.mark.parametrize("is_packed", [True, False])
def test_closed_upload_sends_nothing(is_packed: bool) -> None:
    socket = FakeSocket()
    upload = upload_to(socket) if is_packed else Upload()
    upload.close()
    assert upload.is_ready()
    upload.send(b"a")
    upload.finish()
    assert socket.waiting == []
    assert not upload.is_finished
    assert repr(upload) == "<Upload closed>"


def test_write_that_fails_closes_it() -> None:
    socket = FakeSocket()
    upload = upload_to(socket)
    upload.send(b"a")
    socket.waiting[0].on_outcome(GONE)
    assert upload.is_closed
    socket.error = GONE
    upload = upload_to(socket)
    upload.send(b"a")
    assert upload.is_closed
    assert upload.is_ready()


def test_part_that_is_no_bytes_is_refused() -> None:
    part: Any = "text"
    with pytest.raises(TypeError):
        upload_to(FakeSocket()).send(part)
