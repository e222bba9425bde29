"""Exit functions, exceptions from other threads, forks, and other ways to run Python."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import socket
import threading
import time
import warnings
from typing import Any

import pytest

import pybrpc
from pybrpc.lowlevel import Runtime
from tests.cases.child import ROOT, run_in_child, run_script
from tests.cases.peers import echo_stub
from tests.peers.echo import echo_request
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import make_server, start

FLUSH_AT_EXIT = """
import atexit, sys

def flush():
    print("flushed", echo(echo_request("bye")).message)

atexit.register(flush)  # as a library for logging or metrics does when it is imported
import pybrpc
from tests.peers.echo import ECHO, echo_request
echo = pybrpc.Stub(ECHO, pybrpc.Channel(sys.argv[1], timeout=3)).Echo
print("worked", echo(echo_request("hello")).message)
"""


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="the runtime is closed before it runs"
)
def test_exit_function_registered_before_the_first_call_can_call() -> None:
    with ScriptedServer() as server:
        printed = run_script(FLUSH_AT_EXIT, server.address)
    assert printed == "worked hello\nflushed bye\n"


def echo_after_2_ms(peer: Peer) -> None:
    while (request := peer.read_request()) is not None:
        time.sleep(0.002)
        peer.answer(request)


class Limit(Exception):
    """As the time limit of a job queue, which another thread sets."""


def jobs_that_a_limit_ends(count: int) -> int:
    """How many of so many loops of calls end when an exception is set in their thread.

    Such a loop that makes twenty calls more goes on as if nothing had been set.
    """
    ended = 0
    strike, is_struck = threading.Event(), threading.Event()

    def run_job(stub: Any) -> None:
        is_struck.clear()
        strike.set()
        later = 0
        while later < 20:
            stub.Echo(echo_request())
            later += is_struck.is_set()

    def run_jobs(stub: Any) -> None:
        nonlocal ended
        for _ in range(count):
            try:
                run_job(stub)
            except Limit:
                ended += 1

    with ScriptedServer(echo_after_2_ms) as server:
        thread = threading.Thread(target=run_jobs, args=[echo_stub(server.address)])
        thread.start()
        while thread.is_alive():
            if strike.wait(0.1):
                strike.clear()
                time.sleep(0.03)
                ident, limit = ctypes.c_ulong(thread.ident), ctypes.py_object(Limit)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, limit)
                is_struck.set()
    return ended


@pytest.mark.xfail(
    pybrpc.__impl__ == "compiled",
    strict=True,
    raises=AssertionError,
    reason="compiled code that can't raise logs the exception and goes on",
)
def test_exception_that_another_thread_sets_ends_the_call_that_it_strikes() -> None:
    assert run_in_child(jobs_that_a_limit_ends, 15) == 15


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="the child keeps the port")
def test_forked_child_keeps_no_port_of_a_server_with_its_own_runtime() -> None:
    runtime = Runtime()
    server = make_server(runtime=runtime)
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
    server.stop(0)
    server.join()
    runtime.close()
    try:
        assert is_free(endpoint.port)
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_server(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="no page mentions it")
@pytest.mark.parametrize("word", ["gevent", "subinterpreter"])
def test_docs_say_what_does_not_work_with(word: str) -> None:
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md"]
    assert any(re.search(word, page.read_text(), re.IGNORECASE) for page in pages)
