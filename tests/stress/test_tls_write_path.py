"""The write path under load with TLS: order, and one outcome for each message."""

from __future__ import annotations

import random

import pytest

from tests.fakes.dispatchers import running_dispatcher
from tests.peers.load import share_of
from tests.stress.rounds import WRITERS, Round, encrypted_wire, run_rounds, write_numbered

pytestmark = pytest.mark.stress


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("buffer_bytes", [None, 4096], ids=["roomy", "tight"])
def test_8_threads_times_10_000_messages(kind: str, version: str, buffer_bytes: int | None) -> None:
    each = share_of(10_000)
    with running_dispatcher(kind) as dispatcher:
        wire = encrypted_wire(dispatcher, "unix", buffer_bytes, version)
        statistics = write_numbered(wire, each)
        wire.close()
    assert (statistics.backlog_bytes, statistics.messages_written) == (0, WRITERS * each + 1)
    assert statistics.written_in_place == 0


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("who", ["this side", "the peer"])
def test_every_accepted_message_has_one_outcome_when_sockets_fail(kind: str, who: str) -> None:
    rng = random.Random(1)
    with running_dispatcher(kind) as dispatcher:
        rounds = [
            Round(encrypted_wire(dispatcher, "unix", 4096), rng.randrange(60), who)
            for _ in range(share_of(50))
        ]
        run_rounds(rounds)
        for round_ in rounds:
            assert round_.outcomes.untaken == round_.user.errors.qsize() == 0
            assert round_.wire.socket.backlog.size_bytes == 0
