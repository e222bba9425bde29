"""A reset, a failed write and a deadline cancel a handler and its calls; an EOF cancels nothing."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, HandlerCanceledError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.serving import MAX_CANCELED_AT_ONCE
from pybrpc.server.lifecycle import running_server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import echo_request
from tests.peers.nested_calls import (
    ASYNC_FORMS,
    PLACES,
    PLAIN_FORMS,
    SERVING,
    Nesting,
    behind,
)
from tests.peers.raw_peer import EchoResponse, RawPeer, request, text_of
from tests.peers.serving import Gate

in_each_place = pytest.mark.parametrize(("place", "form"), PLACES)
in_each_loop = pytest.mark.parametrize("place", SERVING)


class Waiting:
    """An async handler that waits, and notes what happens to it meanwhile."""

    def __init__(self, swallows: int = 0) -> None:
        self.entered: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.noted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.go_on = threading.Event()
        self._swallows = swallows

    def wait_entered(self) -> None:
        self.entered.get(timeout=WAIT_S)

    def next_noted(self) -> str:
        return self.noted.get(timeout=WAIT_S)

    async def __call__(self, request: Any, controller: Controller) -> Any:
        self.entered.put(None)
        for _ in range(self._swallows):
            try:
                await self._wait()
            except asyncio.CancelledError:
                self.noted.put(f"swallowed, is_canceled={controller.is_canceled}")
        try:
            await self._wait()
        except asyncio.CancelledError:
            self.noted.put(f"canceled, is_canceled={controller.is_canceled}")
            raise
        self.noted.put(f"done, is_canceled={controller.is_canceled}")
        return EchoResponse(message="done")

    async def _wait(self) -> None:
        while not self.go_on.is_set():
            await asyncio.sleep(0.001)


# --- a reset ---


@pytest.mark.parametrize("form", PLAIN_FORMS)
def test_reset_ends_the_nested_calls_of_a_plain_handler(form: str) -> None:
    with behind() as server:
        nesting = Nesting(server, form)
        with SERVING["threads"](nesting.handler) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1))
                server.wait_called()
                peer.reset()
            error = nesting.next_end()
            wait_until(lambda: front.statistics().running == 0)
    assert type(error) is HandlerCanceledError
    assert "Canceled with the request that the handler serves, because " in error.text


@pytest.mark.parametrize(("place", "form"), [place for place in PLACES if place[1] in ASYNC_FORMS])
def test_reset_cancels_an_async_handler_that_awaits_a_nested_call(place: str, form: str) -> None:
    with behind() as server:
        nesting = Nesting(server, form)
        with SERVING[place](nesting.handler) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1))
                server.wait_called()
                peer.reset()
            assert type(nesting.next_end()) is asyncio.CancelledError
            wait_until(lambda: front.statistics().running == 0)
            assert nesting.ends.empty()


@in_each_loop
def test_reset_ends_nested_calls_that_an_async_handler_does_not_await(place: str) -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()

    with behind() as server:

        async def handle(request: Any, controller: Controller) -> Any:
            pending = blocking_future(server)
            try:
                await asyncio.sleep(WAIT_S)
            finally:
                ends.put(await asyncio.to_thread(pending.exception, WAIT_S))

        with SERVING[place](handle) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1))
                server.wait_called()
                peer.reset()
            assert type(ends.get(timeout=WAIT_S)) is HandlerCanceledError
            wait_until(lambda: front.statistics().running == 0)


def blocking_future(server: Any) -> Any:
    return server.stub.Echo.future(echo_request())


@in_each_loop
def test_async_handler_gets_one_cancelled_error_when_its_peer_resets(place: str) -> None:
    waiting = Waiting()
    with SERVING[place](waiting) as front:
        with RawPeer(front.endpoint) as peer:
            peer.send(request(1))
            waiting.wait_entered()
            peer.reset()
        assert waiting.next_noted() == "canceled, is_canceled=True"
        wait_until(lambda: front.statistics().running == 0)
        assert waiting.noted.empty()


@in_each_loop
def test_handler_that_swallows_its_cancel_goes_on_and_is_canceled_no_more(place: str) -> None:
    """Although both its deadline passes and its connection breaks."""
    waiting = Waiting(swallows=1)
    with SERVING[place](waiting) as front:
        with RawPeer(front.endpoint) as peer:
            peer.send(request(1, timeout_ms=50))
            waiting.wait_entered()
            assert waiting.next_noted() == "swallowed, is_canceled=True"
            peer.reset()
        wait_until(lambda: front.statistics().connections == 0)
        waiting.go_on.set()
        assert waiting.next_noted() == "done, is_canceled=True"
        wait_until(lambda: front.statistics().running == 0)
        assert waiting.noted.empty()


@in_each_loop
def test_other_calls_of_a_read_go_on_when_one_handler_is_canceled(place: str) -> None:
    """Calls of one read may begin in one task."""
    waiting = Waiting()
    others: list[str] = []

    async def handle(request: Any, controller: Controller) -> Any:
        if request.message == "wait":
            return await waiting(request, controller)
        await asyncio.sleep(0)
        others.append(request.message)
        return EchoResponse(message=request.message)

    with SERVING[place](handle) as front, RawPeer(front.endpoint) as peer:
        peer.send(
            *(request(i, message="fast") for i in range(5)),
            request(5, message="wait", timeout_ms=100),
            *(request(i, message="fast") for i in range(6, 11)),
        )
        answers = peer.read_answers(11)
        assert waiting.next_noted() == "canceled, is_canceled=True"
    assert answers.pop(5).error_code == ErrorCode.ERPCTIMEDOUT
    assert [text_of(answer) for answer in answers.values()] == ["fast"] * 10
    assert others == ["fast"] * 10


@in_each_loop
@pytest.mark.parametrize("how", ["server", "method"])
def test_handler_that_is_not_to_be_canceled_goes_on_after_a_reset(place: str, how: str) -> None:
    waiting = Waiting()
    options = {"cancel_handlers": False} if how == "server" else {}
    with behind() as server:

        async def handle(request: Any, controller: Controller) -> Any:
            nested = blocking_future(server)
            answer = await waiting(request, controller)
            waiting.noted.put(f"nested call done: {nested.done()}")
            nested.cancel()
            return answer

        with SERVING[place](handle, **options) as front:
            if how == "method":
                front.set_method_options("EchoService.Echo", cancel_handlers=False)
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1))
                waiting.wait_entered()
                server.wait_called()
                peer.reset()
            wait_until(lambda: front.statistics().connections == 0)
            waiting.go_on.set()
            assert waiting.next_noted() == "done, is_canceled=True"
            assert waiting.next_noted() == "nested call done: False"
            wait_until(lambda: front.statistics().running == 0)


def test_plain_handler_of_a_reset_connection_counts_until_it_returns() -> None:
    """Under the limits, and with the memory of its request."""
    gate = Gate()
    with SERVING["threads"](gate, max_concurrency=1) as front:
        try:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1, message="x" * 100_000))
                gate.wait_entered()
                peer.reset()
            wait_until(lambda: front.statistics().connections == 0)
            assert front.statistics().running == 1
            run: Any = front._run
            assert run.unanswered.size_bytes > 0
            with RawPeer(front.endpoint) as peer:
                assert peer.call().error_code == ErrorCode.ELIMIT
        finally:
            gate.open()
        wait_until(lambda: front.statistics().running == 0)
        wait_until(lambda: run.unanswered.size_bytes == 0)
        with RawPeer(front.endpoint) as peer:
            assert text_of(peer.call()) == "hello"


@pytest.mark.python_only
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_many_handlers_of_a_connection_are_canceled_in_several_turns(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_server, "MAX_ENDS", 2)
    count = 7
    with behind() as server:
        nesting = Nesting(server, "future" if kind == "plain" else "awaited")
        with SERVING["threads"](nesting.handler) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(*(request(i) for i in range(count)))
                wait_until(lambda: len(server.timeouts_ms) == count)
                peer.reset()
            ends = {type(nesting.next_end()) for _ in range(count)}
            wait_until(lambda: front.statistics().running == 0)
    assert ends == {HandlerCanceledError if kind == "plain" else asyncio.CancelledError}


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_many_nested_calls_of_a_handler_are_canceled(kind: str) -> None:
    """More than one step cancels."""
    count = 3 * MAX_CANCELED_AT_ONCE
    ends: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    with behind() as server:

        def start_and_wait(request: Any, controller: Controller) -> Any:
            pending = [server.stub.Echo.future(echo_request()) for _ in range(count)]
            ends.put([future.exception(WAIT_S) for future in pending])
            return EchoResponse(message="")

        async def start_and_wait_async(request: Any, controller: Controller) -> Any:
            pending = [server.stub.Echo.future(echo_request()) for _ in range(count)]
            try:
                await asyncio.sleep(WAIT_S)
            finally:
                wait = [asyncio.to_thread(future.exception, WAIT_S) for future in pending]
                ends.put(await asyncio.gather(*wait))

        handler = start_and_wait if kind == "plain" else start_and_wait_async
        with SERVING["threads"](handler) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1))
                wait_until(lambda: len(server.timeouts_ms) == count)
                peer.reset()
            assert {type(error) for error in ends.get(timeout=WAIT_S)} == {HandlerCanceledError}
            wait_until(lambda: front.statistics().running == 0)


# --- an EOF ---


@in_each_place
def test_eof_cancels_neither_the_handler_nor_its_nested_calls(place: str, form: str) -> None:
    with behind() as server:
        nesting = Nesting(server, form, timeout=0.3)
        with SERVING[place](nesting.handler) as front, RawPeer(front.endpoint) as peer:
            peer.send(request(1))
            peer.shut_writing()
            error = nesting.next_end()
            assert "Reached timeout=300ms @" in getattr(error, "text", repr(error))
            assert peer.read_answer().error_code == ErrorCode.EINTERNAL


@in_each_loop
def test_handler_sees_an_eof_and_its_answer_is_written(place: str) -> None:
    async def handle(request: Any, controller: Controller) -> Any:
        while not controller.is_canceled:
            await asyncio.sleep(0.001)
        return EchoResponse(message="canceled")

    with SERVING[place](handle) as front, RawPeer(front.endpoint) as peer:
        peer.send(request(1))
        peer.shut_writing()
        assert text_of(peer.read_answer()) == "canceled"


# --- a stop ---


@in_each_loop
def test_handler_that_cleans_up_at_the_end_of_the_grace_is_cancelled_once(place: str) -> None:
    """Its connection is closed then, and the loop of handlers too."""
    entered = threading.Event()
    noted: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def handle(request: Any, controller: Controller) -> Any:
        entered.set()
        try:
            await asyncio.sleep(WAIT_S)
        except asyncio.CancelledError as error:
            noted.put(str(error))
            try:
                await asyncio.sleep(0.1)
                noted.put("has cleaned up")
            except asyncio.CancelledError:
                noted.put("cancelled again")
            raise

    with SERVING[place](handle) as front, RawPeer(front.endpoint) as peer:
        peer.send(request(1))
        assert entered.wait(WAIT_S)
        front.stop(0.01)
        assert noted.get(timeout=WAIT_S) == "the server has stopped"
        assert noted.get(timeout=WAIT_S) == "has cleaned up"


# --- a deadline ---


@in_each_loop
def test_async_handler_is_canceled_at_its_deadline_and_answered(place: str) -> None:
    waiting = Waiting()
    with SERVING[place](waiting) as front, RawPeer(front.endpoint) as peer:
        answer = peer.call(timeout_ms=300)
        assert waiting.next_noted() == "canceled, is_canceled=True"
        assert answer.error_code == ErrorCode.ERPCTIMEDOUT
        assert "the deadline of the request passed while its handler ran" in answer.error_text
        assert front.statistics().running == 0
        assert front.statistics().expired == 0
    assert waiting.noted.empty()


@in_each_loop
def test_answer_of_a_handler_that_swallows_its_cancel_is_written(place: str) -> None:
    waiting = Waiting(swallows=1)
    with SERVING[place](waiting) as front, RawPeer(front.endpoint) as peer:
        peer.send(request(1, timeout_ms=50))
        assert waiting.next_noted() == "swallowed, is_canceled=True"
        waiting.go_on.set()
        assert text_of(peer.read_answer()) == "done"


@in_each_loop
def test_handler_that_is_not_to_be_canceled_goes_on_after_its_deadline(place: str) -> None:
    waiting = Waiting()
    with SERVING[place](waiting, cancel_handlers=False) as front, RawPeer(front.endpoint) as peer:
        peer.send(request(1, timeout_ms=20))
        waiting.wait_entered()
        threading.Event().wait(0.1)
        waiting.go_on.set()
        assert text_of(peer.read_answer()) == "done"
        assert waiting.next_noted() == "done, is_canceled=True"


@in_each_loop
def test_handlers_that_end_in_time_are_not_canceled(place: str) -> None:
    """Many, which wait for a moment each."""

    async def handle(request: Any, controller: Controller) -> Any:
        await asyncio.sleep(0.001)
        return EchoResponse(message=request.message)

    with SERVING[place](handle) as front, RawPeer(front.endpoint) as peer:
        peer.send(*(request(i, timeout_ms=20_000 + i % 7) for i in range(500)))
        answers = peer.read_answers(500)
    assert {text_of(answer) for answer in answers.values()} == {"hello"}


@in_each_loop
def test_message_of_the_cancelled_error_names_the_cause(place: str) -> None:
    entered = threading.Semaphore(0)
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def handle(request: Any, controller: Controller) -> Any:
        entered.release()
        try:
            await asyncio.sleep(WAIT_S)
        except asyncio.CancelledError as error:
            messages.put(str(error))
            raise

    with SERVING[place](handle) as front:
        with RawPeer(front.endpoint) as peer:
            peer.call(timeout_ms=30)
            assert messages.get(timeout=WAIT_S) == "the deadline of the request has passed"
            peer.send(request(2))
            for _ in range(2):
                assert entered.acquire(timeout=WAIT_S)
            peer.reset()
        assert messages.get(timeout=WAIT_S).startswith("its connection failed: ")
