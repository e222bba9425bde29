"""PageChannel: streams to a worker that takes them, has too many, or has ended."""

from __future__ import annotations

import os
import socket

import pytest

from pybrpc.server.workers.pages.channel import PageChannel


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

    def ask_for_ever() -> None:
        while True:
            channel.open_stream().close()

    with pytest.raises(OSError, match=r"."):
        ask_for_ever()
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
