"""Imports of a client: a program of threads needs no asyncio, and a call imports nothing.

Imports in calls would be slow, could wait for another thread's import, and fail when the
interpreter ends. So all that a call needs comes with its channel and its stub.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]

PREPARE = """
import sys, threading
import pybrpc
from tests.protos.conformance_pb2 import DESCRIPTOR, EchoRequest

SERVICE = DESCRIPTOR.services_by_name["EchoService"]
REQUEST = EchoRequest(message="hello")

def report(response, made):
    print(response.message)
    print([name for name in ("asyncio", "ssl", "pybrpc.server.server") if name in sys.modules])
    print(sorted(set(sys.modules) - made))
"""
THREADS = """
with pybrpc.Channel(sys.argv[1], timeout=10) as channel:
    stub = pybrpc.Stub(SERVICE, channel)
    made = set(sys.modules)
    if sys.argv[2] == "thread":
        responses = []
        thread = threading.Thread(target=lambda: responses.append(stub.Echo(REQUEST)))
        thread.start()
        thread.join()
        response = responses[0]
    elif sys.argv[2] == "future":
        response = stub.Echo.future(REQUEST).result()
    elif sys.argv[2] == "callback":
        responses = []
        done = threading.Event()
        stub.Echo.with_callback(REQUEST, lambda *given: (responses.append(given[0]), done.set()))
        done.wait()
        response = responses[0]
    report(response, made)
"""
TASKS = """
import asyncio

async def main():
    async with pybrpc.aio.Channel(sys.argv[1], timeout=10) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        made = set(sys.modules)
        report(await stub.Echo(REQUEST), made)

asyncio.run(main())
"""


class EchoService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return pb.EchoResponse(message=request.message)


@pytest.fixture
def address() -> Iterator[str]:
    with pybrpc.Server() as server:
        server.add_service(ECHO, EchoService(), partial=True)
        yield str(server.start("127.0.0.1:0"))


def run(script: str, *arguments: str) -> list[str]:
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path), "PYBRPC_IMPL": pybrpc.__impl__}
    command = [sys.executable, "-c", PREPARE + script, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("form", ["thread", "future", "callback"])
def test_client_of_threads_loads_neither_asyncio_nor_tls_nor_the_server(
    address: str, form: str
) -> None:
    assert run(THREADS, address, form) == ["hello", "[]", "[]"]


ONE_CALL = """
def passed_by_both(call, proceed):
    return (yield proceed())

OPTIONS = {
    "http": {"protocol": "http"},
    "hulu": {"protocol": "hulu_pbrpc"},
    "pooled": {"connection_type": "pooled"},
    "auto": {"connection_type": "auto"},
    "short": {"connection_type": "short"},
    "interceptor": {"interceptors": [passed_by_both]},
    "backup": {"backup_request_ms": 9000},
    "name": {},
    "cluster": {},
    "hashing": {"load_balancer": "c_murmurhash"},
    "recovering": {"cluster_recover": pybrpc.ClusterRecover(1, 1)},
}
ADDRESS, KIND = sys.argv[1:]
if KIND == "name":
    ADDRESS = ADDRESS.replace("127.0.0.1", "localhost")
WHERE = [ADDRESS] if KIND in ("cluster", "hashing", "recovering") else ADDRESS

def controller_of(kind):
    controller = pybrpc.Controller()
    if kind == "hashing":
        controller.hash_key = "a text that is hashed"
    return controller
"""
OPTIONS_OF_THREADS = """
with pybrpc.Channel(WHERE, timeout=10, **OPTIONS[KIND]) as channel:
    stub = pybrpc.Stub(SERVICE, channel)
    controller = controller_of(KIND)
    made = set(sys.modules)
    response = stub.Echo(REQUEST, controller=controller)
    assert channel.servers()[0].state == "up"
    report(response, made)
"""
OPTIONS_OF_TASKS = """
import asyncio

async def main():
    async with pybrpc.aio.Channel(WHERE, timeout=10, **OPTIONS[KIND]) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        controller = controller_of(KIND)
        made = set(sys.modules)
        report(await stub.Echo(REQUEST, controller=controller), made)

asyncio.run(main())
"""
KINDS = (
    *("http", "hulu", "pooled", "short", "interceptor", "backup"),
    *("name", "cluster", "hashing", "recovering"),
)


@pytest.mark.parametrize("kind", [*KINDS, "auto"])
def test_call_imports_nothing_whatever_its_channel_was_told(address: str, kind: str) -> None:
    """The constructor has imported the modules that an option needs."""
    response, _, imported = run(ONE_CALL + OPTIONS_OF_THREADS, address, kind)
    assert (response, imported) == ("hello", "[]")


@pytest.mark.parametrize("kind", KINDS)
def test_call_of_a_task_imports_nothing_whatever_its_channel_was_told(
    address: str, kind: str
) -> None:
    response, _, imported = run(ONE_CALL + OPTIONS_OF_TASKS, address, kind)
    assert (response, imported) == ("hello", "[]")


PLAIN_HTTP = """
with pybrpc.Channel(sys.argv[1], timeout=10, protocol="http") as channel:
    made = set(sys.modules)
    response = channel.http("GET", "/health")
    assert response.status == 200, response
    with channel.http("GET", "/health", stream=True) as response:
        b"".join(response.body)
    print(sorted(set(sys.modules) - made))
"""


def test_plain_request_of_http_imports_nothing(address: str) -> None:
    assert run(PLAIN_HTTP, address) == ["[]"]


TRACED = """
import pybrpc.tracing
pybrpc.tracing.rpcz.enabled = True
with pybrpc.Channel(sys.argv[1], timeout=10) as channel:
    stub = pybrpc.Stub(SERVICE, channel)
    made = set(sys.modules)
    report(stub.Echo(REQUEST), made)
    assert len(pybrpc.tracing.rpcz.store) == 1
"""


def test_call_that_is_traced_imports_nothing(address: str) -> None:
    response, _, imported = run(TRACED, address)
    assert (response, imported) == ("hello", "[]")


def test_call_of_a_task_imports_nothing(address: str) -> None:
    response, _, imported = run(TASKS, address)
    assert (response, imported) == ("hello", "[]")


FORK_DURING_THE_FIRST_USE = """
import logging, os, signal, sys, threading, time
import pybrpc

def use():
    pybrpc.Channel("127.0.0.1:1", protocol="http")

thread = threading.Thread(target=use)
thread.start()
time.sleep(float(sys.argv[1]))
child = os.fork()
if not child:
    signal.alarm(20)  # a child that hangs ends by SIGALRM
    use()
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
"""


@pytest.mark.parametrize("after_s", ["0", "0.01", "0.04"])
def test_child_that_is_forked_during_an_import_can_import(after_s: str) -> None:
    assert run(FORK_DURING_THE_FIRST_USE, after_s) == ["0"]
