"""Spans of real calls over real connections, in all forms of calling."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc import tracing
from pybrpc.errors import ErrorCode
from pybrpc.protocols.detect import HULU_PBRPC, SOFA_PBRPC
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import MAX_ANNOTATIONS, MAX_CLIENT_SPANS, Span
from tests.fakes.spans import fresh_rpcz
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, request
from tests.peers.scripted_server import ScriptedServer, closed_port
from tests.peers.scripted_server import echo as answer_echo
from tests.peers.serving import Gate, as_async, async_echo, echo, make_server, serving, start

METHOD = f"{ECHO.full_name}.Echo"


@pytest.fixture
def rpcz() -> Iterator[Rpcz]:
    with fresh_rpcz() as made:
        yield made


@pytest.fixture
def unswitched() -> Iterator[Rpcz]:
    """Rpcz as it is at first: off."""
    with fresh_rpcz(enabled=False) as made:
        yield made


def stored(rpcz: Rpcz, count: int) -> list[Span]:
    """All spans, once there are so many: a server's span ends after its response has left."""
    wait_until(lambda: len(rpcz.store) >= count)
    spans = rpcz.store.newest(tracing.SpanQuery(max_scan=10_000))
    assert len(spans) == count
    return spans


def sides(spans: list[Span]) -> tuple[Span, Span]:
    """The client's span and the server's of one call."""
    (client,) = [span for span in spans if not span.is_server]
    (server,) = [span for span in spans if span.is_server]
    return client, server


def assert_in_order(*times_us: int) -> None:
    assert list(times_us) == sorted(times_us)
    assert times_us[0] > 0


# --- forms of calling ---


def blocking(address: str, controller: Controller) -> None:
    with pybrpc.Channel(address) as channel:
        pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)


def future(address: str, controller: Controller) -> None:
    with pybrpc.Channel(address) as channel:
        pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), controller=controller).result()


def aio(address: str, controller: Controller) -> None:
    async def call() -> None:
        async with pybrpc.aio.Channel(address) as channel:
            await pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)

    asyncio.run(call())


def aio_shared(address: str, controller: Controller) -> None:
    async def call() -> None:
        async with pybrpc.aio.Channel(address, share_with_threads=True) as channel:
            await pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)

    asyncio.run(call())


FORMS = (blocking, future, aio, aio_shared)


@pytest.mark.parametrize("handler", [echo, async_echo])
@pytest.mark.parametrize("form", FORMS)
def test_call_has_a_span_on_each_side_with_the_same_ids(
    rpcz: Rpcz, form: Callable[[str, Controller], None], handler: Any
) -> None:
    with make_server(handler) as server:
        address = str(start(server))
        form(address, Controller(log_id=2**63 + 5))
        client, served = sides(stored(rpcz, 2))
    assert (client.trace_id, client.span_id) == (served.trace_id, served.span_id)
    assert client.parent_span_id == served.parent_span_id == 0
    assert [span.method for span in (client, served)] == [METHOD, METHOD]
    assert [span.log_id for span in (client, served)] == [2**63 + 5] * 2
    assert [span.protocol for span in (client, served)] == ["baidu_std"] * 2
    assert [span.error_code for span in (client, served)] == [0, 0]
    assert str(client.remote_side) == address
    assert client.request_size == served.request_size == len(echo_request().SerializeToString())
    assert served.response_size > client.response_size > 0
    assert_in_order(client.start_send_us, client.sent_us, client.received_us)
    assert_in_order(
        served.received_us,
        served.start_parse_us,
        served.start_callback_us,
        served.start_send_us,
        served.sent_us,
    )


def test_off_calls_get_no_spans_and_requests_carry_no_ids(unswitched: Rpcz) -> None:
    with ScriptedServer(answer_echo) as server:
        blocking(server.address, Controller())
        (read,) = server.requests
    assert (read.trace_id, read.span_id, read.parent_span_id) == (None, None, None)
    with make_server() as real:
        blocking(str(start(real)), Controller())
    assert len(unswitched.store) == 0
    assert unswitched.statistics().in_flight == 0


def test_request_as_cpp_sends_it_is_traced_with_the_ids_of_the_caller(unswitched: Rpcz) -> None:
    with serving() as peer:
        peer.send(request(1, trace_id=7, span_id=-8, parent_span_id=9))
        assert peer.read_answer().error_code == 0
        (span,) = stored(unswitched, 1)
    assert (span.trace_id, span.span_id, span.parent_span_id) == (7, 2**64 - 8, 9)
    assert unswitched.store.find(7, 2**64 - 8) is span


def test_traceparent_in_the_user_fields_is_followed_and_goes_on(unswitched: Rpcz) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked: list[dict[str, str]] = []

    def front(message: Any, controller: Controller) -> Any:
        return stub.Echo(message)

    def behind(message: Any, controller: Controller) -> Any:
        asked.append(dict(controller.request_user_fields))
        return echo(message, controller)

    with make_server(behind) as second, pybrpc.Channel(str(start(second))) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        with serving(front) as peer:
            peer.send(request(1, user_fields={"traceparent": parent}))
            assert peer.read_answer().error_code == 0
            spans = stored(unswitched, 2)
    assert {span.trace_id_high for span in spans} == {0x0AF7651916CD43DD}
    assert {span.trace_id for span in spans} == {0x8448EB211C80319C}
    ((nested,),) = [span.client_spans for span in spans if span.client_spans]
    assert asked == [{"traceparent": tracing_parent(nested)}]


