"""A request whose deadline has passed when its turn comes is answered without running."""

from __future__ import annotations

import time
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, ServerStateError
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import wait_until
from tests.peers.nested_calls import SERVING
from tests.peers.raw_peer import EchoResponse, RawPeer, RpcRequest, request, text_of
from tests.peers.serving import Gate, make_server

SLEEP_S = 0.1


class Blocks:
    """A handler of which one call, "first", keeps the only worker or the loop busy."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def plain(self, request: Any, controller: Controller) -> Any:
        self.ran.append(request.message)
        if request.message == "first":
            time.sleep(SLEEP_S)
        return EchoResponse(message=request.message)

    async def coroutine(self, request: Any, controller: Controller) -> Any:
        return self.plain(request, controller)


KINDS = [("threads", "plain"), ("loop", "plain"), ("threads", "coroutine"), ("loop", "coroutine")]
each_kind = pytest.mark.parametrize(("place", "kind"), KINDS)


def requests_behind_a_slow_one(timeout_ms: int | None) -> list[RpcRequest]:
    late = [request(i, message="late", timeout_ms=timeout_ms) for i in range(1, 6)]
    return [request(0, message="first"), *late]


def answers_of(
    place: str, kind: str, timeout_ms: int | None, method: dict[str, Any] | None, **options: Any
) -> tuple[list[str], list[Any], pybrpc.server.ServerStatistics]:
    """The messages that ran, the answers, and the counts: a slow request, and five behind it."""
    blocks = Blocks()
    with SERVING[place](getattr(blocks, kind), max_workers=1, **options) as server:
        if method is not None:
            server.set_method_options("conformance.EchoService.Echo", **method)
        with RawPeer(server.endpoint) as peer:
            peer.send(*requests_behind_a_slow_one(timeout_ms))
            answers = peer.read_answers(6)
            wait_until(lambda: server.statistics().running == 0)
            return blocks.ran, [answers[i] for i in range(6)], server.statistics()


@each_kind
def test_expired_requests_are_answered_without_running_and_counted(place: str, kind: str) -> None:
    ran, answers, statistics = answers_of(place, kind, 20, None)
    assert ran == ["first"]
    assert [answer.error_code for answer in answers] == [0] + [ErrorCode.ERPCTIMEDOUT] * 5
    for answer in answers[1:]:
        assert "The deadline of the request passed before its turn" in answer.error_text
    assert (statistics.requests, statistics.errors, statistics.expired) == (6, 5, 5)


@each_kind
@pytest.mark.parametrize("how", ["server", "method", "server but not method"])
def test_expired_requests_run_if_they_are_not_to_be_dropped(
    place: str, kind: str, how: str
) -> None:
    options = {"drop_expired": False, "cancel_handlers": False}
    method = {"method": options, "server but not method": {"drop_expired": True}}.get(how)
    server = {} if how == "method" else options
    ran, answers, statistics = answers_of(place, kind, 20, method, **server)
    if how == "server but not method":
        assert (ran, statistics.expired) == (["first"], 5)
    else:
        assert ran == ["first"] + ["late"] * 5
        assert [text_of(answer) for answer in answers] == ran
        assert (statistics.errors, statistics.expired) == (0, 0)


@each_kind
@pytest.mark.parametrize("timeout_ms", [None, 0, -5, 30_000])
def test_requests_without_a_deadline_or_with_time_left_run(
    place: str, kind: str, timeout_ms: int | None
) -> None:
    ran, answers, statistics = answers_of(place, kind, timeout_ms, None)
    assert [text_of(answer) for answer in answers] == ran == ["first"] + ["late"] * 5
    assert statistics.expired == 0


def test_requests_that_expire_while_all_workers_are_busy_are_answered_at_once() -> None:
    """They hold neither memory nor a place under a limit until their turn comes."""
    gate = Gate()
    with SERVING["threads"](gate, max_workers=1, max_concurrency=6) as server:
        with RawPeer(server.endpoint) as peer:
            try:
                peer.send(*requests_behind_a_slow_one(20))
                gate.wait_entered()
                answers = peer.read_answers(5)
                wait_until(lambda: server.statistics().running == 1)
                peer.send(*requests_behind_a_slow_one(20)[1:])
                answers |= peer.read_answers(5)
            finally:
                gate.open()
            assert {answer.error_code for answer in answers.values()} == {ErrorCode.ERPCTIMEDOUT}
            assert peer.read_answer().correlation_id == 0
        wait_until(lambda: server.statistics().running == 0)
        assert server.statistics().expired == 10


def test_expired_requests_leave_their_limits() -> None:
    blocks = Blocks()
    with SERVING["threads"](blocks.plain, max_workers=1, max_concurrency=6) as server:
        server.set_max_concurrency("EchoService.Echo", 6)
        with RawPeer(server.endpoint) as peer:
            for _ in range(3):
                peer.send(*requests_behind_a_slow_one(20))
                codes = [answer.error_code for answer in peer.read_answers(6).values()]
                assert codes.count(ErrorCode.ERPCTIMEDOUT) == 5
    assert blocks.ran == ["first"] * 3


def test_method_options_need_a_method_that_was_added() -> None:
    server = make_server()
    with pytest.raises(ServerStateError, match=r"no method .Nobody\.Knows. was added"):
        server.set_method_options("Nobody.Knows", drop_expired=False)


def test_unknown_method_option_is_refused() -> None:
    with pytest.raises(TypeError, match="drop_expird"):
        make_server().set_method_options("EchoService.Echo", drop_expird=False)  # type: ignore[call-arg]
