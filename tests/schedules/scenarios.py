"""Scenarios: what threads do with a Socket, in every or in random interleavings."""

from __future__ import annotations

import contextlib
import socket as plain
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_scheduler import Scenario, StepScheduler
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.frames import HEADER
from tests.peers.frame_layer import FrameLayer
from tests.schedules.traced_write_path import Mutation
from tests.schedules.write_path import Interleaved, Sent, interleaved, pair_of

Play = Callable[[Interleaved], None]
Body = Callable[[StepScheduler, tuple[Mutation, ...]], None]


def connected(play: Play, *, setup: dict[str, Any] | None = None, **limits: int) -> Body:
    """A scenario on a connected pair; the peer must receive all bytes the kernel took."""

    def body(scheduler: StepScheduler, mutations: tuple[Mutation, ...]) -> None:
        with interleaved(scheduler, mutations, **limits) as stage:
            with pair_of(stage, **(setup or {})) as far:
                play(stage)
                received = all_of(far)
                assert received == bytes(stage.wire)
                stage.check()

    return body


def all_of(far: plain.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while part := far.recv(1 << 16):
            received += part
    return bytes(received)


def writer(stage: Interleaved, producer: int, count: int = 2) -> Callable[[], None]:
    def write() -> None:
        for number in range(count):
            stage.write(producer, number)

    return write


def two_writers(stage: Interleaved) -> None:
    stage.run(writer(stage, 0), writer(stage, 1))
    assert stage.socket.is_connected
    assert not stage.socket.is_failed
    assert all(sent.told == [None] for sent in stage.messages)


def one_message_each(stage: Interleaved) -> None:
    stage.run(writer(stage, 0, 1), writer(stage, 1, 1))


def one_message_and_a_failure(stage: Interleaved) -> None:
    stage.run(writer(stage, 0, 1), stage.fail)


def two_writers_and_a_failure(stage: Interleaved) -> None:
    stage.run(writer(stage, 0), writer(stage, 1), stage.fail)


def two_failures(stage: Interleaved) -> None:
    stage.run(writer(stage, 0), stage.fail, stage.fail)


def a_peer_that_dies(far_of: Callable[[], plain.socket]) -> Play:
    def play(stage: Interleaved) -> None:
        stage.run(writer(stage, 0), writer(stage, 1), lambda: far_of().close())

    return play


def a_message_is_given_up(stage: Interleaved) -> None:
    """A thread gives up a message that another thread writes; its error must be true."""
    sent: list[Sent] = []

    def write() -> None:
        for number in range(2):
            sent.append(stage.write(0, number))

    def give_up() -> None:
        stage.scheduler.point("at its deadline")
        for one in list(stage.messages):
            stage.give_up(one)

    stage.run(write, writer(stage, 1, 1), give_up)


def a_bad_message_among_others(stage: Interleaved) -> None:
    def write() -> None:
        stage.write(0, 0)
        stage.write_bad(0, 1)
        stage.write(0, 2)

    stage.run(write, writer(stage, 1, 1))
    assert not stage.socket.is_failed


def writing_is_shut_down(stage: Interleaved) -> None:
    def write() -> None:
        stage.write(0, 0)
        stage.write(0, 1, shutdown_write=True)
        stage.write(0, 2)

    stage.run(write, writer(stage, 1))
    names = [(sent.producer, sent.number) for sent in stage.messages if sent.told == [None]]
    assert {(0, 0), (0, 1)} <= set(names), "9: what came before was not flushed"
    assert (0, 2) not in names, "9: written after writing was shut down"
    assert not stage.socket.is_failed


def overcrowding(stage: Interleaved) -> None:
    """Writes above the mark are refused; threads that wait for room are woken."""

    def write(producer: int) -> None:
        for number in range(4):
            if not stage.write(producer, number, size=100).is_accepted:
                stage.ends += 1
                stage.wait_for_room()
            most = HIGH_WATER + 2 * (100 + HEADER.size)
            stage.expect(stage.socket.backlog.size_bytes <= most, "7: more than the mark")

    stage.run(lambda: write(0), lambda: write(1))
    assert stage.woken == stage.ends, f"7: {stage.ends} wait, {stage.woken} were woken"


def the_dispatcher_closes(stage: Interleaved) -> None:
    stage.run(writer(stage, 0), writer(stage, 1), stage.close_dispatcher, stage.fail)


def what_was_posted_last_writes(stage: Interleaved) -> None:
    def write() -> None:
        stage.write(0, 0)
        stage.close_dispatcher()
        stage.write(0, 1)

    stage.run(write, stage.fail)


HIGH_WATER = 150
OVERCROWDED_AT_150 = SocketOptions(high_water_bytes=HIGH_WATER, low_water_bytes=50)


def connecting_small(*others: str) -> Body:
    return connecting(*others, counts=(1,))


def connecting(
    *others: str,
    listens: bool = True,
    is_full: bool = False,
    counts: tuple[int, ...] = (2, 1),
    **limits: int,
) -> Body:
    """The first write connects a Unix socket. `others`: names of what the stage does meanwhile."""

    def body(scheduler: StepScheduler, mutations: tuple[Mutation, ...]) -> None:
        with tempfile.TemporaryDirectory(prefix="pybrpc-", dir="/tmp") as directory:
            path = str(Path(directory, "sock"))
            with plain.socket(plain.AF_UNIX) as listener:
                if listens:
                    listener.bind(path)
                    listener.listen(0 if is_full else 128)
                    listener.setblocking(False)
                before = [plain.socket(plain.AF_UNIX)] if is_full else []
                with contextlib.ExitStack() as stack:
                    for one in before:
                        stack.enter_context(one).connect(path)
                    stage = stack.enter_context(interleaved(scheduler, mutations, **limits))
                    stage.socket = Socket.to(
                        Endpoint.parse(f"unix:{path}"),
                        stage.step,
                        user=stage,
                        connect_timeout_s=None,
                    )
                    others_of_stage = [getattr(stage, name) for name in others]
                    writers = [writer(stage, *named) for named in enumerate(counts)]
                    stage.run(*writers, *others_of_stage)
                    if not listens and "fail" not in others:
                        check_refused(stage)
                    with accepted_by(listener, listens and not is_full) as far:
                        if far is not None:
                            assert all_of(far) == bytes(stage.wire)
                    stage.check()

    return body


def check_refused(stage: Interleaved) -> None:
    for sent in stage.messages:
        error = sent.refused or sent.told[0]
        assert error is not None
        assert error.peer.startswith("unix:"), f"10: no address: {error!r}"


@contextlib.contextmanager
def accepted_by(listener: plain.socket, listens: bool) -> Iterator[plain.socket | None]:
    if not listens:
        yield None
        return
    try:
        far = listener.accept()[0]
    except BlockingIOError:
        yield None
        return
    far.setblocking(False)
    with far:
        yield far


class TracedLayer(FrameLayer):
    """A layer that writes in the background and holds bytes back, as TLS does."""

    def __init__(self, stage: Interleaved) -> None:
        super().__init__(writes_in_background=True)
        self.stage = stage

    def cut_into_fd(self, fd: int, pieces: Any, /) -> int:
        with self.stage.system_call(fd):
            self.stage.expect(self.stage.step.is_current(), "a layer is used outside of turns")
            taken = self._take(pieces) if not self._unsent and any(pieces) else 0
            mood = self.stage.mood()
            if mood == 1:
                if not taken:
                    raise BlockingIOError
                return taken
            part = self._unsent.cutn(3 if mood == 2 else len(self._unsent))
            part.cut_into_fd(fd)
            return taken


def behind_a_layer(play: Play, **limits: int) -> Body:
    def body(scheduler: StepScheduler, mutations: tuple[Mutation, ...]) -> None:
        with interleaved(scheduler, mutations, **limits) as stage:
            layer = TracedLayer(stage)
            with pair_of(stage, layer=layer) as far:
                play(stage)
                peer = FrameLayer()
                received, contents = IOBuf(all_of(far)), IOBuf()
                peer._received = received
                while peer._cut_frame(contents):
                    pass
                stage.check(bytes(contents))

    return body


def dying_peer(**limits: int) -> Body:
    def body(scheduler: StepScheduler, mutations: tuple[Mutation, ...]) -> None:
        with interleaved(scheduler, mutations, **limits) as stage:
            with pair_of(stage) as far:
                a_peer_that_dies(lambda: far)(stage)
                stage.check()

    return body


SCENARIOS: dict[str, Body] = {
    "two writers": connected(two_writers, moods=2),
    "two writers and a failure": connected(two_writers_and_a_failure, moods=1),
    "two failures": connected(two_failures, moods=1),
    "a peer that dies": dying_peer(moods=1),
    "a signal handler writes": connected(two_writers, signals=1, moods=1),
    "a signal handler writes, and a failure": connected(two_writers_and_a_failure, signals=1),
    "a message is given up": connected(a_message_is_given_up, moods=1),
    "a bad message": connected(a_bad_message_among_others, moods=1),
    "writing is shut down": connected(writing_is_shut_down, moods=1),
    "a crowd": connected(overcrowding, setup={"options": OVERCROWDED_AT_150}, moods=1),
    "connecting": connecting(),
    "connecting, and a failure": connecting("fail", moods=1),
    "connecting, refused": connecting(listens=False),
    "connecting, refused, and a failure": connecting("fail", listens=False),
    "connecting to nobody, and a failure": connecting("fail", is_full=True),
    "connecting, the dispatcher closes": connecting("close_dispatcher", "fail"),
    "the dispatcher closes": connected(the_dispatcher_closes, moods=1),
    "the last turn": connected(what_was_posted_last_writes),
    "a layer": behind_a_layer(two_writers, moods=2),
    "a layer, and a failure": behind_a_layer(two_writers_and_a_failure, moods=1),
    "a layer, the dispatcher closes": behind_a_layer(the_dispatcher_closes),
}


SMALL: dict[str, tuple[Body, int]] = {
    "one message each": (connected(one_message_each), 1),
    "one message, and a failure": (connected(one_message_and_a_failure), 1),
    "one message each behind a layer": (behind_a_layer(one_message_each), 1),
    "one message and a failure behind a layer": (behind_a_layer(one_message_and_a_failure), 1),
    "one message connects, and a failure": (connecting_small("fail"), 1),
}
"""Scenarios of which every schedule is run, with at most so many preemptions."""


def scenario_of(name: str, *mutations: Mutation) -> Scenario:
    body = SCENARIOS[name] if name in SCENARIOS else SMALL[name][0]
    return lambda scheduler: body(scheduler, mutations)
