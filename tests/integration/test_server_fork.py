"""A forked child has no part in its parent's server."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable

import pytest

from pybrpc.server import Server
from pybrpc.transport.runtime import Runtime
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.serving import async_echo, echo, make_server, start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_child(check: Callable[[], None]) -> int:
    """Run `check` in a forked child; its exit code is 0 if it did not raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            check()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_not_running(server: Server) -> None:
    assert not server.is_running
    assert "not started" in repr(server)
    server.stop()
    assert server.join()


def test_copy_in_the_child_is_not_running_and_harms_nobody() -> None:
    with make_server(echo, async_echo) as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert in_child(lambda: check_not_running(server)) == 0
        assert text_of(peer.call()) == "hello"
        assert text_of(peer.call("Stream")) == "hello"
        with RawPeer(server.endpoint) as other:
            assert text_of(other.call()) == "hello"


def test_leaving_the_block_in_the_child_harms_nobody() -> None:
    def leave() -> None:
        server.__exit__(None, None, None)

    with make_server() as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert in_child(leave) == 0
        assert text_of(peer.call()) == "hello"


def test_child_that_lives_on_keeps_neither_port_nor_connections() -> None:
    server = make_server()
    endpoint = start(server)
    reader, writer = os.pipe()
    with RawPeer(endpoint) as peer:
        assert text_of(peer.call()) == "hello"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        server.stop()
        assert peer.read_to_end() == b""
        peer.close()
        assert server.join()
        with pytest.raises(ConnectionRefusedError):
            RawPeer(endpoint)
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def serve_again(server: Server) -> None:
    with RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert text_of(peer.call("Stream")) == "hello"
    server.stop()
    assert server.join()


@pytest.mark.parametrize("has_own_runtime", [False, True])
def test_child_can_start_its_copy_anew(has_own_runtime: bool) -> None:
    runtime = Runtime() if has_own_runtime else None
    with make_server(echo, async_echo, runtime=runtime) as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert in_child(lambda: serve_again(server)) == 0
        assert text_of(peer.call()) == "hello"
    if runtime is not None:
        runtime.close()


def test_child_of_a_parent_that_stopped_can_start() -> None:
    server = make_server(echo, async_echo)
    serve_again(server)
    assert in_child(lambda: serve_again(server)) == 0
