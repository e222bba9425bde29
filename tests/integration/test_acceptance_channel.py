"""bRPC's own tests of a channel to one server (test/brpc_channel_unittest.cpp), in our terms.

Each test here names the one it stands for. Where others were there before:

    init_as_single_server               test_calls_channels
    parse_hostname                      unit/base/test_endpoint
    success: groups, short connections  test_connection_types
    clear_attachment_after_retry        test_faults_answers
    destroy_channel                     test_calls_channels
    connection_failed, close_fd         test_faults_answers, and here for every connection type
    request_not_init                    test_calls_forms
    timeout                             test_calls_forms, test_calls_timeout, and here
    cancel_during_callmethod            test_calls_cancel, and here for every connection type
    cancel_after_callmethod             test_calls_cancel
    authentication                      test_credentials, and here for every connection type
    retry                               test_calls_forms, test_faults_answers, and here
    retry_backoff                       test_retry_policies
    backup_request, ..._policy          test_backup_requests, and here for every connection type
    backuprequest_selective_response_race   test_backup_requests
    RateLimitedBackupPolicyTest         unit/client/calls/test_backup_policy
    init_using_*                        test_clusters, test_clusters_waits: only a wrong URL is
                                        refused; without servers calls fail or wait
    retry_other_servers                 test_clusters_faults
    combined channels                   test_acceptance_combos
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    InternalServerError,
    RpcTimeoutError,
)
from pybrpc.rpc.authenticator import AuthContext
from tests.peers.callers import AIO_FORMS, FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, closed_port, never_answer
from tests.protos import conformance_pb2 as pb

TYPES = ("single", "pooled", "short", "auto")
every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)


class Counter:
    """An Authenticator that counts."""

    def __init__(self) -> None:
        self.made = 0

    def generate_credential(self) -> bytes:
        self.made += 1
        return b"secret"

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> AuthContext | None:
        if credential != b"secret":
            raise PermissionError
        return None


class Service:
    """Echoes; may fail, or hold every first request with the same message back."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.release = threading.Event()

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.fail_code:
            controller.set_failed(request.fail_code, request.fail_text)
        elif request.message.startswith("slow") and request.message not in self.seen:
            self.seen.add(request.message)
            self.release.wait(30)
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@contextmanager
def serving(**options: Any) -> Iterator[tuple[str, Service]]:
    server, service = pybrpc.Server(**options), Service()
    server.add_service(ECHO, service)
    with server:
        try:
            yield str(server.start("127.0.0.1:0")), service
        finally:
            service.release.set()


@every_form
@every_type
def test_success(form: str, connection_type: str) -> None:
    """bRPC: success."""
    with serving() as (address, _):
        with caller(form, address, connection_type=connection_type) as client:
            for i in range(5):
                assert client.call(echo_request(str(i))).message == str(i)


@every_form
@every_type
def test_server_fail(form: str, connection_type: str) -> None:
    """bRPC: server_fail."""
    with serving() as (address, _):
        with caller(form, address, connection_type=connection_type) as client:
            with pytest.raises(InternalServerError, match="oops") as caught:
                client.call(echo_request(fail_code=ErrorCode.EINTERNAL, fail_text="oops"))
            assert caught.value.is_remote
            assert client.call(echo_request("next")).message == "next"


@every_form
@every_type
def test_connection_failed(form: str, connection_type: str) -> None:
    """bRPC: connection_failed."""
    with closed_port() as address:
        with caller(form, address, connection_type=connection_type) as client:
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request())
    assert caught.value.code == ErrorCode.ECONNREFUSED


@every_form
@every_type
def test_close_fd(form: str, connection_type: str) -> None:
    """bRPC: close_fd."""

    def hang_up(peer: Peer) -> None:
        peer.read_request()

    with ScriptedServer(hang_up) as server:
        with caller(form, server.address, connection_type=connection_type, max_retry=0) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                client.call(echo_request())
    assert caught.value.code == ErrorCode.EEOF


@every_form
@every_type
def test_timeout(form: str, connection_type: str) -> None:
    """bRPC: timeout."""
    controller = pybrpc.Controller()
    with ScriptedServer(never_answer) as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            with pytest.raises(RpcTimeoutError):
                client.call(echo_request(), timeout=0.017, controller=controller)
    assert controller.latency_us >= 17_000


@every_form
@every_type
def test_retry_broken_connection(form: str, connection_type: str) -> None:
    """bRPC: retry."""

    def hang_up(peer: Peer) -> None:
        peer.read_request()

    def echo(peer: Peer) -> None:
        peer.echo_until_closed()

    controller = pybrpc.Controller()
    with ScriptedServer(hang_up, echo) as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            assert client.call(echo_request("a"), controller=controller).message == "a"
    assert controller.retried_count == 1


