"""Mutants of streams: each breaks one rule, and names the scenario that must notice it."""

from __future__ import annotations

import dataclasses
from typing import Any

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.streams.core import StreamCore
from pybrpc.streams.gathered_frames import GatheredFrames
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.send_queue import SendQueue
from pybrpc.streams.table import StreamTable
from tests.schedules.streams import Mutation

_end: Any = StreamCore._end
_try_send: Any = StreamCore.try_send
_begin_gathered: Any = SendQueue.begin_gathered


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    scenario: str
    mutations: tuple[Mutation, ...]


def sends_past_those_that_wait(core: Any, message: Any) -> bool:
    queue = core.table.queue
    with queue.lock:
        if core.is_closing or core.has_ended:
            raise core.send_error()
        if not core.is_open:
            return bool(core._queue_before_open(message))
        if not core.has_window():
            return False
        frames = IOBuf()
        core._append(frames, message)
        marked = queue.note(len(frames))
    queue.write(frames, marked)
    return True


def forgets_a_stream_that_has_more(
    queue: Any, stream: Any, data: IOBuf, marked: int, done: Outgoing | None
) -> None:
    queue.write(data, marked)
    stream.is_served = False
    if done is not None:
        stream.on_done(done)


def tells_nobody_what_was_written(queue: Any, marked: int, error: RpcError | None) -> None:
    with queue.lock:
        queue.unwritten -= marked


def counts_what_was_written_twice(queue: Any, marked: int, error: RpcError | None) -> None:
    with queue.lock:
        queue.unwritten -= 2 * marked
    queue.serve()


def withdraws_what_is_over(core: Any, outgoing: Outgoing) -> bool:
    if outgoing in core.outgoing:
        core.outgoing.remove(outgoing)
    return True


def withdraws_for_no_other(core: Any, outgoing: Outgoing) -> bool:
    with core.table.queue.lock:
        if outgoing.is_over or outgoing not in core.outgoing:
            return False
        core.outgoing.remove(outgoing)
        outgoing.is_over = True
    return True


def counts_feedback_when_it_is_over(core: Any, consumed: int) -> None:
    queue = core.table.queue
    with queue.lock:
        consumed = min(consumed, core.produced)
        if consumed <= core.remote_consumed:
            return
        core.queue.unconsumed -= consumed - core.remote_consumed
        core.remote_consumed = consumed


def hears_feedback_and_sends_nothing(core: Any, consumed: int) -> None:
    queue = core.table.queue
    with queue.lock:
        if core.is_over:
            return
        core.queue.unconsumed -= consumed - core.remote_consumed
        core.remote_consumed = consumed


def lets_them_wait_for_the_consumer(core: Any, error: Any, **how: Any) -> None:
    core.consumed_waits = []
    _end(core, error, **how)


def lets_senders_wait(core: Any, left: Any) -> None:
    for outgoing in left:
        outgoing.is_over = True


def ends_waits_of_senders_twice(core: Any, left: Any) -> None:
    for outgoing in left:
        outgoing.error = core.send_error()
        outgoing.is_over = True
        outgoing.wait.end()
        outgoing.wait.end()


def opens_without_looking_whether_it_is_over(core: Any) -> None:
    queue = core.table.queue
    with queue.lock:
        core.is_open = True
        if core.has_sendable():
            queue.make_ready(core)
    queue.serve()


def looks_before_it_fails(core: Any, error: RpcError) -> None:
    _end(core, error, drops_unread=True, wants_rst=core.is_open)


def opens_and_sends_nothing(core: Any) -> None:
    with core.table.queue.lock:
        core.is_open = True


def forgets_without_a_release(table: Any, core: Any) -> None:
    table.drop(core)


def makes_without_looking_again(table: Any, options: Any, stream_id: int | None = None) -> Any:
    if table.end_error is not None:
        raise table.end_error.copy()
    core = StreamCore(table, 7 + len(table.streams), options)
    table._connection.hold(core)
    table.streams[core.id] = core
    table.budget.enter(core)
    return core


def waits_without_looking(core: Any, wait: Any) -> bool:
    is_there = bool(core.unread or core.has_ended)
    if is_there:
        return False
    with core.table.queue.lock:
        core._received_waits.append(wait)
    return True


def lets_all_join(gathered: Any, joins_after: int) -> bool:
    return not gathered.is_taken


def forgets_what_may_be_ahead(queue: Any, gathered: Any) -> int:
    if gathered is not None and gathered.number == queue.begun:
        queue.gathered = gathered
    return 0


def forgets_what_another_thread_has_written(core: Any, message: Any) -> bool:
    core.joins_after = core.writing = 0
    return bool(_try_send(core, message))


def lets_join_before_it_is_queued(queue: Any, frames: IOBuf, marked: int) -> Any:
    gathered = _begin_gathered(queue, frames, marked)
    if gathered is not None:
        queue.gathered = gathered
    return gathered


def _mutant(function: Any, owner: type, name: str, scenario: str) -> Mutant:
    return Mutant(function.__name__, scenario, ((owner, name, function),))


_WINDOW, _ROOM = "two_senders_and_a_window", "two_streams_and_little_room"
_SHARED = "two_threads_of_a_stream_whose_messages_are_gathered"
_GATHERED = "streams_whose_messages_are_gathered"
_OPENS = "stream_that_opens_while_messages_are_gathered"

MUTANTS = (
    _mutant(sends_past_those_that_wait, StreamCore, "try_send", "opening_and_sending"),
    _mutant(forgets_a_stream_that_has_more, SendQueue, "_give", _ROOM),
    _mutant(tells_nobody_what_was_written, SendQueue, "_on_written", _ROOM),
    _mutant(counts_what_was_written_twice, SendQueue, "_on_written", _ROOM),
    _mutant(withdraws_what_is_over, StreamCore, "withdraw", "a_sender_gives_up"),
    _mutant(withdraws_for_no_other, StreamCore, "withdraw", "give_up_while_waited_for"),
    _mutant(counts_feedback_when_it_is_over, StreamCore, "on_feedback", "feedback_and_reset"),
    _mutant(hears_feedback_and_sends_nothing, StreamCore, "on_feedback", _WINDOW),
    _mutant(lets_them_wait_for_the_consumer, StreamCore, "_end", "wait_for_the_consumer_and_end"),
    _mutant(lets_senders_wait, StreamCore, "_end_outgoing", "sender_and_reset"),
    _mutant(ends_waits_of_senders_twice, StreamCore, "_end_outgoing", "sender_and_reset"),
    _mutant(opens_without_looking_whether_it_is_over, StreamCore, "open", "opening_and_failing"),
    _mutant(looks_before_it_fails, StreamCore, "fail", "opening_and_failing"),
    _mutant(opens_and_sends_nothing, StreamCore, "open", "opening_and_sending"),
    _mutant(forgets_without_a_release, StreamTable, "forget", "sender_and_close"),
    _mutant(makes_without_looking_again, StreamTable, "new_stream", "making_and_failing"),
    _mutant(lets_all_join, GatheredFrames, "may_join", _OPENS),
    _mutant(forgets_what_may_be_ahead, SendQueue, "after_write", _SHARED),
    _mutant(forgets_what_another_thread_has_written, StreamCore, "try_send", _SHARED),
    _mutant(lets_join_before_it_is_queued, SendQueue, "begin_gathered", _GATHERED),
    _mutant(
        waits_without_looking, StreamCore, "begin_receive_wait", "receiver_and_close_of_the_peer"
    ),
)