def tracing_parent(span: Span) -> str:
    return f"00-{span.trace_id_high:016x}{span.trace_id:016x}-{span.span_id:016x}-01"


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


def test_storm_makes_no_more_spans_than_the_limit(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 20
    rpcz.follows_upstream = True
    calls = 400
    with serving() as peer:
        for number in range(calls):
            peer.send(request(number + 1, trace_id=5 if number % 2 else None))
            assert peer.read_answer().error_code == 0
        wait_until(lambda: rpcz.statistics().in_flight == 0)
    spans = rpcz.store.newest(tracing.SpanQuery(max_scan=10_000))
    first, last = min(span.start_us for span in spans), max(span.start_us for span in spans)
    assert 2 <= len(spans) <= 20 * (last - first) / 1e6 + 6
    assert len(spans) < calls


def test_many_calls_keep_the_memory_within_the_limit(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 1_000_000
    rpcz.max_bytes = 20_000
    with make_server() as server, pybrpc.Channel(str(start(server))) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for _ in range(100):
            stub.Echo(echo_request())
        wait_until(lambda: rpcz.statistics().in_flight == 0)
        statistics = rpcz.store.statistics()
    assert statistics.size_bytes <= 20_000
    assert statistics.spans + statistics.evicted == 200


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


def test_failed_call_has_its_code_on_both_sides(rpcz: Rpcz) -> None:
    def fail(message: Any, controller: Controller) -> Any:
        raise pybrpc.RpcError("no such thing: secret", code=ErrorCode.EREQUEST)

    with make_server(fail) as server:
        with pytest.raises(pybrpc.RpcError):
            blocking(str(start(server)), Controller())
        client, served = sides(stored(rpcz, 2))
    assert [span.error_code for span in (client, served)] == [ErrorCode.EREQUEST] * 2
    assert [note.text for note in client.annotations] == ["an attempt has failed: EREQUEST"]
    assert_in_order(served.start_callback_us, served.start_send_us, served.sent_us)


def test_handler_that_raises_anything_has_a_span(rpcz: Rpcz) -> None:
    def fail(message: Any, controller: Controller) -> Any:
        raise SystemExit(5)

    with serving(fail) as peer:
        peer.send(request(1))
        code = peer.read_answer().error_code
        (span,) = stored(rpcz, 1)
    assert span.error_code == code != 0


def test_rejected_request_has_a_span(rpcz: Rpcz) -> None:
    with serving() as peer:
        peer.send(request(1, method="Unknown" * 100, trace_id=5, span_id=6))
        assert peer.read_answer().error_code == ErrorCode.ENOMETHOD
        (span,) = stored(rpcz, 1)
    assert (span.trace_id, span.error_code) == (5, ErrorCode.ENOMETHOD)
    assert len(span.method) < 300
    assert span.start_callback_us == 0


def test_call_that_reaches_no_server_has_a_span(rpcz: Rpcz) -> None:
    with closed_port() as address, pytest.raises(pybrpc.RpcError):
        blocking(address, Controller())
    wait_until(lambda: rpcz.statistics().in_flight == 0)
    (span,) = stored(rpcz, 1)
    assert span.error_code != 0
    assert str(span.remote_side) == address
    assert span.annotations


def test_call_whose_client_has_gone_before_its_turn_has_a_span_without_response(
    rpcz: Rpcz,
) -> None:
    gate = Gate()
    with make_server(gate, max_workers=1) as server:
        with RawPeer(start(server)) as peer:
            peer.send(request(1), request(2))
            gate.wait_entered()
            wait_until(lambda: server.statistics().requests == 2)
            peer.reset()
        (span,) = stored(rpcz, 1)
        gate.open()
        stored(rpcz, 2)
    assert (span.error_code, span.sent_us, span.start_callback_us) == (
        ErrorCode.EFAILEDSOCKET,
        0,
        0,
    )
    assert span.latency_us > 0


@pytest.mark.parametrize("protocol", [HULU_PBRPC, SOFA_PBRPC])
def test_other_protocols_carry_what_they_have_a_place_for(rpcz: Rpcz, protocol: Any) -> None:
    with make_server() as server:
        address = str(start(server))
        with pybrpc.Channel(address, protocol=protocol.name) as channel:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        client, served = sides(stored(rpcz, 2))
    assert client.protocol == served.protocol == protocol.name
    assert (client.trace_id == served.trace_id) == (protocol is HULU_PBRPC)


def test_request_that_waits_for_its_credential_carries_the_ids(rpcz: Rpcz) -> None:
    class Secret:
        def generate_credential(self) -> bytes:
            return b"very-secret"

        def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
            return pybrpc.AuthContext(user="someone")

    with Server(auth=Secret()) as server:
        server.add_service(ECHO, make_echo())
        with pybrpc.Channel(str(start(server)), auth=Secret()) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request())
            client, served = sides(stored(rpcz, 2))
    assert client.span_id == served.span_id
    for span in (client, served):
        fields = [repr(getattr(span, name)) for name in Span.__slots__ if name[0] != "_"]
        assert "secret" not in " ".join([*fields, repr(span)])


def make_echo() -> Any:
    class Echo:
        def Echo(self, message: Any, controller: Controller) -> Any:
            return echo(message, controller)

        Stream = Echo

    return Echo()


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