@every_form
@every_type
def test_authentication(form: str, connection_type: str) -> None:
    """bRPC: authentication: one credential for a long connection, one each for short ones."""
    auth = Counter()
    with serving(auth=auth) as (address, _):
        with caller(form, address, connection_type=connection_type, auth=auth) as client:
            for i in range(10):
                assert client.call(echo_request(str(i))).message == str(i)
    assert auth.made == (10 if connection_type == "short" else 1)


@every_form
@every_type
def test_backup_request(form: str, connection_type: str) -> None:
    """bRPC: backup_request."""
    policy = pybrpc.BackupRequestPolicy(0.01, max_ratio=1)
    controller = pybrpc.Controller()
    with serving() as (address, service):
        with caller(
            form, address, connection_type=connection_type, backup_request_policy=policy
        ) as client:
            for i in range(3):
                message = f"slow {i}"
                assert client.call(echo_request(message), controller=controller).message == message
                assert controller.has_backup_request
                assert controller.retried_count == 1
            service.release.set()


@every_form
@every_type
def test_cancel_during_callmethod(form: str, connection_type: str) -> None:
    """bRPC: cancel_during_callmethod."""
    controller = pybrpc.Controller()
    with ScriptedServer(never_answer) as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            if form in AIO_FORMS:
                with pytest.raises(TimeoutError):
                    client.run(asyncio.wait_for(aio_call(client, controller), 0.05))
            else:
                future = client.stub.Echo.future(echo_request(), controller=controller)
                time.sleep(0.05)
                assert future.cancel()
    assert controller.error_code == ErrorCode.ECANCELED


async def aio_call(client: Any, controller: pybrpc.Controller) -> Any:
    return await client.stub.Echo(echo_request(), controller=controller)


@pytest.mark.parametrize("form", AIO_FORMS)
def test_cancel_before_callmethod(form: str) -> None:
    """bRPC: cancel_before_callmethod. A task that is cancelled before it runs calls nobody."""
    controller = pybrpc.Controller()

    async def cancel_before_it_runs(client: Any) -> None:
        task = asyncio.create_task(aio_call(client, controller))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ScriptedServer() as server:
        with caller(form, server.address) as client:
            client.run(cancel_before_it_runs(client))
            assert client.call(echo_request("next")).message == "next"
    assert len(server.requests) == 1


@pytest.mark.parametrize("form", ["future", "asyncio", "uvloop"])
@pytest.mark.parametrize("auth", [None, Counter()], ids=["no auth", "auth"])
@pytest.mark.slow
def test_multiple_threads_single_channel(form: str, auth: Any) -> None:
    """bRPC: multiple_threads_single_channel."""
    with serving(auth=auth) as (address, _):
        if form == "future":
            with pybrpc.Channel(address, timeout=60, auth=auth) as channel:
                in_threads(10, lambda: many_calls(pybrpc.Stub(ECHO, channel)))
        else:
            in_threads(10, lambda: many_tasks(form, address, auth))


@pytest.mark.slow
def test_multiple_threads_multiple_channels() -> None:
    """bRPC: multiple_threads_multiple_channels. They share one connection."""

    def call() -> None:
        # On a busy machine the thread that connects may have its turn late.
        with pybrpc.Channel(address, timeout=60, connect_timeout=60, auth=auth) as channel:
            barrier.wait()
            try:
                many_calls(pybrpc.Stub(ECHO, channel))
            except BaseException:
                barrier.abort()
                raise
            barrier.wait()

    auth = Counter()
    barrier = threading.Barrier(10)
    with serving(auth=auth) as (address, _):
        in_threads(10, call)
    assert auth.made == 1


def many_calls(stub: Any, count: int = 500) -> None:
    futures = [stub.Echo.future(echo_request(str(i))) for i in range(count)]
    assert [future.result().message for future in futures] == [str(i) for i in range(count)]


def many_tasks(form: str, address: str, auth: Any, count: int = 200) -> None:
    with caller(form, address, timeout=60, auth=auth) as client:
        responses = client.call_many([echo_request(str(i)) for i in range(count)])
        assert [response.message for response in responses] == [str(i) for i in range(count)]


def in_threads(count: int, work: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


GLOBAL_CHANNEL = """
import sys
import pybrpc
from tests.peers.echo import ECHO, echo_request

channel = pybrpc.Channel(sys.argv[1], timeout=60)
stub = pybrpc.Stub(ECHO, channel)
print(stub.Echo(echo_request("hello")).message)
unanswered = stub.Echo.future(echo_request("slow"))
"""


def test_global_channel_should_quit_successfully() -> None:
    """bRPC: global_channel_should_quit_successfully. With a call in flight, too."""
    with serving() as (address, service):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", GLOBAL_CHANNEL, address],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        )
        service.release.set()
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
