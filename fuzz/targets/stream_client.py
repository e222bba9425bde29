"""A client connection with a call that opens two streams: whatever the server sends, the call
completes once, its streams end, and nothing is left of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import WHOLE, Parameters, pieces_of
from fuzz.targets.client_connection import ECHO, LIMITS, PROTOCOL, OneConnection, WatchedCall
from fuzz.wire import Wire, nothing_raised
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.connections import rpc_connection
from pybrpc.errors import RpcError, make_rpc_error
from pybrpc.protocols.message import RpcResponse, StreamSettings
from pybrpc.protocols.streaming.stream_frame import (
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.opening import StreamBody, StreamOpening
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import default_runtime
from tests.protos import conformance_pb2 as pb

OPTIONS = StreamOptions(
    max_unread_bytes=1000, max_message_size=500, max_buf_size=50, min_buf_size=0
)
OWN, THEIRS = (0, 1), (10, 11)


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, plan = given.one_of(LIMITS), given.number()
    stream = given.rest()
    rpc_connection._correlation_ids = itertools.count(1)
    dispatcher = StepDispatcher()
    budget = default_runtime().stream_budget
    with nothing_raised(dispatcher), Wire(dispatcher) as wire:
        call, opening = _start(OneConnection(wire, dispatcher, limit))
        for piece in pieces_of(stream, plan):
            wire.send(piece)
            for core in opening.cores:
                assert 0 <= core.held_bytes <= OPTIONS.max_unread_bytes
                _send(core)
        wire.end()
    (outcome,) = call.outcomes
    assert isinstance(outcome, RpcError | RpcResponse)
    if isinstance(outcome, RpcError) or not opening.is_open:
        opening.fail(make_rpc_error(1, "the call has failed"))
    for core in opening.cores:
        while core.take() is not None:
            pass
        assert core.is_over
    assert budget.held_bytes == 0
    assert budget._holders == {}


def _send(core: Any) -> None:
    """Send a little, if it can."""
    if core.is_open and not core.has_ended:
        try:
            core.try_send(b"some bytes")
        except RpcError:
            assert not core.is_writable()


def _start(source: OneConnection) -> tuple[WatchedCall, StreamOpening]:
    call = WatchedCall()
    call.set_up(
        source, ECHO, pb.EchoRequest(message="x"), None, CallOptions(max_retry=0), Controller()
    )
    opening = StreamOpening(OPTIONS, len(OWN))
    opening._ids = list(OWN)
    call.body = StreamBody(call.body, opening)
    call.outcomes = []
    call.start()
    source.dispatcher.run_until_idle()
    return call, opening


def seeds() -> Iterator[bytes]:
    settings = StreamSettings(THEIRS[0], True, True, THEIRS[1:])
    answer = bytes(PROTOCOL.pack_response(RpcResponse(1, stream_settings=settings)))
    wrapped = bytes(pack_data(data_meta(OWN[0], THEIRS[0]), answer))
    yield bytes([0, WHOLE]) + wrapped
    yield bytes([0, 5]) + answer
    for own, theirs in zip(OWN, THEIRS, strict=True):
        meta, more = data_meta(own, theirs), data_meta(own, theirs, True)
        messages = bytes(pack_data(meta, b"whole")) + bytes(pack_data(more, b"half"))
        ends = pack_feedback(own, theirs, 5) + pack_close(own, theirs) + pack_rst(own)
        yield bytes([0, 6]) + wrapped + messages + ends
        yield bytes([0, 7]) + messages + wrapped + ends
        yield bytes([0, 8]) + ends + wrapped
    failed = bytes(PROTOCOL.pack_response(RpcResponse(1, 2001, "no")))
    yield bytes([0, 9]) + bytes(pack_data(data_meta(OWN[0], -1), failed))
    for stream in vectors.recorded("server"):
        if b"STRM" in stream:
            yield bytes([0, WHOLE]) + stream


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"STRM", b"PRPC", b"\x20\x01", b"\x42\x06\x08", b"\x18\x03\x20\x01", b"\x18\x01"),
    max_bytes=2500,
)
