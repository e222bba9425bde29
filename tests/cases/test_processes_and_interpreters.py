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


def test_exit_function_registered_before_the_first_call_can_call() -> None:
    with ScriptedServer() as server:
        printed = run_script(FLUSH_AT_EXIT, server.address)
    assert printed == "worked hello\nflushed bye\n"


CALL_IN_A_DESTRUCTOR = """
import sys
import pybrpc
from tests.peers.echo import ECHO, echo_request
echo = pybrpc.Stub(ECHO, pybrpc.Channel(sys.argv[1], timeout=None, max_retry=0)).Echo

class LastWords:
    def __del__(self):
        for call in (echo, lambda request: echo.future(request).result()):
            try:
                print(call(echo_request("bye")).message)
            except Exception as error:
                print(type(error).__name__)

print("worked", echo(echo_request("hello")).message)
kept = LastWords()
"""


def test_call_without_a_timeout_in_a_destructor_at_exit_ends() -> None:
    """The dispatcher's thread does not run any more, so no answer can arrive."""
    with ScriptedServer() as server:
        printed = run_script(CALL_IN_A_DESTRUCTOR, server.address)
    assert printed.splitlines() == ["worked hello", "RpcTimeoutError", "WouldDeadlockError"]


FIRST_CALL_IN_A_DESTRUCTOR = """
import sys, weakref
import pybrpc
from tests.peers.echo import ECHO, echo_request

address = sys.argv[1]
stubs = [pybrpc.Stub(ECHO, pybrpc.Channel(each)) for each in (address, [address])]

class LastWords:
    def __del__(self, stubs=stubs, request=echo_request("bye"), print=print):
        for stub in stubs:
            for call in (stub.Echo, lambda request: stub.Echo.future(request).result()):
                try:
                    print(call(request).message)
                except Exception:
                    print("failed", flush=True)

kept = LastWords()
weakref.finalize(kept, int)  # its first use imports a module, which fails at the end
"""


def test_first_call_of_a_process_in_a_destructor_at_exit_fails_at_once() -> None:
    """It would start the dispatcher's thread, and wait for ever until that runs."""
    with ScriptedServer() as server:
        printed = run_script(FIRST_CALL_IN_A_DESTRUCTOR, server.address)
    assert printed.splitlines() == ["failed"] * 4


LEAVE_CALLS_IN_FLIGHT = """
import sys, threading, time
import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.serving import async_echo, echo, make_server, start

server = make_server(echo, async_echo)
addresses = [sys.argv[1], str(start(server))]
stubs = [pybrpc.Stub(ECHO, pybrpc.Channel(address, timeout=3)) for address in addresses]

def call_on(stub):
    def again(response, error):
        stub.Echo.with_callback(echo_request(), again)
    for _ in range(20):
        again(None, None)
    while True:
        stub.Echo(echo_request())

for stub in stubs:
    threading.Thread(target=call_on, args=[stub], daemon=True).start()
time.sleep(0.2)
"""


def test_process_that_exits_during_calls_ends_quietly() -> None:
    with ScriptedServer() as server:
        assert run_script(LEAVE_CALLS_IN_FLIGHT, server.address) == ""


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


def test_exception_that_another_thread_sets_ends_the_call_that_it_strikes() -> None:
    assert run_in_child(jobs_that_a_limit_ends, 15) == 15


def test_forked_child_keeps_no_port_of_a_server_with_its_own_runtime() -> None:
    runtime = Runtime()
    server = make_server(runtime=runtime)
    endpoint = start(server)
    reader, writer = os.pipe()
    forked_reader, forked_writer = os.pipe()
    with RawPeer(endpoint) as peer:
        assert text_of(peer.call()) == "hello"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.write(forked_writer, b"1")
        os.read(reader, 1)
        os._exit(0)
    server.stop(0)
    server.join()
    runtime.close()
    try:
        assert os.read(forked_reader, 1) == b"1"
        assert is_free(endpoint.port)
    finally:
        for fd in writer, reader, forked_reader, forked_writer:
            os.close(fd)
        os.waitpid(pid, 0)


def is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_server(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize("word", ["gevent", "subinterpreter"])
def test_docs_say_what_does_not_work_with(word: str) -> None:
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md"]
    assert any(re.search(word, page.read_text(), re.IGNORECASE) for page in pages)


WITHOUT_AN_EXTENSION_MODULE = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules["cereggii._cereggii"] = None  # as in an isolated subinterpreter
import pybrpc
for name in ("Channel", "Server"):
    try:
        getattr(pybrpc, name)
    except ImportError as error:
        print(error)
"""


def test_import_says_that_isolated_subinterpreters_are_not_supported() -> None:
    assert run_script(WITHOUT_AN_EXTENSION_MODULE).count("an isolated subinterpreter") == 2


PATCHED_LATE = """
import os, sys, threading, types
import pybrpc
from tests.peers.echo import ECHO, echo_request

def use(what):
    try:
        if what == "client":
            pybrpc.Stub(ECHO, pybrpc.Channel("127.0.0.1:1")).Echo(echo_request())
        else:
            pybrpc.Server().start("127.0.0.1:0")
    except pybrpc.errors.MonkeyPatchError as error:
        print(what, error)

monkey = sys.modules["gevent.monkey"] = types.ModuleType("gevent.monkey")
monkey.is_module_patched = lambda name: name == "select"
use("client")
use("server")
monkey.is_module_patched = lambda name: True
threading.get_ident = lambda: 1
use("client")
sys.stdout.flush()
os._exit(0)  # Python could not end its threads any more
"""


def test_threads_that_are_replaced_late_are_a_clear_error() -> None:
    """Not by gevent itself, which is no dependency of the tests."""
    client, server, late = run_script(PATCHED_LATE).splitlines()
    assert "client gevent has replaced select, but not threads" in client
    assert "server gevent has replaced select, but not threads" in server
    assert "after pybrpc was imported" in late
