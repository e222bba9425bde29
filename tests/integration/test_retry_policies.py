"""Which calls are sent again, and when, as a RetryPolicy says. bRPC: retry, retry_backoff."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    InternalServerError,
    Phase,
    RpcError,
    RpcTimeoutError,
)
from tests.peers.callers import AIO_FORMS, FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, closed_port, echo
from tests.peers.serving import make_server, start
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)
BUSY = 10042


def say_busy(times: int) -> Callable[[Peer], None]:
    """A server that refuses so many requests, each with a code of its own, and then works."""

    def script(peer: Peer) -> None:
        for _ in range(times):
            request = peer.read_request()
            if request is None:
                return
            peer.answer(request, error_code=BUSY, error_text="busy", body=b"")
        peer.echo_until_closed()

    return script


def hang_up(peer: Peer) -> None:
    peer.read_request()


@every_form
def test_codes_of_ones_own_are_retried(form: str) -> None:
    policy = pybrpc.RetryPolicy(codes=frozenset({BUSY}))
    controller = pybrpc.Controller()
    with (
        ScriptedServer(say_busy(2)) as server,
        caller(form, server.address, retry_policy=policy) as client,
    ):
        assert client.call(echo_request("a"), controller=controller).message == "a"
    assert (controller.retried_count, controller.failed) == (2, False)
    assert len(server.requests) == 3


@every_form
def test_error_that_the_policy_does_not_name_is_not_retried(form: str) -> None:
    policy = pybrpc.RetryPolicy(codes=frozenset({BUSY}))
    with ScriptedServer(hang_up) as server:
        with caller(form, server.address, retry_policy=policy) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                client.call(echo_request())
    assert caught.value.code == ErrorCode.EEOF
    assert len(server.requests) == 1


@every_form
def test_judge_is_asked_with_the_error(form: str) -> None:
    seen: list[RpcError] = []

    def judge(error: RpcError) -> bool:
        seen.append(error)
        return error.is_remote and "busy" in error.text

    with (
        ScriptedServer(say_busy(2)) as server,
        caller(form, server.address, retry_policy=pybrpc.RetryPolicy(judge=judge)) as client,
    ):
        assert client.call(echo_request("a")).message == "a"
        peer = server.address
    assert [(error.code, error.peer) for error in seen] == [(BUSY, peer)] * 2


@every_form
def test_judge_that_raises_fails_its_call_and_nothing_else(form: str) -> None:
    """It runs on the thread that reads for everybody."""

    def judge(error: RpcError) -> bool:
        raise KeyError("table")

    controller = pybrpc.Controller()
    with (
        ScriptedServer(say_busy(1)) as server,
        caller(form, server.address, retry_policy=pybrpc.RetryPolicy(judge=judge)) as client,
    ):
        with pytest.raises(RpcError) as caught:
            client.call(echo_request(), controller=controller)
        assert client.call(echo_request("next")).message == "next"
        assert client.statistics().in_flight == 0
    error = caught.value
    assert error.code == controller.error_code == BUSY
    assert "[E10042]busy [and then the retry policy raised KeyError('table')]" in error.text
    assert isinstance(error.__cause__, KeyError)
    assert server.connections == 1


@every_form
def test_policy_of_a_subclass(form: str) -> None:
    class OnceOnly(pybrpc.RetryPolicy):
        def may_retry(self, error: RpcError) -> bool:
            return error.code == ErrorCode.EINTERNAL and not error.text.startswith("again")

    def script(peer: Peer) -> None:
        for text in ("first", "again"):
            request = peer.expect_request()
            peer.answer(request, error_code=ErrorCode.EINTERNAL, error_text=text, body=b"")
        peer.wait_closed()

    with (
        ScriptedServer(script) as server,
        caller(form, server.address, retry_policy=OnceOnly()) as client,
    ):
        with pytest.raises(InternalServerError) as caught:
            client.call(echo_request())
    assert caught.value.text == "[E2001]first [R1][E2001]again"


@every_form
@pytest.mark.parametrize(
    "backoff",
    [
        pybrpc.Backoff(first_s=0.03, factor=1, max_s=0.03, jitter=0),
        pybrpc.Backoff(first_s=0.06, factor=1, max_s=0.06, jitter=0.5),
        pybrpc.Backoff(first_s=0.02, factor=2, jitter=0),
    ],
    ids=["fixed", "jittered", "growing"],
)
def test_retries_pause(form: str, backoff: pybrpc.Backoff) -> None:
    """bRPC: retry_backoff: the call takes longer than its pauses together."""
    controller = pybrpc.Controller()
    policy = pybrpc.RetryPolicy(backoff=backoff)
    with (
        ScriptedServer(hang_up, hang_up, echo) as server,
        caller(form, server.address, retry_policy=policy) as client,
    ):
        assert client.call(echo_request("a"), controller=controller).message == "a"
    assert controller.retried_count == 2
    assert controller.latency_us >= 2 * 30_000


@every_form
def test_other_calls_go_on_during_a_pause(form: str) -> None:
    """Nobody sleeps: the pause is a timer."""

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.answer(request, error_code=BUSY, error_text="busy", body=b"")
        peer.echo_until_closed()

    policy = pybrpc.RetryPolicy(
        codes=frozenset({BUSY}), backoff=pybrpc.Backoff(first_s=60, max_s=60)
    )
    with ScriptedServer(script) as server:
        with caller(form, server.address, retry_policy=policy, timeout=300) as client:
            pausing = start_call(client, form)
            wait_in(client, form, lambda: server.requests and not client.statistics().in_flight)
            assert client.call(echo_request("meanwhile")).message == "meanwhile"
            assert not pausing.done()
            cancel(pausing, client, form)


@every_form
def test_cancel_ends_a_pause(form: str) -> None:
    controller = pybrpc.Controller()
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=300, max_s=300))
    with ScriptedServer(hang_up) as server:
        with caller(form, server.address, retry_policy=policy, timeout=None) as client:
            pausing = start_call(client, form, controller)
            wait_in(client, form, lambda: client.statistics().in_flight == 0 and server.requests)
            cancel(pausing, client, form)
            assert pausing.cancelled()
        assert len(server.requests) == 1
    assert controller.error_code == ErrorCode.ECANCELED
    assert "Got EOF" in controller.error_text, "the error before the pause is part of the text"


@every_form
def test_pause_that_would_pass_the_deadline_is_left_out(form: str) -> None:
    """As in bRPC: one more try at once is worth more than a wait that ends too late."""
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=300, max_s=300))
    with (
        ScriptedServer(hang_up, echo) as server,
        caller(form, server.address, retry_policy=policy, timeout=30) as client,
    ):
        assert client.call(echo_request("a")).message == "a"


@every_form
def test_deadline_ends_the_pauses(form: str) -> None:
    """The server hangs up each time; what is left of the deadline is used up in pauses."""
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.05, factor=1, max_s=0.05))
    controller = pybrpc.Controller()
    with ScriptedServer(hang_up) as server:
        with caller(form, server.address, retry_policy=policy, max_retry=1000) as client:
            with pytest.raises((RpcTimeoutError, ConnectionFailedError)):
                client.call(echo_request(), timeout=0.3, controller=controller)
    assert 1 <= controller.retried_count < 1000


@every_form
def test_retry_with_pauses_outlasts_a_restart(form: str) -> None:
    """brpc#2395: nobody listens for a while."""

    def restart() -> None:
        time.sleep(0.15)
        servers.append(pybrpc.Server())
        servers[0].add_service(ECHO, Echo())
        servers[0].start(address)

    servers: list[pybrpc.Server] = []
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.05, factor=1, max_s=0.05))
    with closed_port() as address:
        pass
    thread = threading.Thread(target=restart)
    thread.start()
    with caller(form, address, retry_policy=policy, max_retry=1000) as client:
        assert client.call(echo_request("a")).message == "a"
    thread.join()
    servers[0].stop()
    servers[0].join()


