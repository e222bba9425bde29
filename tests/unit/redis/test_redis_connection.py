"""RedisConnection in seeded interleavings, over real sockets with tiny buffers.

The test plays the server, which reads and answers in bits, pushes in between, and sometimes breaks
the connection; callers come, give up or are timed out at any moment. Whatever the order, a call
ends once, with its own replies or an error, and no command runs twice.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pybrpc.errors import Phase, ProtocolError
from pybrpc.protocols.redis.redis_handshake import RedisLogin
from tests.fakes.redis import NO_LOGIN, check_ends, world

SEEDS = 30


@pytest.mark.slow
@pytest.mark.parametrize("login", [NO_LOGIN, RedisLogin()], ids=["at once", "after HELLO"])
@pytest.mark.parametrize("breaks", [False, True])
def test_any_interleaving(breaks: bool, login: RedisLogin) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(SEEDS):
        with world(seed, login) as made:
            actions = [made.start_one] * 4 + [made.stop_one]
            if breaks:
                actions.append(lambda: made.server.break_down(made.rng.random() < 0.5))
            for _ in range(40):
                made.rng.choice(actions)()
                made.turns(made.rng.choice([0, 1, 5, 30]))
            made.run_to_the_end()
            kinds += check_ends(made)
    assert kinds["answered"] > SEEDS * 5
    for error in ("RpcCanceledError", "RpcTimeoutError"):
        for phase in (Phase.CONNECT, Phase.QUEUED, Phase.WAITING):
            assert kinds[f"{error} {phase.value}"], kinds
    assert bool(kinds[f"ConnectionFailedError {Phase.SENT.value}"]) is breaks
    assert bool(kinds[f"ConnectionFailedError {Phase.WAITING.value}"]) is breaks


def test_command_cancelled_before_it_is_sent_takes_no_position() -> None:
    with world(1) as made:
        first, second, third = (made.call(word) for word in ("a", "b", "c"))
        assert second.abort(second.canceled_error())
        made.run_to_the_end()
        assert first.ends == [("a",)]
        assert third.ends == [("c",)]
        assert second.ends[0].phase is Phase.CONNECT
        assert made.server.heard == Counter("ac")


def test_command_cancelled_after_it_was_sent_keeps_its_position() -> None:
    with world(2) as made:
        made.call("first")
        made.run_to_the_end()
        late, other = made.call("late", "later"), made.call("other")
        made.step.run_until_idle()
        assert late.abort(late.canceled_error())
        assert late.ends[0].phase is Phase.WAITING
        made.run_to_the_end()
        assert other.ends == [("other",)]
        assert made.server.heard["later"] == 1
        assert made.source.made[0].statistics().late_answers == 1


def test_failed_connect_ends_each_call_once() -> None:
    with world(3) as made:
        made.server.refuse()
        calls = [made.call(str(number), max_retry=0) for number in range(100)]
        made.run_to_the_end()
        assert {call.ends[0].phase for call in calls} == {Phase.CONNECT}
        assert [len(call.ends) for call in calls] == [1] * 100


def test_unexpected_reply_closes_the_connection() -> None:
    with world(4) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"-ERR out of the blue\r\n")
        made.turns(200)
        error = made.source.made[0].socket.error
        assert isinstance(error, ProtocolError)
        assert "a reply that no command awaits: <RedisError ERR out of the blue>" in error.text


def test_garbage_among_replies_fails_all_calls() -> None:
    with world(5) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"rubbish")
        calls = [made.call(word) for word in "bc"]
        made.run_to_the_end()
        ends: list[Any] = [call.ends[0] for call in calls]
        assert {type(end) for end in ends} == {ProtocolError}
        assert "no reply of Redis starts with b'r" in ends[0].text


def test_a_map_that_python_cant_hold_fails_its_call_alone() -> None:
    with world(6) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"%1\r\n*0\r\n:1\r\n")
        bad, good = made.call("b"), made.call("c")
        made.turns(2)
        made.run_to_the_end()
        assert bad.ends[0].name == "ERESPONSE"
        assert "unhashable" in bad.ends[0].text
        assert good.ends == [("b",)], "the played server has said one reply too many"
