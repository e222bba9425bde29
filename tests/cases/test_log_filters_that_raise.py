"""A logging filter that raises, as those that need a web request do, stops no thread of pybrpc."""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from typing import Any

from tests.cases.child import run_in_child
from tests.cases.peers import LATE_S, echo_stub, in_thread, outcomes_of
from tests.fakes.threads import wait_until
from tests.peers.echo import echo_request
from tests.peers.raw_peer import RawPeer
from tests.peers.scripted_server import ScriptedServer
from tests.peers.serving import echo, make_server, start


class NeedsTheMainThread(logging.Filter):
    """Raises in any other; notes that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.raised = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.current_thread() is not threading.main_thread():
            self.raised += 1
            raise RuntimeError("Working outside of request context.")
        return True


def add_filter() -> NeedsTheMainThread:
    """To a handler of the root logger, as applications do; and turn logging on."""
    logging.disable(logging.NOTSET)
    handler, added = logging.StreamHandler(), NeedsTheMainThread()
    handler.addFilter(added)
    logging.getLogger().addHandler(handler)
    return added


def outcomes_after_a_raising_callback_was_logged() -> Counter[str]:
    added = add_filter()
    with ScriptedServer() as server:
        stub = echo_stub(server.address, timeout=1)
        stub.Echo(echo_request())
        stub.Echo.with_callback(echo_request(), lambda *_: 1 / 0)
        wait_until(lambda: added.raised > 0)
        other = echo_stub(server.address, timeout=1, connection_group="other")
        return outcomes_of(
            [
                in_thread(lambda: stub.Echo(echo_request())),
                stub.Echo.future(echo_request()),
                in_thread(lambda: other.Echo(echo_request())),
            ],
            1 + LATE_S,
        )


def test_calls_work_after_a_log_filter_raised_for_a_failed_callback() -> None:
    assert run_in_child(outcomes_after_a_raising_callback_was_logged) == {"answered": 3}


def fail_for_boom(request: Any, controller: Any) -> Any:
    if request.message == "boom":
        raise ValueError("boom")
    return echo(request, controller)


def error_codes_around_a_failed_handler() -> list[int | str]:
    add_filter()
    with RawPeer(start(make_server(fail_for_boom))) as peer:
        peer.sock.settimeout(LATE_S)
        return [code_of_a_call(peer, message) for message in ("hello", "boom", "hello", "hello")]


def code_of_a_call(peer: RawPeer, message: str = "hello") -> int | str:
    try:
        return peer.call(message=message).error_code
    except OSError as error:
        return type(error).__name__


def test_server_answers_after_a_log_filter_raised_for_a_failed_handler() -> None:
    assert run_in_child(error_codes_around_a_failed_handler) == [0, 2001, 0, 0]


def error_code_after_garbage() -> list[int | str]:
    added = add_filter()
    endpoint = start(make_server())
    with RawPeer(endpoint) as peer:
        before = code_of_a_call(peer)
        with socket.create_connection((endpoint.host, endpoint.port)) as garbage:
            garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
            wait_until(lambda: added.raised > 0)
        peer.sock.settimeout(LATE_S)
        return [before, code_of_a_call(peer)]


def test_server_answers_after_a_log_filter_raised_for_a_peer_of_another_protocol() -> None:
    assert run_in_child(error_code_after_garbage) == [0, 0]