@pytest.mark.parametrize("form", FORMS)
def test_without_pauses_a_port_that_refuses_is_given_up_at_once(form: str) -> None:
    """bRPC: retry, server down."""
    with closed_port() as address, caller(form, address) as client:
        with pytest.raises(ConnectError):
            client.call(echo_request())


class Echo:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@contextlib.contextmanager
def server_that_stops_in_its_handler() -> Iterator[tuple[str, list[Any]]]:
    """A server that is gone before its handler has answered; and the requests that it has run."""
    gate = threading.Event()
    ran: list[Any] = []

    def stop_and_wait(request: Any, controller: pybrpc.Controller) -> Any:
        ran.append(request)
        server.stop(0)
        gate.wait()

    with make_server(stop_and_wait) as server:
        try:
            yield str(start(server)), ran
        finally:
            gate.set()


@every_form
def test_error_says_that_an_earlier_attempt_may_have_run(form: str) -> None:
    """The last attempt finds nobody, but the first one has run."""
    with server_that_stops_in_its_handler() as (address, ran), caller(form, address) as client:
        with pytest.raises(ConnectError) as caught:
            client.call(echo_request())
    error = caught.value
    assert len(ran) == 1
    assert (error.code, error.phase) == (ErrorCode.ECONNREFUSED, Phase.CONNECT)
    assert error.may_have_run
    assert str(error).endswith("an earlier attempt may have run)")
    assert "which has sent nothing: has it stopped, or" in error.text


@every_form
def test_error_of_a_server_that_is_not_there_says_that_nothing_ran(form: str) -> None:
    with closed_port() as address, caller(form, address) as client:
        with pytest.raises(ConnectError) as caught:
            client.call(echo_request())
    assert not caught.value.may_have_run
    assert "may have run" not in str(caught.value)


def test_selective_channel_sends_nothing_again_that_may_have_run() -> None:
    """The last attempt of the sub channel finds nobody, but its first one has run."""
    policy = pybrpc.RetryPolicy(may_have_run=False)
    with (
        server_that_stops_in_its_handler() as (first, ran_first),
        server_that_stops_in_its_handler() as (second, ran_second),
        pybrpc.Channel(first, timeout=30) as one,
        pybrpc.Channel(second, timeout=30) as other,
        pybrpc.SelectiveChannel([one, other], timeout=30, retry_policy=policy) as combo,
    ):
        with pytest.raises(RpcError) as caught:
            pybrpc.Stub(ECHO, combo).Echo(echo_request())
        assert len(ran_first) + len(ran_second) == 1
    assert caught.value.code == ErrorCode.ECONNREFUSED
    assert caught.value.may_have_run


def start_call(client: Any, form: str, controller: pybrpc.Controller | None = None) -> Any:
    """A future of a call."""
    if form in AIO_FORMS:

        async def begin() -> asyncio.Future[Any]:
            return client.stub.Echo(echo_request("pausing"), controller=controller)

        return client.run(begin())
    return client.stub.Echo.future(echo_request("pausing"), controller=controller)


def cancel(future: Any, client: Any, form: str) -> None:
    future.cancel()
    if form in AIO_FORMS:
        client.run(asyncio.sleep(0))


def wait_in(client: Any, form: str, condition: Callable[[], object]) -> None:
    async def pass_on() -> None:
        await asyncio.sleep(0.001)

    while not condition():
        if form in AIO_FORMS:
            client.run(pass_on())
        else:
            time.sleep(0.001)
