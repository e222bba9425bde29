"""The write path under load: order, and one outcome for each message, whatever fails meanwhile."""

from __future__ import annotations

import random

import pytest

from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.dispatchers import running_dispatcher
from tests.fakes.sockets import User, Wire, make_pair
from tests.peers.load import share_of
from tests.stress.rounds import WRITERS, Round, run_rounds, write_numbered

pytestmark = pytest.mark.stress


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("buffer_bytes", [None, 4096], ids=["roomy", "tight"])
def test_8_threads_times_20_000_messages(kind: str, buffer_bytes: int | None) -> None:
    each = share_of(20_000)
    with running_dispatcher(kind) as dispatcher:
        near, far = make_pair("tcp", buffer_bytes)
        wire = Wire(Socket.of(near, dispatcher), far)
        statistics = write_numbered(wire, each)
        wire.close()
    assert (statistics.backlog_bytes, statistics.messages_written) == (0, WRITERS * each + 1)


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("who", ["this side", "the peer"])
def test_every_accepted_message_has_one_outcome_when_sockets_fail(kind: str, who: str) -> None:
    rng = random.Random(1)
    with running_dispatcher(kind) as dispatcher:
        for _ in range(10):
            rounds = [make_round(dispatcher, rng.randrange(60), who) for _ in range(share_of(50))]
            run_rounds(rounds)
            for round_ in rounds:
                assert round_.outcomes.untaken == round_.user.errors.qsize() == 0
                assert round_.wire.socket.backlog.size_bytes == 0


def make_round(dispatcher: EventDispatcher, fails_at: int, who: str) -> Round:
    near, far = make_pair("unix", 4096)
    return Round(Wire(Socket.of(near, dispatcher, user=User()), far), fails_at, who)
