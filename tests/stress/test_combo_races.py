"""Responses, backup requests, deadlines and cancellations of combined calls race: each call ends
once, with one outcome that belongs together, and leaves nothing."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, LimitReachedError, RpcError
from tests.fakes.threads import in_threads, wait_until
from tests.peers.clusters import REQUEST, Member, cluster
from tests.peers.combos import channels
from tests.peers.echo import ECHO
from tests.peers.load import share_of

pytestmark = pytest.mark.stress

ROUNDS = share_of(150)


def _answer_about_when_the_backup_is_sent(member: Member, seed: int) -> None:
    source = random.Random(seed)

    def behave(request: Any, controller: Any) -> None:
        controller.response_attachment = member.name.encode()
        controller.response_user_fields = {"by": member.name}
        time.sleep(source.random() * 0.006)
        if source.random() < 0.1:
            controller.set_failed(ErrorCode.ELIMIT, "busy")

    member.behave = behave


@pytest.mark.parametrize("seed", [1, 2])
def test_winner_of_a_backup_race_gives_all_of_the_result(seed: int) -> None:
    with cluster(2) as servers, channels(servers.addresses) as made:
        for number, member in enumerate(servers.members):
            _answer_about_when_the_backup_is_sent(member, seed * 10 + number)
        combo = pybrpc.SelectiveChannel(made, timeout=30, backup_request_ms=3)
        combo.call_options.backup.max_ratio = 1.0  # type: ignore[union-attr]
        stub = pybrpc.Stub(ECHO, combo)
        backups: Counter[bool] = Counter()

        def run(number: int) -> None:
            for _ in range(ROUNDS // 2):
                controller = pybrpc.Controller()
                with contextlib.suppress(LimitReachedError):
                    answer = stub.Echo(REQUEST, controller=controller)
                if controller.failed:
                    assert controller.error_code == ErrorCode.ELIMIT
                    continue
                backups[controller.has_backup_request] += 1
                assert not controller.failed
                assert bytes(controller.response_attachment).decode() == answer.message
                assert controller.response_user_fields == {"by": answer.message}
                (sub,) = controller.sub_calls
                assert sub.response is answer
                assert controller.remote_side == sub.server

        in_threads(2, run)
        assert backups[True]
        wait_until(lambda: not any(channel.servers()[0].in_flight for channel in made))


@pytest.mark.parametrize("kind", ["ParallelChannel", "SelectiveChannel"])
def test_every_future_ends_once_whoever_ends_it(kind: str) -> None:
    source = random.Random(3)
    with cluster(2) as servers, channels(servers.addresses) as made:
        for number, member in enumerate(servers.members):
            _answer_about_when_the_backup_is_sent(member, number)
        merged = threading.Lock()

        def merger(response: Any, sub_response: Any) -> None:
            with merged:
                response.message += sub_response.message

        combo: Any
        if kind == "ParallelChannel":
            combo = pybrpc.ParallelChannel(made, merger=merger, success_limit=1)
        else:
            combo = pybrpc.SelectiveChannel(made, backup_request_ms=2)
        stub = pybrpc.Stub(ECHO, combo)
        ends: Counter[int] = Counter()
        futures = []
        for number in range(ROUNDS):
            controller = pybrpc.Controller()
            future = stub.Echo.future(
                REQUEST, timeout=source.choice([0.002, 0.004, 30]), controller=controller
            )
            future.add_done_callback(lambda done, number=number: ends.update([number]))
            futures.append((future, controller))
            if source.random() < 0.5:
                time.sleep(source.random() * 0.005)
                assert future.cancel() or future.done()
        for future, controller in futures:
            if future.cancelled():
                assert controller.error_code == ErrorCode.ECANCELED
            elif (error := future.exception(30)) is None:
                assert future.result().message
                assert not controller.failed
            else:
                assert isinstance(error, RpcError)
                assert controller.error_code == error.code
        wait_until(lambda: len(ends) == ROUNDS)
        assert set(ends.values()) == {1}
        for _, controller in futures:
            wait_until(lambda controller=controller: controller._call is None)
