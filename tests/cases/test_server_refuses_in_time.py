"""Credentials, deadlines and failing starts: what is to be refused is, at once and in order."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import struct
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.protocols.baidu_std.schema import RpcMeta
from tests.cases.child import run_in_child
from tests.cases.peers import (
    LATE_S,
    PATIENT_S,
    FullEcho,
    echo_channel,
    outcomes_of,
    wait_for,
)
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, packed, request
from tests.peers.serving import Gate, async_echo, make_server, start
from tests.protos import conformance_pb2 as pb

ERPCAUTH, EREQUEST = 1004, 1003


class OddVerifier:
    """Lets "good" in; raises what the credential names, else PermissionError."""

    def __init__(self) -> None:
        self.verified: list[bytes] = []

    def generate_credential(self) -> bytes:
        return b"good"

    def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
        self.verified.append(credential)
        if credential == b"good":
            return pybrpc.AuthContext(user="somebody")
        kinds = {b"SystemExit": SystemExit, b"CancelledError": asyncio.CancelledError}
        raise kinds.get(credential, PermissionError)


def answers_and_end(data: bytes) -> list[Any]:
    """The answers of a server with OddVerifier to these frames, and how the connection ends.

    Also the credentials that its verifier has seen.
    """
    verifier = OddVerifier()
    found: list[Any] = []
    with RawPeer(start(make_server(auth=verifier))) as peer:
        peer.sock.settimeout(LATE_S / 2)
        peer.sock.sendall(data)
        try:
            while len(found) < 5:
                answer = peer.read_answer()
                found.append([answer.correlation_id, answer.error_code])
        except TimeoutError:
            found.append("open")
        except ConnectionError:
            found.append("closed")
    return [*found, [credential.decode() for credential in verifier.verified]]


def answers_when_the_verifier_raises() -> dict[str, list[Any]]:
    """A first request whose credential makes it raise, and a second one with a good credential."""
    found = {}
    for kind in ("SystemExit", "CancelledError", "PermissionError"):
        odd, good = request(1, credential=kind.encode()), request(2, credential=b"good")
        found[kind] = answers_and_end(packed(odd, good))
    return found


def test_connection_is_closed_when_the_verifier_raises_no_exception_class() -> None:
    found = run_in_child(answers_when_the_verifier_raises)
    assert found == {kind: [[1, ERPCAUTH], "closed", [kind]] for kind in found}


def answers_to_bad_first_messages() -> list[Any]:
    """Their attachments are said to be longer than the message; the second has no credential."""
    return [
        answers_and_end(bad_frame(request(1, credential=credential)) + packed(request(2)))
        for credential in (b"good", b"bad")
    ]


def bad_frame(good: Any) -> bytes:
    meta = RpcMeta()
    meta.request.service_name, meta.request.method_name = b"conformance.EchoService", b"Echo"
    meta.correlation_id = good.correlation_id
    meta.attachment_size = 1_000_000
    meta.authentication_data = good.credential
    data = meta.SerializeToString()
    body = bytes(good.body)
    return b"PRPC" + struct.pack("!II", len(data) + len(body), len(data)) + data + body


def test_credential_of_a_bad_first_message_is_verified_first() -> None:
    assert run_in_child(answers_to_bad_first_messages) == [
        [[1, EREQUEST], [2, 0], "open", ["good"]],
        [[1, ERPCAUTH], "closed", ["bad"]],
    ]


def test_requests_whose_deadline_has_passed_do_not_run() -> None:
    gate, ran = Gate(), []

    def handle(request: Any, controller: pybrpc.Controller) -> Any:
        ran.append(request.message)
        return (
            gate(request, controller) if request.message == "first" else pb.EchoResponse(message="")
        )

    with make_server(handle, max_workers=1) as server:
        with echo_channel(start(server), timeout=0.3, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            first = stub.Echo.future(echo_request("first"), timeout=PATIENT_S)
            gate.wait_entered()
            late = [stub.Echo.future(echo_request("late")) for _ in range(10)]
            wait_for(lambda: all(future.done() for future in late))
            wait_for(lambda: server.statistics().requests == 11)
            time.sleep(0.3)  # the server counts from the time at which it has read them
            gate.open()
            first.result(PATIENT_S)
            wait_for(lambda: server.statistics().running == 0)
            expired = server.statistics().expired
    assert (ran, expired) == (["first"], 10)


def is_port_free_after_a_failed_start() -> bool:
    """The start fails because the thread of the loop for async handlers can't be started."""
    start_thread = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "handler-loop" in thread.name:
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    threading.Thread.start = refuse  # type: ignore[method-assign]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RuntimeError, match="can't start new thread"):
        make_server(async_echo, async_echo).start(f"127.0.0.1:{port}")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_start_that_fails_releases_its_port() -> None:
    assert run_in_child(is_port_free_after_a_failed_start)


def warnings_a_second_without_threads() -> float:
    """While calls wait and no thread can be started: the process may have no more of them."""
    counted = 0

    def count(record: logging.LogRecord) -> bool:
        nonlocal counted
        counted += 1
        return False

    logging.disable(logging.NOTSET)
    logging.getLogger("pybrpc.server").addFilter(count)
    server = pybrpc.Server()
    server.add_service(ECHO, FullEcho())
    channel = echo_channel(start(server), timeout=3)
    stub = pybrpc.Stub(ECHO, channel)
    stub.Echo(echo_request())
    os.setuid(54321)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    began_at = time.monotonic()
    outcomes_of([stub.Echo.future(echo_request(sleep_ms=100)) for _ in range(20)])
    return counted / (time.monotonic() - began_at)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without threads")
def test_server_that_can_start_no_thread_warns_now_and_then() -> None:
    assert run_in_child(warnings_a_second_without_threads) < 10
