"""WriteRequest: how it begins, and how it is shown."""

from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.transport.writing.write_request import (
    BUSY,
    UNCONNECTED,
    Progress,
    WriteRequest,
    new_write_request,
)
from tests.fakes.sockets import UserMessage


def test_fast_constructor_makes_the_same_request() -> None:
    slow, fast = WriteRequest(IOBuf(b"data")), new_write_request(IOBuf(b"data"))
    for request in (slow, fast):
        assert (bytes(request.data), request.size_bytes, request.message) == (b"data", 4, None)
        assert request.next is UNCONNECTED
        assert (request.progress, request.phase) == (Progress.QUEUED, "queued")
        assert (request.on_outcome, request.shutdown_write, request.is_canceled) == (
            None,
            False,
            False,
        )


def test_request_and_markers_are_shown_in_words() -> None:
    request = WriteRequest(IOBuf(), UserMessage(b"four"))
    assert repr(request) == "<WriteRequest queued 0 bytes left>"
    request.setup()
    assert repr(request) == "<WriteRequest set_up 4 bytes left>"
    assert (repr(BUSY), repr(UNCONNECTED)) == ("BUSY", "UNCONNECTED")
