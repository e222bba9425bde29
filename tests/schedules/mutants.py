"""Mutants of the write path: each breaks one rule, and names the scenario that must catch it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.transport.connecting import connecting as connecting_module
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing import pending_writes as pending_writes_module
from pybrpc.transport.writing import socket_core as socket_core_module
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.outcomes import Outcome
from pybrpc.transport.writing.pending_writes import PendingWrites
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import _PHASES, Progress, WriteRequest
from pybrpc.transport.writing.writer import SocketWriter
from tests.schedules.traced_write_path import Mutation

_settle_written = PendingWrites.settle_written
_take = WriteQueue.take
# Compiled code has none of its own; there are no mutants of it.
_set_up: Any = getattr(PendingWrites, "_set_up", None)


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    guarantee: int
    scenario: str
    mutations: tuple[Mutation, ...]


def links_before_the_exchange(queue: WriteQueue, request: WriteRequest) -> bool:
    older = queue._head.get()
    request.next = older
    queue._head.get_and_set(request)
    if older is None:
        queue._mark = request
    return older is None


def takes_newest_first(queue: WriteQueue) -> list[WriteRequest] | None:
    taken = _take(queue)
    return taken and taken[::-1]


_scratch: list[Any] = [None]


def keeps_the_older_one_where_all_see_it(queue: WriteQueue, request: WriteRequest) -> bool:
    _scratch[0] = queue._head.get_and_set(request)
    queue._head.get()
    if _scratch[0] is None:
        request.next = None
        queue._mark = request
        return True
    request.next = _scratch[0]
    return False


def forgets_to_look_back(writer: SocketWriter, socket: SocketCore) -> None:
    if not socket.is_connected:
        socket.start_connecting()
    elif writer.pending.requests:
        writer._continue(socket)
    else:
        writer._queue.release()


def writes_on_in_the_producer(writer: SocketWriter, socket: SocketCore) -> None:
    if not socket.is_connected:
        socket.start_connecting()
    else:
        while writer.pending.requests or not writer._queue.release():
            writer.pending.requests.extend(writer._queue.take() or ())
            writer._write_batch(socket)


def spins_until_it_is_linked(writer: SocketWriter) -> bool:
    while (taken := writer._queue.take()) is None:
        pass
    writer.pending.requests.extend(taken)
    return True


def calls_it_at_once(dispatcher: EventDispatcher, outcome: Outcome, error: RpcError | None) -> None:
    outcome(error)


def runs_what_was_refused_with_the_right(writer: SocketWriter) -> bool:
    refused, writer.pending.refused = writer.pending.refused, None
    for work in refused or ():
        work.run()
    return writer._queue.release()


def never_comes_back(writer: SocketWriter, socket: SocketCore) -> bool:
    return not writer._queue.is_cut


def fails_the_rest_in_the_producer(writer: SocketWriter, socket: SocketCore) -> None:
    if socket.error is not None:
        writer._drain(socket)
    else:
        _hand_over_right(writer, socket)


_hand_over_right: Any = getattr(SocketWriter, "_hand_over_right", None)


def settles_what_is_left(
    pending: PendingWrites, socket: SocketCore, batch: list[WriteRequest]
) -> bool:
    for request in batch:
        request.data = IOBuf()
    return _settle_written(pending, socket, batch)


def uncounts_as_it_goes(
    pending: PendingWrites, socket: SocketCore, batch: list[WriteRequest]
) -> bool:
    for request in batch:
        if request.data:
            pending._backlog.remove(request.size_bytes - len(request.data), 0)
    return _settle_written(pending, socket, batch)


def tells_again(pending: PendingWrites, socket: SocketCore, batch: list[WriteRequest]) -> bool:
    told = [request.on_outcome for request in batch if not request.data]
    has_settled = _settle_written(pending, socket, batch)
    for on_outcome in told[1:]:
        if on_outcome is not None:
            pending._report(socket, on_outcome, None)
    return has_settled


def counts_after_the_push(
    socket: Socket, request: WriteRequest, ignore_eovercrowded: bool = False
) -> None:
    socket.raise_if_failed()
    socket._writer.write(socket, request)
    socket.backlog.try_add(request.size_bytes, ignore_eovercrowded)


def lets_everybody_in(backlog: Backlog, size: int, ignore_limit: bool) -> bool:
    backlog._counted.increment_and_get(size + (1 << 40))
    return True


def forgets_who_waits(backlog: Backlog, counted: int) -> None:
    backlog.is_overcrowded = False


def leaves_half_a_message(
    pending: PendingWrites, socket: SocketCore, request: WriteRequest
) -> bool:
    message, request.message = request.message, None
    assert message is not None
    with contextlib.suppress(ValueError):
        message.append_to(request.data)
    return True


def fails_all_for_a_bad_message(
    pending: PendingWrites, socket: SocketCore, request: WriteRequest
) -> bool:
    if _set_up(pending, socket, request):
        return True
    while pending.requests:
        other = pending.requests.pop()
        if other is not request:
            error = make_rpc_error(ErrorCode.EINVAL, "one is bad", phase=Phase.QUEUED)
            pending.settle_failed(socket, other, error)
    pending.requests.append(request)
    return False


def drops_what_is_refused(pending: PendingWrites, socket: SocketCore) -> None:
    while pending.requests:
        pending._backlog.remove(pending.requests.pop().size_bytes, 1)


def writes_after_the_end(pending: PendingWrites, socket: SocketCore) -> list[WriteRequest]:
    for request in pending.requests:
        request.setup()
    return list(pending.requests)


def is_not_helped(socket: SocketCore, error: RpcError) -> bool:
    if not socket._failure.compare_and_set(None, error):
        return False
    socket.error = error
    return True


def closes_at_once(socket: SocketCore, error: RpcError) -> bool:
    is_first = _note_failure(socket, error)
    if is_first:
        socket.close_descriptor()
    return is_first


_note_failure: Any = getattr(SocketCore, "_note_failure", None)


def tells_the_user_at_once(dispatcher: EventDispatcher, function: Any) -> None:
    function()


def drains_as_queued(writer: SocketWriter, socket: SocketCore) -> None:
    for request in writer.pending.requests:
        request.progress = Progress.QUEUED
        request.write_started = False
    _drain(writer, socket)


_drain: Any = getattr(SocketWriter, "_drain", None)


def drains_one_step_only(writer: SocketWriter, socket: SocketCore) -> bool:
    """Leave what is queued behind the part of one step."""
    return socket.error is not None or _post_keep_write(writer, socket)


_post_keep_write: Any = getattr(SocketWriter, "_post_keep_write", None)


def drops_what_was_queued(writer: SocketWriter, socket: SocketCore) -> None:
    """Drop the requests that were queued while the socket had no error."""
    for request in writer.pending.requests:
        if request is not writer._close_request:
            request.on_outcome = None
    _drain(writer, socket)


def has_no_second_look(dispatcher: EventDispatcher, function: Any) -> None:
    """Skip the producer's second check for a socket that failed before it connects."""


