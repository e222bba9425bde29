"""Spans of handlers: the calls they make, their annotations, and the ids in their logs."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc import tracing
from pybrpc.rpc.controller import Controller
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import MAX_ANNOTATIONS, MAX_CLIENT_SPANS, Span
from tests.fakes.spans import assert_in_order, sides, stored
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import request
from tests.peers.serving import as_async, async_echo, echo, make_server, serving, start
from tests.peers.traced_calls import blocking


def nested_blocking(address: str) -> Any:
    def handle(message: Any, controller: Controller) -> Any:
        with pybrpc.Channel(address) as channel:
            return pybrpc.Stub(ECHO, channel).Echo(message)

    return handle


def nested_in_a_thread(address: str) -> Any:
    def handle(message: Any, controller: Controller) -> Any:
        answers: list[Any] = []
        context = contextvars.copy_context()

        def call() -> None:
            with pybrpc.Channel(address) as channel:
                answers.append(context.run(pybrpc.Stub(ECHO, channel).Echo, message))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return answers[0]

    return handle


def nested_aio(address: str) -> Any:
    async def handle(message: Any, controller: Controller) -> Any:
        async with pybrpc.aio.Channel(address) as channel:
            return await pybrpc.Stub(ECHO, channel).Echo(message)

    return handle


def nested_in_a_task(address: str) -> Any:
    async def handle(message: Any, controller: Controller) -> Any:
        async with pybrpc.aio.Channel(address) as channel, asyncio.TaskGroup() as group:
            return await group.create_task(pybrpc.Stub(ECHO, channel).Echo(message))

    return handle


def nested_to_thread(address: str) -> Any:
    async def handle(message: Any, controller: Controller) -> Any:
        return await asyncio.to_thread(nested_blocking(address), message, controller)

    return handle


NESTED = (nested_blocking, nested_in_a_thread, nested_aio, nested_in_a_task, nested_to_thread)


@pytest.mark.parametrize("nested", NESTED)
def test_calls_through_two_servers_are_one_trace(rpcz: Rpcz, nested: Callable[[str], Any]) -> None:
    with make_server() as behind:
        behind_address = str(start(behind))
        with make_server(nested(behind_address)) as front:
            blocking(str(start(front)), Controller())
            spans = stored(rpcz, 3)
    assert len({span.trace_id for span in spans}) == 1
    (client,) = [span for span in spans if not span.is_server]
    (outer,) = [span for span in spans if span.is_server and span.client_spans]
    (inner,) = [span for span in spans if span.is_server and not span.client_spans]
    (between,) = outer.client_spans
    assert outer.span_id == client.span_id
    assert between.parent_span_id == outer.span_id
    assert (inner.span_id, inner.parent_span_id) == (between.span_id, outer.span_id)
    assert str(between.remote_side) == behind_address
    assert rpcz.store.trace(client.trace_id) == sorted(spans, key=lambda span: span.start_us)


def test_handlers_do_not_see_the_span_of_another_call(rpcz: Rpcz) -> None:
    seen: list[Span | None] = []

    def handle(message: Any, controller: Controller) -> Any:
        seen.append(tracing.current_span())
        return echo(message, controller)

    with make_server(handle, as_async(handle)) as server:
        with pybrpc.Channel(str(start(server))) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(5):
                stub.Echo(echo_request())
            rpcz.enabled = False
            stub.Echo(echo_request())
            wait_until(lambda: rpcz.statistics().in_flight == 0)
    assert len({id(span) for span in seen[:5]}) == 5
    assert None not in seen[:5]
    assert seen[5] is None
    assert tracing.current_span() is None


@pytest.mark.parametrize("wrap", [lambda handler: handler, as_async])
def test_handler_annotates_its_span(rpcz: Rpcz, wrap: Any) -> None:
    noted: list[bool] = []

    def handle(message: Any, controller: Controller) -> Any:
        noted.extend(tracing.annotate(f"step {number}") for number in range(MAX_ANNOTATIONS + 2))
        return echo(message, controller)

    with make_server(wrap(handle)) as server:
        blocking(str(start(server)), Controller())
        _, served = sides(stored(rpcz, 2))
    assert noted == [True] * MAX_ANNOTATIONS + [False, False]
    assert [note.text for note in served.annotations][:2] == ["step 0", "step 1"]
    assert served.dropped_annotations == 2
    assert_in_order(served.start_callback_us, served.annotations[0].time_us, served.start_send_us)


def test_call_of_a_background_task_joins_the_trace_after_the_handler_has_ended(rpcz: Rpcz) -> None:
    tasks: list[asyncio.Task[Any]] = []
    noted: list[bool] = []

    with make_server() as behind:
        address = str(start(behind))

        async def later() -> None:
            await asyncio.to_thread(wait_until, lambda: len(rpcz.store) >= 2)
            noted.append(tracing.annotate("late"))
            async with pybrpc.aio.Channel(address) as channel:
                await pybrpc.Stub(ECHO, channel).Echo(echo_request())

        async def handle(message: Any, controller: Controller) -> Any:
            with pybrpc.detached():
                tasks.append(asyncio.create_task(later()))
            return await async_echo(message, controller)

        with make_server(handle) as front:
            blocking(str(start(front)), Controller())
            spans = stored(rpcz, 4)
    assert len({span.trace_id for span in spans}) == 1
    assert [len(span.client_spans) for span in spans] == [0] * 4
    assert noted == [False]


def test_handler_that_makes_many_calls_keeps_a_limited_number_of_spans(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 100_000
    with make_server() as behind, pybrpc.Channel(str(start(behind))) as channel:
        stub = pybrpc.Stub(ECHO, channel)

        def handle(message: Any, controller: Controller) -> Any:
            for _ in range(MAX_CLIENT_SPANS + 10):
                stub.Echo(message)
            return echo(message, controller)

        with serving(handle) as peer:
            rpcz.enabled = False
            peer.send(request(1, trace_id=5, span_id=6))
            assert peer.read_answer().error_code == 0
            wait_until(lambda: rpcz.store.find(5, 6) is not None)
    outer = rpcz.store.find(5, 6)
    assert outer is not None
    assert len(outer.client_spans) == MAX_CLIENT_SPANS


def test_logs_of_handlers_have_the_ids_of_the_call(rpcz: Rpcz) -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.addFilter(tracing.CallIdsFilter())
    handler.setFormatter(logging.Formatter("%(log_id)s %(request_id)s %(trace_id)s"))
    logger = logging.Logger("handlers")
    logger.addHandler(handler)

    def handle(message: Any, controller: Controller) -> Any:
        logger.info("in the handler")
        return echo(message, controller)

    with make_server(handle, as_async(handle)) as server:
        with pybrpc.Channel(str(start(server))) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request(), controller=Controller(log_id=2**64 - 1, request_id="a\nb"))
            rpcz.enabled = False
            stub.Stream(echo_request(), controller=Controller(request_id="c"))
            stub.Echo(echo_request())
        _, served = sides(stored(rpcz, 2))
    assert lines == [f"{2**64 - 1} a\\nb {served.shown_trace_id}", "- c -", "- - -"]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_log_of_a_handler_that_raises_has_the_ids_of_the_call(
    rpcz: Rpcz, is_async: bool
) -> None:
    logged: list[tuple[str, str]] = []

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append((record.__dict__["log_id"], record.__dict__["trace_id"]))

    def handle(message: Any, controller: Controller) -> Any:
        raise ValueError("no")

    records = Records(logging.ERROR)
    records.addFilter(tracing.CallIdsFilter())
    logger = logging.getLogger("pybrpc.server")
    logger.addHandler(records)
    try:
        with make_server(as_async(handle) if is_async else handle) as server:
            with pybrpc.Channel(str(start(server))) as channel:
                with pytest.raises(pybrpc.RpcError):
                    pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=Controller(log_id=7))
            _, served = sides(stored(rpcz, 2))
    finally:
        logger.removeHandler(records)
    assert logged == [("7", served.shown_trace_id)]
