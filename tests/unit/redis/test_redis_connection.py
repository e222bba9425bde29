"""RedisConnection in seeded interleavings, over real sockets with tiny buffers.

The test plays the server, which reads and answers in bits, pushes in between, and sometimes breaks
the connection; callers come, give up or are timed out at any moment. Whatever the order, a call
ends once, with its own replies or an error, and no command runs twice.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import Counter
from typing import Any

import pytest

from pybrpc.errors import BadResponseError, Phase, ProtocolError
from pybrpc.protocols.redis.redis_handshake import RedisLogin
from pybrpc.redis import redis_connection
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from tests.fakes.redis import NO_LOGIN, NotedCall, check_ends, world

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


class Struck(NotedCall):
    """A call whose reply can't be handled."""

    __slots__ = ()

    def on_response(self, attempt: Any, response: Any) -> None:
        raise MemoryError("no room")


class ReferredTo(NotedCall):
    """A call to which a weak reference can be made."""

    __slots__ = ("__weakref__",)


def test_exception_while_one_reply_is_handled_loses_no_other() -> None:
    with world(3) as made:
        calls = [made.call("a"), made.call("b", kind=Struck), made.call("c")]
        made.run_to_the_end()
        assert [len(call.ends) for call in calls] == [1, 1, 1]
        assert [calls[0].ends, calls[2].ends] == [[("a",)], [("c",)]]
        assert isinstance(calls[1].ends[0], BadResponseError)
        assert [type(error) for error in made.step.raised] == [MemoryError]
        made.step.raised.clear()


def test_calls_of_a_broken_connection_end_in_bounded_steps() -> None:
    with world(4) as made:
        calls = [made.call("a", max_retry=0) for _ in range(3 * MAX_PER_STEP)]
        (connection,) = made.source.made
        connection.close()
        counts = [connection.in_flight]
        while made.step.step():
            counts.append(connection.in_flight)
        assert counts[-1] == 0
        assert max(x - y for x, y in itertools.pairwise(counts)) <= MAX_PER_STEP
        assert [len(call.ends) for call in calls] == [1] * len(calls)


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


def test_position_of_a_call_that_has_ended_keeps_neither_the_call_nor_its_bytes() -> None:
    with world(2) as made:
        made.call("first")
        made.run_to_the_end()
        late = made.call("late", kind=ReferredTo)
        made.step.run_until_idle()
        assert late.abort(late.canceled_error())
        ended = weakref.ref(late)
        made.calls.remove(late)
        del late
        gc.collect()
        assert ended() is None
        connection: Any = made.source.made[0]
        assert [position._packed for position in connection._waiting] == [None]
        assert made.call("other").words == ("other",)
        made.run_to_the_end()
        assert made.source.made[0].statistics().late_answers == 1


def test_connection_whose_server_answers_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "MOST_UNANSWERED", 10)
    with world(7) as made:
        made.call("first")
        made.run_to_the_end()
        for number in range(12):
            call = made.call(str(number))
            made.step.run_until_idle()
            assert call.abort(call.canceled_error())
        last = made.call("last")
        made.run_to_the_end()
        assert last.ends == [("last",)]
        error = made.source.made[0].socket.error
        assert error is not None
        assert "has not answered 10 commands whose calls have ended" in error.text


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
