"""Each attempt of a call ends in exactly one AttemptEnd, whatever ends it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.client.calls import backup_request, call
from pybrpc.client.calls.attempt_end import AttemptEnd, CanceledBy
from pybrpc.errors import ErrorCode, RpcError, RpcTimeoutError
from tests.fakes.threads import in_threads, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, Script, ScriptedServer, closed_port, never_answer

PATIENT_S = 30.0
Code = tuple[int, CanceledBy | None]


class Watched:
    """A channel whose attempts are watched."""

    def __init__(self, address: str, **options: Any) -> None:
        self.channel = pybrpc.Channel(address, timeout=PATIENT_S, **options)
        self.stub: Any = pybrpc.Stub(ECHO, self.channel)
        self.ends: list[AttemptEnd] = []
        self.channel.source().add_attempt_listener(self.ends.append)

    def call(self, **options: Any) -> None:
        """Call and wait; how it ends does not matter."""
        self.stub.Echo.future(echo_request(), **options).exception(PATIENT_S)

    def codes(self, count: int) -> list[Code]:
        """Code and reason of all ends, once there are `count` of them."""
        wait_until(lambda: len(self.ends) >= count)
        for end in self.ends:
            assert str(end.endpoint) == str(self.channel.endpoint)
            assert 0 <= end.latency_us < PATIENT_S * 1e6
        return [(end.code, end.canceled_by) for end in self.ends]


@contextmanager
def watched(script: Script | None = None, **options: Any) -> Iterator[Watched]:
    with ScriptedServer(*[script] if script else []) as server:
        made = Watched(server.address, **options)
        with made.channel:
            yield made


def answer_with(**fields: Any) -> Script:
    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.answer(request, **fields)

    return script


def close_at_once(peer: Peer) -> None:
    peer.read_request()


def test_response_is_a_success() -> None:
    with watched() as client:
        client.call()
        client.call()
        assert client.codes(2) == [(0, None)] * 2


def test_error_response_has_the_code_of_the_server() -> None:
    with watched(answer_with(error_code=77, error_text="no")) as client:
        client.call()
        assert client.codes(1) == [(77, None)]


def test_response_that_contradicts_itself_is_eresponse() -> None:
    with watched(answer_with(body=bytes(2000)), max_body_size=1000) as client:
        client.call()
        assert client.codes(1) == [(ErrorCode.ERESPONSE, None)]


def test_each_attempt_over_a_broken_connection_has_an_end() -> None:
    with watched(close_at_once, max_retry=2) as client:
        client.call()
        assert client.codes(3) == [(ErrorCode.EEOF, None)] * 3


def test_attempt_at_an_endpoint_that_is_down_has_an_end() -> None:
    with closed_port() as address:
        client = Watched(address, max_retry=0)
        client.call()
        assert client.codes(1) == [(ErrorCode.ECONNREFUSED, None)]
        client.channel.close()


@pytest.mark.parametrize("form", ["blocking", "future"])
def test_call_whose_owner_has_lost_it_ends_soon_after_its_deadline(form: str) -> None:
    """A thread claims the attempt and never ends it, as if an exception had struck there."""
    with watched(never_answer, max_retry=0) as client:
        source, raised = client.channel.source(), []

        def call() -> None:
            called = client.stub.Echo.future if form == "future" else client.stub.Echo
            try:
                result = called(echo_request(), timeout=0.2)
                if form == "future":
                    result.result(PATIENT_S)
            except RpcTimeoutError as error:
                raised.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        wait_until(lambda: any(connection.in_flight for connection in source.connections))
        (connection,) = source.connections
        (attempt,) = connection._pending.values()
        assert attempt.try_claim()
        caller.join(PATIENT_S)
        assert [error.code for error in raised] == [ErrorCode.ERPCTIMEDOUT]
        assert client.codes(1) == [(ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE)]


def test_attempt_that_its_connection_refuses_has_an_end() -> None:
    options = pybrpc.SocketOptions(high_water_bytes=0)
    with watched(never_answer, options=options, max_retry=0) as client:
        futures = [client.stub.Echo.future(echo_request("x" * 100_000)) for _ in range(200)]
        statistics = client.channel.statistics()
        assert statistics is not None
        count = statistics.socket.refused_overcrowded
        assert count > 0
        wait_until(lambda: sum(future.done() for future in futures) == count)
        refused = [future for future in futures if future.done()]
        found = Counter(client.codes(len(refused)))
        assert found == {(ErrorCode.EOVERCROWDED, None): len(refused)}
        client.channel.close()
        found = Counter(client.codes(200))
        assert found[ErrorCode.ECLOSE, CanceledBy.CLOSE] == 200 - len(refused)


def test_deadline_cancels_the_attempt() -> None:
    with watched(never_answer) as client:
        client.call(timeout=0.05)
        assert client.codes(1) == [(ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE)]


def test_deadline_of_a_blocking_call_cancels_the_attempt() -> None:
    with watched(never_answer) as client:
        with pytest.raises(RpcTimeoutError):
            client.stub.Echo(echo_request(), timeout=0.05)
        assert client.codes(1) == [(ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE)]


def test_caller_cancels_the_attempt() -> None:
    with watched(never_answer) as client:
        assert client.stub.Echo.future(echo_request()).cancel()
        assert client.codes(1) == [(ErrorCode.ECANCELED, CanceledBy.CALLER)]


def test_winner_cancels_the_other_attempt() -> None:
    seen = threading.Event()

    def answer_the_second(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            if seen.is_set():
                peer.answer(request)
            seen.set()

    with watched(answer_the_second, backup_request_ms=10) as client:
        client.call()
        expected = {(0, None): 1, (ErrorCode.ECANCELED, CanceledBy.OTHER_ATTEMPT): 1}
        assert Counter(client.codes(2)) == expected


def test_closed_channel_cancels_the_attempt() -> None:
    with watched(never_answer) as client:
        future = client.stub.Echo.future(echo_request())
        client.channel.close()
        assert isinstance(future.exception(PATIENT_S), RpcError)
        assert client.codes(1) == [(ErrorCode.ECLOSE, CanceledBy.CLOSE)]


def test_listener_that_raises_concerns_no_other_listener_and_no_call() -> None:
    def listener(end: AttemptEnd) -> None:
        raise SystemExit

    with watched() as client:
        source = client.channel.source()
        source.remove_attempt_listener(client.ends.append)
        source.attempt_listeners = None
        source.add_attempt_listener(listener)
        late: list[AttemptEnd] = []
        source.add_attempt_listener(late.append)
        assert client.stub.Echo(echo_request("hello")).message == "hello"
        assert [end.code for end in late] == [0]


def test_listener_that_was_removed_hears_nothing_more() -> None:
    heard: list[AttemptEnd] = []
    listener: Callable[[AttemptEnd], None] = heard.append
    with watched() as client:
        source = client.channel.source()
        source.add_attempt_listener(listener)
        client.call()
        source.remove_attempt_listener(listener)
        client.call()
        assert len(client.codes(2)) == 2
        assert len(heard) == 1
        assert source.attempt_listeners is not None


# --- under stress ---

CALLS = 400
THREADS = 4


def unreliable(peer: Peer) -> None:
    """Answers, fails, forgets, and now and then closes its connection."""
    choose = random.Random(id(peer))
    while (request := peer.read_request()) is not None:
        lot = choose.random()
        if lot < 0.02:
            return
        if lot < 0.2:
            continue
        code = 77 if lot < 0.3 else 0
        peer.answer(request, error_code=code)


@pytest.mark.python_only
@pytest.mark.parametrize("kind", ["single", "pooled", "short", "auto"])
def test_there_are_as_many_ends_as_attempts(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = call.new_attempt

    def new_attempt(*arguments: Any) -> Any:
        made.append(real(*arguments))
        return made[-1]

    monkeypatch.setattr(call, "new_attempt", new_attempt)
    monkeypatch.setattr(backup_request, "new_attempt", new_attempt)
    policy = pybrpc.BackupRequestPolicy(0.005, max_ratio=1)
    options = {"backup_request_policy": policy, "connection_type": kind}
    with watched(unreliable, **options) as client:

        def work(index: int) -> None:
            choose = random.Random(index)
            futures = []
            for _ in range(CALLS):
                future = client.stub.Echo.future(echo_request(), timeout=choose.choice([0.02, 0.2]))
                futures.append(future)
                if choose.random() < 0.1:
                    choose.choice(futures).cancel()
            for future in futures[:-20]:
                if not future.cancelled():
                    future.exception(PATIENT_S)

        in_threads(THREADS, work)
        for _ in range(20):  # where time is short, no call of those may have been answered
            if any(end.canceled_by is None for end in client.ends):
                break
            client.call(timeout=5.0)
        client.channel.close()
        wait_until(lambda: len(client.ends) >= len(made))
        # A call whose time is over before it has a connection makes no attempt.
        assert len(client.ends) == len(made) > THREADS * CALLS / 10
        assert {end.canceled_by for end in client.ends} >= {
            None,
            CanceledBy.DEADLINE,
            CanceledBy.CALLER,
        }
        assert all(attempt.listeners is None for attempt in made)
