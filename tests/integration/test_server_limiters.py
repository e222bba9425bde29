"""Limits of a running server: which requests they see, over every protocol, and how calls end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, LimitReachedError
from pybrpc.metrics.registry import exposed
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.http_server import ask, client_of
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, as_async, echo, make_server, serving, start

METHOD = f"{ECHO.full_name}.Echo"
HELLO = echo_request()

every_protocol = pytest.mark.parametrize(
    "protocol", ["baidu_std", "hulu_pbrpc", "sofa_pbrpc", "http"]
)
both_kinds = pytest.mark.parametrize(
    "kind", [lambda handler: handler, as_async], ids=["def", "async"]
)


class Recording:
    """A limiter of a user, which notes all that it is asked and told."""

    def __init__(self, max_concurrency: int = 1, raises: bool = False) -> None:
        self.max_concurrency = max_concurrency
        self.asked: list[tuple[int, float | None]] = []
        self.ended: list[tuple[int, int]] = []
        self._raises = raises

    def admits(self, concurrency: int, timeout: float | None) -> bool:
        self.asked.append((concurrency, timeout))
        if self._raises:
            raise SystemExit
        return concurrency <= self.max_concurrency

    def on_end(self, latency: float, concurrency: int, error_code: int) -> None:
        assert latency >= 0
        self.ended.append((concurrency, error_code))
        if self._raises:
            raise SystemExit


def stub_of(server: pybrpc.Server, protocol: str = "baidu_std", **options: Any) -> Any:
    channel = pybrpc.Channel(
        str(server.endpoint), protocol=protocol, timeout=30, max_retry=0, **options
    )
    return channel, pybrpc.Stub(ECHO, channel)


def limiter_of(server: pybrpc.Server) -> Any:
    return server._registry.entry_named(METHOD).limiter


def stop_counts(server: pybrpc.Server) -> None:
    wait_until(lambda: server.statistics().running == 0)
    assert not server._registry.entry_named(METHOD).running


@every_protocol
@both_kinds
@pytest.mark.parametrize("scope", ["method", "server"])
def test_limiter_of_a_user_limits_every_protocol(protocol: str, kind: Any, scope: str) -> None:
    gate, limiter = Gate(), Recording()
    options: Any = {"max_concurrency": limiter} if scope == "server" else {}
    # A loop has one thread, which a gate would block: the slow call is plain, unless only it is.
    with make_server(gate if scope == "server" else kind(echo), kind(echo), **options) as server:
        start(server)
        if scope == "method":
            server.set_max_concurrency(METHOD, limiter)
            server.set_max_concurrency("EchoService.Stream", 0)
        channel, stub = stub_of(server, protocol)
        with channel:
            if scope == "server":
                first = stub.Echo.future(HELLO)
                gate.wait_entered()
                with pytest.raises(LimitReachedError) as caught:
                    stub.Stream(HELLO)
                assert "Reached server's max_concurrency=1 (Recording)" in str(caught.value)
                gate.open()
                assert first.result(30).message == HELLO.message
            else:
                assert stub.Echo(HELLO).message == HELLO.message
                limiter.max_concurrency = 0
                with pytest.raises(LimitReachedError) as caught:
                    stub.Echo(HELLO)
                assert f"{METHOD}'s ConcurrencyLimiter, concurrency=1" in str(caught.value)
                assert "max_concurrency=0 (Recording)" in str(caught.value)
                assert stub.Stream(HELLO).message == HELLO.message
            assert caught.value.code == ErrorCode.ELIMIT
        stop_counts(server)
        assert limiter.ended == [(1, 0)]


def test_timeout_of_the_client_reaches_the_limiter() -> None:
    limiter = Recording()
    with serving(max_concurrency=limiter) as peer:
        peer.send(request(1, timeout_ms=250))
        peer.read_answer()
        peer.send(request(2, timeout_ms=-5))
        peer.read_answer()
        peer.call()
    assert limiter.asked == [(1, 0.25), (1, None), (1, None)]


def test_limit_of_the_server_comes_first() -> None:
    of_server, of_method = Recording(0), Recording(0)
    with make_server(max_concurrency=of_server) as server, RawPeer(start(server)) as peer:
        server.set_max_concurrency(METHOD, of_method)
        assert "Reached server's" in peer.call().error_text
        of_server.max_concurrency = 1
        assert "Rejected by" in peer.call().error_text
        of_method.max_concurrency = 1
        assert text_of(peer.call()) == "hello"
        stop_counts(server)
    assert (len(of_server.asked), len(of_method.asked)) == (3, 2)
    assert of_server.ended == of_method.ended == [(1, 0)]


def number(name: str) -> Any:
    entry = exposed.find(name)
    assert entry is not None, name
    return entry.get_value()


def test_limit_that_learns_is_shown_on_pages_and_in_variables() -> None:
    gate = Gate()
    with make_server(gate, max_concurrency="auto") as server, RawPeer(start(server)) as peer:
        server.set_max_concurrency(METHOD, pybrpc.TimeoutConcurrencyConf(250, 7))
        peer.send(*(request(i) for i in range(9)))
        gate.wait_entered(7)
        refused = [peer.read_answer() for _ in range(2)]
        reason = (
            f"Rejected by {METHOD}'s ConcurrencyLimiter, concurrency=8, "
            "max_concurrency=7 (timeout, 250 ms)"
        )
        assert [answer.error_code for answer in refused] == [ErrorCode.ELIMIT] * 2
        assert all(answer.error_text.endswith(reason) for answer in refused)
        with client_of(server) as client:
            page = ask(client, "GET", "/status").text
        assert "max_concurrency: 40\nconcurrency_limiter: auto\nrejected: 0\n" in page
        assert "max_concurrency: 7\nconcurrency_limiter: timeout\nrejected: 2\n" in page
        stem = f"rpc_server_{server.endpoint.port}"
        assert (number(f"{stem}_max_concurrency"), number(f"{stem}_rejected")) == (40, 0)
        method = f"{stem}_conformance_echo_service_echo"
        assert (number(f"{method}_max_concurrency"), number(f"{method}_rejected")) == (7, 2)
        gate.open()
        assert len(peer.read_answers(7)) == 7


@both_kinds
def test_limiter_learns_from_real_calls(kind: Any) -> None:
    with make_server(kind(echo)) as server, RawPeer(start(server)) as peer:
        server.set_max_concurrency(METHOD, "timeout")
        limiter = limiter_of(server)
        for _ in range(100):
            if limiter.calls_per_s:
                break
            peer.send(*(request(i) for i in range(20)))
            assert len(peer.read_answers(20)) == 20
        assert limiter.calls_per_s > 0
        server.set_max_concurrency(METHOD, "auto")
        for _ in range(100):
            if limiter_of(server).no_load_s:
                break
            peer.send(*(request(i) for i in range(20)))
            peer.read_answers(20)
        assert limiter_of(server).no_load_s > 0


def test_calls_that_are_dropped_with_their_connection_say_nothing_and_leave() -> None:
    gate, limiter = Gate(), Recording(5)
    with make_server(gate, max_workers=1) as server:
        server.set_max_concurrency(METHOD, limiter)
        with RawPeer(start(server)) as peer:
            peer.send(*(request(i) for i in range(5)))
            gate.wait_entered(1)
            peer.reset()
        wait_until(lambda: server.statistics().connections == 0)
        gate.open()
        stop_counts(server)
        with RawPeer(server.endpoint) as peer:
            assert text_of(peer.call()) == "hello"
        stop_counts(server)
    # Only the handler of the first one ran.
    assert limiter.ended == [(1, 0), (1, 0)]


def test_requests_that_expire_in_the_queue_are_told_as_failed() -> None:
    gate, limiter = Gate(), Recording(5)
    with make_server(gate, max_workers=1) as server, RawPeer(start(server)) as peer:
        server.set_max_concurrency(METHOD, limiter)
        peer.send(request(1), request(2, timeout_ms=1))
        gate.wait_entered()
        threading.Event().wait(0.01)
        gate.open()
        assert peer.read_answers(2)[2].error_code == ErrorCode.ERPCTIMEDOUT
        stop_counts(server)
    assert sorted(limiter.ended) == [(1, 0), (2, ErrorCode.ERPCTIMEDOUT)]


def test_limiter_that_raises_ends_no_call(caplog: pytest.LogCaptureFixture) -> None:
    with serving(max_concurrency=Recording(raises=True)) as peer:
        for _ in range(20):
            assert text_of(peer.call()) == "hello"
    assert "of the limiter Recording raised" in caplog.text


@both_kinds
def test_each_call_of_many_threads_ends_once(kind: Any) -> None:
    limiter = Recording(4)
    entered = threading.Semaphore(4)

    def handle(request: Any, controller: Controller) -> Any:
        assert entered.acquire(blocking=False)
        entered.release()
        return echo(request, controller)

    with make_server(kind(handle)) as server:
        start(server)
        server.set_max_concurrency(METHOD, limiter)
        channel, stub = stub_of(server)

        def call(number: int) -> int:
            refused = 0
            for _ in range(40):
                try:
                    stub.Echo(HELLO)
                except LimitReachedError:
                    refused += 1
            return refused

        with channel, ThreadPoolExecutor(8) as pool:
            refused = sum(pool.map(call, range(8)))
        stop_counts(server)
        assert len(limiter.asked) == 8 * 40
        assert [code for _, code in limiter.ended] == [0] * (8 * 40 - refused)
        assert max(concurrency for concurrency, _ in limiter.ended) <= 4


def test_limit_may_change_while_calls_run() -> None:
    gate, first, second = Gate(), Recording(1), Recording(1)
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        server.set_max_concurrency(METHOD, first)
        peer.send(request(1))
        gate.wait_entered()
        assert peer.call().error_code == ErrorCode.ELIMIT
        server.set_max_concurrency(METHOD, "unlimited")
        peer.send(request(2))
        gate.wait_entered()
        server.set_max_concurrency(METHOD, second)
        assert peer.call().error_code == ErrorCode.ELIMIT
        gate.open()
        assert len(peer.read_answers(2)) == 2
        stop_counts(server)
        assert text_of(peer.call()) == "hello"
        stop_counts(server)
    assert first.ended == []
    # The call that the first one had admitted still counted for the second one.
    assert second.ended == [(1, 0), (1, 0)]


def test_streams_are_limited_as_calls() -> None:
    limiter, accepted = Recording(0), []

    def accept(request: Any, controller: Controller) -> Any:
        accepted.append(controller.accept_stream())
        return echo(request, controller)

    with make_server(accept) as server:
        start(server)
        server.set_max_concurrency(METHOD, limiter)
        channel, stub = stub_of(server)
        with channel:
            with pytest.raises(LimitReachedError):
                stub.Echo.stream(HELLO).open()
            limiter.max_concurrency = 1
            # A stream goes on after its call has ended, and does not count.
            with stub.Echo.stream(HELLO):
                stop_counts(server)
                with stub.Echo.stream(HELLO):
                    stop_counts(server)
            for stream in accepted:
                stream.close()
        assert limiter.ended == [(1, 0), (1, 0)]


def test_wrong_limits_are_refused_where_they_are_given() -> None:
    with pytest.raises(ValueError, match=r"max_concurrency must be .* \"timeout\", not 'fast'"):
        pybrpc.Server(max_concurrency="fast")
    with pytest.raises(TypeError, match="ConcurrencyLimiter"):
        pybrpc.Server(max_concurrency=object())  # type: ignore[arg-type]
    with make_server() as server:
        with pytest.raises(ValueError, match="limit must be"):
            server.set_max_concurrency(METHOD, "fast")
        assert limiter_of(server) is None
