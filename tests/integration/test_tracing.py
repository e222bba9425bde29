"""Spans of real calls over real connections, in all forms of calling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc import tracing
from pybrpc.errors import ErrorCode
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import Span
from tests.fakes.spans import assert_in_order, fresh_rpcz, sides, stored
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, request
from tests.peers.scripted_server import ScriptedServer, closed_port
from tests.peers.scripted_server import echo as answer_echo
from tests.peers.serving import Gate, async_echo, echo, make_server, serving, start
from tests.peers.traced_calls import FORMS, blocking

METHOD = f"{ECHO.full_name}.Echo"


@pytest.fixture
def unswitched() -> Iterator[Rpcz]:
    """Rpcz as it is at first: off."""
    with fresh_rpcz(enabled=False) as made:
        yield made


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
