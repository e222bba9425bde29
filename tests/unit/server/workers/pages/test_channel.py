"""PageChannel: streams to a worker that takes them, has too many, or has ended."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import PageAnswer

LAST = PageAnswer(200, body=b"x" * 300_000)


def test_worker_gets_the_other_end_of_each_stream() -> None:
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as worker:
        channel.release_theirs()
        with channel.open_stream() as first, channel.open_stream() as second:
            for stream in (first, second):
                data, (fd,), _, _ = socket.recv_fds(worker, 1, 4)
                assert data == b"p"
                with socket.socket(fileno=fd) as theirs:
                    theirs.sendall(b"answer")
                    assert stream.recv(10) == b"answer"
        channel.close()
        assert worker.recv(1) == b""


def test_worker_that_takes_none_is_not_waited_for() -> None:
    channel = PageChannel()
    waiting = 0
    with contextlib.suppress(BlockingIOError):
        while waiting < 200:
            channel.open_stream().close()
            waiting += 1
    # Few wait, since their descriptors count against a limit of the user; and not too few.
    assert 16 < waiting < 100
    channel.close()


def test_worker_that_has_ended_can_not_be_asked() -> None:
    channel = PageChannel()
    channel.release_theirs()
    with pytest.raises(OSError, match=r"."):
        channel.open_stream()
    channel.close()
    channel.close()
    with pytest.raises(OSError, match="has ended"):
        channel.open_stream()
    assert repr(channel) == "<PageChannel, closed>"


def test_stream_ends_with_the_worker_that_has_not_taken_it() -> None:
    channel = PageChannel()
    with channel.open_stream() as stream:
        channel.release_theirs()
        stream.setblocking(True)
        stream.settimeout(30)
        assert stream.recv(1) == b""
    channel.close()


# --- the last message of the worker ---


def test_last_message_is_put_together_from_its_parts() -> None:
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as worker:
        channel.release_theirs()
        assert channel.read_last()
        left = memoryview(LAST.to_bytes())
        while left:
            assert channel.last_answer is None
            worker.send(left[:40_000])
            left = left[40_000:]
            assert channel.read_last() == bool(left)
        worker.sendall(b"more of it")
        assert not channel.read_last()
    assert channel.last_answer == LAST
    channel.close()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff" * 8, "TooLongError"),
        (b"\0\0\0\2\0\0\0\0{}", "KeyError"),
        (b"\0\0\0\2\0\0\0\0[]", "TypeError"),
        (b"\0\0\0\1\0\0\0\0x", "JSONDecodeError"),
    ],
)
def test_last_message_that_is_none_is_an_error(data: bytes, kind: str) -> None:
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as worker:
        worker.sendall(data)
        assert not channel.read_last()
    assert channel.last_answer == PageAnswer(500, body=f"no message ({kind})".encode())
    channel.close()


def test_worker_that_dies_in_its_last_message_has_sent_none() -> None:
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as worker:
        worker.sendall(LAST.to_bytes()[:1000])
    channel.release_theirs()
    assert not channel.read_last()
    assert channel.last_answer is None
    channel.close()