def closes_beside_the_last_turn(dispatcher: EventDispatcher, function: Any) -> None:
    try:
        dispatcher.post(function)
    except DispatcherClosedError:
        function()


def fails_what_may_be_stopped(dispatcher: EventDispatcher, function: Any) -> None:
    connecting, (socket,) = function.func.__self__, function.args
    try:
        dispatcher.post(function)
    except DispatcherClosedError:
        connecting._fail(socket, socket.error)


def is_said_too_early(request: WriteRequest) -> Phase:
    return _PHASES[request.progress]


def drops_what_has_begun(request: WriteRequest) -> bool:
    return request.is_canceled


def _mutant(guarantee: int, scenario: str, function: Any, *places: tuple[object, str]) -> Mutant:
    mutations = tuple((place, name, function) for place, name in places)
    return Mutant(getattr(function, "__name__", "property"), guarantee, scenario, mutations)


TWO = "two writers"
FAILING = "two writers and a failure"
PUSH = (WriteQueue, "push")
PASS_ON = (SocketWriter, "_hand_over_right")
SETTLE = (PendingWrites, "settle_written")
SET_UP = (PendingWrites, "_set_up")

MUTANTS = [
    _mutant(1, TWO, links_before_the_exchange, PUSH),
    _mutant(1, TWO, takes_newest_first, (WriteQueue, "take")),
    _mutant(2, TWO, tells_again, SETTLE),
    _mutant(2, TWO, settles_what_is_left, SETTLE),
    _mutant(2, "a layer", settles_what_is_left, SETTLE),
    _mutant(3, TWO, writes_on_in_the_producer, PASS_ON),
    _mutant(3, FAILING, fails_the_rest_in_the_producer, PASS_ON),
    _mutant(3, FAILING, tells_the_user_at_once, (socket_core_module, "run_cleanup")),
    _mutant(3, TWO, spins_until_it_is_linked, (SocketWriter, "_take_more")),
    _mutant(4, "a signal handler writes", keeps_the_older_one_where_all_see_it, PUSH),
    _mutant(5, TWO, forgets_to_look_back, PASS_ON),
    _mutant(5, TWO, never_comes_back, (SocketWriter, "_retry_take")),
    _mutant(5, FAILING, drains_one_step_only, (SocketWriter, "_post_keep_write")),
    _mutant(6, TWO, calls_it_at_once, (pending_writes_module, "report")),
    _mutant(
        6,
        "the dispatcher closes",
        runs_what_was_refused_with_the_right,
        (SocketWriter, "_release"),
    ),
    _mutant(7, TWO, counts_after_the_push, (Socket, "write_request")),
    _mutant(7, TWO, uncounts_as_it_goes, SETTLE),
    _mutant(7, "a crowd", lets_everybody_in, (Backlog, "try_add")),
    _mutant(7, "a crowd", forgets_who_waits, (Backlog, "_clear_if_low")),
    _mutant(8, "a bad message", leaves_half_a_message, SET_UP),
    _mutant(8, "a bad message", fails_all_for_a_bad_message, SET_UP),
    _mutant(9, "writing is shut down", drops_what_is_refused, (PendingWrites, "_refuse_some")),
    _mutant(9, "writing is shut down", writes_after_the_end, (PendingWrites, "next_batch")),
    _mutant(10, "connecting, refused, and a failure", is_not_helped, (SocketCore, "_note_failure")),
    _mutant(10, FAILING, closes_at_once, (SocketCore, "_note_failure")),
    _mutant(10, FAILING, drains_as_queued, (SocketWriter, "_drain")),
    _mutant(10, FAILING, drops_what_was_queued, (SocketWriter, "_drain")),
    _mutant(
        10,
        "connecting to nobody, and a failure",
        has_no_second_look,
        (connecting_module, "run_cleanup"),
    ),
    _mutant(10, "the last turn", closes_beside_the_last_turn, (socket_core_module, "run_cleanup")),
    _mutant(
        10,
        "connecting, the dispatcher closes",
        fails_what_may_be_stopped,
        (connecting_module, "run_cleanup"),
    ),
    Mutant(
        "is_said_too_early",
        10,
        "a message is given up",
        ((WriteRequest, "phase", property(is_said_too_early)),),
    ),
    Mutant(
        "drops_what_has_begun",
        1,
        "a message is given up",
        ((WriteRequest, "may_be_dropped", property(drops_what_has_begun)),),
    ),
]
