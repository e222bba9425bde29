"""Scenarios of streams: what a few threads do at once on one connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import FEEDBACK, RST, pack_feedback
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.testing.step_scheduler import Scenario, StepScheduler
from tests.schedules.streams import Mutation, StreamStage, patched

Play = Callable[[StepScheduler], StreamStage]


def two_senders_and_a_window(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=30)
    (core,) = stage.cores
    stage.open_all()
    stage.run(*(partial(stage.send_some, core, name, 3) for name in (b"a", b"b")))
    stage.check_all_sent()
    return stage


def two_streams_and_little_room(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, 2, max_buf_size=0)
    stage.consumes = False
    stage.open_all()
    first, second = stage.cores
    stage.run(
        partial(stage.send_some, first, b"a", 3),
        partial(stage.send_some, first, b"b", 3),
        partial(stage.send_some, second, b"a", 3),
    )
    stage.check_all_sent()
    return stage


def a_sender_gives_up(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=20)
    (core,) = stage.cores
    stage.open_all()
    stage.run(
        partial(stage.send_some, core, b"a", 3),
        partial(stage.send_some, core, b"b", 3, True),
    )
    stage.check_all_sent()
    return stage


def sender_and_close(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=30)
    (core,) = stage.cores
    stage.open_all()

    def send_and_close() -> None:
        stage.send_some(core, b"b", 2)
        stage.close(core)

    stage.run(partial(stage.send_some, core, b"a", 3), send_and_close)
    return stage


def sender_and_reset(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=30)
    (core,) = stage.cores
    stage.open_all()
    stage.run(
        partial(stage.send_some, core, b"a", 3),
        core.reset,
        partial(stage.wait_ended, core),
    )
    return stage


def sender_and_failure(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, 2, max_buf_size=30)
    stage.open_all()
    stage.run(
        *(partial(stage.send_some, core, b"a", 2) for core in stage.cores),
        stage.fail,
        partial(stage.close, stage.cores[0]),
    )
    return stage


def wait_for_the_consumer_and_end(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=30)
    (core,) = stage.cores
    stage.open_all()

    def send_and_wait() -> None:
        stage.send_some(core, b"a", 2)
        stage.wait_consumed(core)

    stage.run(send_and_wait, partial(stage.end_by_peer, core, RST), core.reset)
    return stage


def feedback_and_reset(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=100)
    (core,) = stage.cores
    stage.open_all()

    def send_and_reset() -> None:
        stage.send_some(core, b"a", 1)
        core.reset()

    stage.run(send_and_reset, partial(stage.in_turn, partial(stage.side.feedback, core, 5)))
    return stage


def give_up_while_waited_for(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler, max_buf_size=20)
    (core,) = stage.cores
    stage.open_all()
    stage.run(
        partial(stage.send_some, core, b"a", 2, True),
        partial(stage.send_some, core, b"b", 1),
        partial(stage.wait_consumed, core),
    )
    stage.check_all_sent()
    return stage


def receiver_and_close_of_the_peer(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler)
    (core,) = stage.cores
    stage.open_all()

    def peer() -> None:
        stage.send_by_peer(core, b"1", b"2")
        stage.end_by_peer(core)

    stage.run(partial(stage.receive_all, core), peer, partial(stage.wait_ended, core))
    assert stage.received[core] == [b"1", b"2"]
    return stage


def receivers_and_reset(scheduler: StepScheduler) -> StreamStage:
    stage = StreamStage(scheduler)
    (core,) = stage.cores
    stage.open_all()
    stage.run(
        partial(stage.receive_all, core),
        partial(stage.receive_all, core),
        partial(stage.send_by_peer, core, b"1", b"2"),
        core.reset,
    )
    received = stage.received[core]
    assert sorted(received) == sorted(set(received))
    return stage


def opening_and_sending(scheduler: StepScheduler) -> StreamStage:
    """The handler sends while its answer is sent."""
    stage = StreamStage(scheduler, max_buf_size=30)
    (core,) = stage.cores
    stage.run(core.open, partial(stage.send_some, core, b"a", 3))
    stage.check_all_sent()
    return stage


def opening_and_failing(scheduler: StepScheduler) -> StreamStage:
    """The answer comes while its call fails: the server hears of the end exactly once."""
    stage = StreamStage(scheduler)
    (core,) = stage.cores
    error = make_rpc_error(ErrorCode.ERPCTIMEDOUT, "too late")
    stage.run(core.open, partial(core.fail, error))
    kinds = [frame.frame_type for frame in stage.wire]
    assert kinds == [RST], kinds
    return stage


def making_and_failing(scheduler: StepScheduler) -> StreamStage:
    """A stream is made while the connection fails, or its peer ends."""
    stage = StreamStage(scheduler)
    stage.open_all()
    error = make_rpc_error(ErrorCode.EEOF, "the peer has ended")

    def make() -> None:
        try:
            core = stage.side.table.new_stream(StreamOptions())
        except RpcError:
            return
        core.connect(1, True, True)
        core.open()
        stage.wait_ended(core)

    stage.run(make, partial(stage.in_turn, partial(stage.side.table.fail_all, error)))
    return stage


def streams_whose_messages_are_gathered(scheduler: StepScheduler) -> StreamStage:
    """They wait in the socket, so those that follow join them."""
    stage = StreamStage(scheduler, 2, max_buf_size=0)
    stage.consumes = False
    stage.open_all()
    stage.hold_writes()
    first, second = stage.cores

    def send_and_close() -> None:
        stage.send_some(second, b"a", 3)
        stage.close(second)

    stage.run(
        partial(stage.send_some, first, b"a", 4),
        partial(stage.send_some, first, b"b", 2),
        send_and_close,
    )
    assert stage.side.table.queue.begun
    return stage


def two_threads_of_a_stream_whose_messages_are_gathered(scheduler: StepScheduler) -> StreamStage:
    """A long one among them, which is not."""
    stage = StreamStage(scheduler, 1, max_buf_size=0)
    stage.consumes = False
    stage.open_all()
    stage.hold_writes()
    (core,) = stage.cores
    stage.run(
        partial(stage.send_some, core, b"a", 1),
        partial(stage.send_some, core, b"b", 2, long=(0,)),
    )
    stage.check_all_sent()
    return stage


def stream_that_opens_while_messages_are_gathered(scheduler: StepScheduler) -> StreamStage:
    """Its messages don't overtake the answer that opens it."""
    stage = StreamStage(scheduler, 2, max_buf_size=0)
    first, second = stage.cores
    first.open()
    stage.hold_writes()

    def answer() -> None:
        stage.side.socket.start_write(IOBuf(pack_feedback(second.remote_id, second.id, 0)))
        scheduler.point("answered")
        second.open()
        stage.send_some(second, b"a", 3)

    stage.run(answer, partial(stage.send_some, first, b"a", 3))
    stage.check_all_sent()
    own = [each.frame_type for each in stage.wire if each.stream_id == second.remote_id]
    assert own[0] == FEEDBACK, "a message has overtaken the answer"
    return stage


SCENARIOS: dict[str, Play] = {
    play.__name__: play
    for play in (
        two_senders_and_a_window,
        two_streams_and_little_room,
        a_sender_gives_up,
        sender_and_close,
        sender_and_reset,
        sender_and_failure,
        wait_for_the_consumer_and_end,
        feedback_and_reset,
        give_up_while_waited_for,
        receiver_and_close_of_the_peer,
        receivers_and_reset,
        opening_and_sending,
        opening_and_failing,
        making_and_failing,
        streams_whose_messages_are_gathered,
        two_threads_of_a_stream_whose_messages_are_gathered,
        stream_that_opens_while_messages_are_gathered,
    )
}

SMALL = ("opening_and_failing", "making_and_failing", "feedback_and_reset")
"""Those that can be run in every interleaving with few preemptions."""


def scenario_of(name: str, *mutations: Mutation) -> Scenario:
    """One scenario, with these mutations of the code."""

    def scenario(scheduler: StepScheduler) -> None:
        with patched(scheduler, mutations):
            try:
                SCENARIOS[name](scheduler).finish()
            finally:
                for each in StreamStage.made:
                    each.side.close()
                StreamStage.made.clear()

    return scenario
