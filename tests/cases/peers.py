"""Peers, services and small tools that several cases use."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pybrpc
from pybrpc.errors import RpcError
from tests.peers.echo import ECHO, echo_frame
from tests.peers.scripted_server import Peer, Script
from tests.protos import conformance_pb2 as pb

PATIENT_S = 30.0
"""A timeout that no call reaches unless it hangs."""

LATE_S = 3.0
"""How much too late something may come on a busy machine."""


class Failed(BaseException):
    """No Exception, as what pytest.fail() raises."""


def echo_channel(address: object, **options: Any) -> pybrpc.Channel:
    """A channel whose calls are patient unless told otherwise."""
    options = {"timeout": PATIENT_S, "connect_timeout": PATIENT_S, **options}
    return pybrpc.Channel(str(address), **options)


def echo_stub(address: object, **options: Any) -> Any:
    """A stub of EchoService over a channel of its own, which closes when the stub is collected."""
    return pybrpc.Stub(ECHO, echo_channel(address, **options))


class FullEcho:
    """Does what the request asks for: sleeps, fails, answers with many bytes."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.sleep_ms:
            time.sleep(request.sleep_ms / 1000)
        if request.fail_code:
            controller.set_failed(request.fail_code, request.fail_text)
            return pb.EchoResponse(message="")
        return pb.EchoResponse(message="x" * request.reply_bytes or request.message)

    Stream = Echo


@contextlib.contextmanager
def serving(service: Any = None, address: str = "127.0.0.1:0", **options: Any) -> Iterator[str]:
    """The address of a server with that service, which is stopped without grace at the end."""
    server = pybrpc.Server(**options)
    server.add_service(ECHO, service or FullEcho())
    endpoint = server.start(address)
    try:
        yield str(endpoint)
    finally:
        server.stop(0)
        server.join(PATIENT_S)


def answer_in_batches(count: int) -> Script:
    """A script for ScriptedServer: answers each `count` requests with one send."""

    def script(peer: Peer) -> None:
        frames: list[bytes] = []
        while (request := peer.read_request()) is not None:
            frames.append(echo_frame(request))
            if len(frames) == count:
                peer.send(b"".join(frames))
                frames.clear()

    return script


def close_after(count: int) -> Script:
    """A script for ScriptedServer: closes the connection after so many requests, unanswered."""

    def script(peer: Peer) -> None:
        for _ in range(count):
            if peer.read_request() is None:
                return

    return script


def outcome_of(call: Callable[[], Any]) -> str:
    """ "answered", or the name of the error code, or that of the type of what was raised."""
    try:
        call()
    except RpcError as error:
        return error.name
    except BaseException as error:
        return type(error).__name__
    return "answered"


def in_thread(call: Callable[[], Any]) -> concurrent.futures.Future[Any]:
    """Run `call` in a thread of its own, which may be left behind; a future of its outcome."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def outcomes_of(futures: Iterable[Any], limit_s: float = PATIENT_S) -> Counter[str]:
    """How many of the futures had which outcome; "never ended" after `limit_s` for all together."""
    return outcomes_by_key({"": futures}, limit_s)[""]


def outcomes_by_key(
    futures: Mapping[str, Iterable[Any]], limit_s: float = PATIENT_S
) -> dict[str, Counter[str]]:
    """`outcomes_of` for each key; `limit_s` is for all together."""
    end = time.monotonic() + limit_s
    return {
        key: Counter(outcome_within(future, end - time.monotonic()) for future in some)
        for key, some in futures.items()
    }


def outcome_within(future: Any, limit_s: float) -> str:
    if not waited_for(future.done, limit_s):
        return "never ended"
    return outcome_of(future.result)


class NotReadyError(Exception):
    """The state that a test needs before it can look at the fault was not reached."""


def wait_for(condition: Callable[[], bool], limit_s: float = PATIENT_S) -> None:
    """Return once `condition()` holds; NotReadyError if it does not before `limit_s`."""
    if not waited_for(condition, limit_s):
        raise NotReadyError


def waited_for(condition: Callable[[], bool], limit_s: float = PATIENT_S) -> bool:
    """Whether `condition()` holds at some moment before `limit_s` has passed."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
