"""The place of a call among the replies, when threads meet there in every possible order.

A real connection to a played server. A caller starts or gives up, another thread breaks the
connection down, and the dispatcher writes and reads, all at once: each of them may be stopped
before each access to what they share, and another one goes on. However it goes, a call ends once,
with its own words or an error, and what was sent is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, Phase, make_rpc_error
from pybrpc.redis.redis_connection import PipelinedRequest
from pybrpc.testing.step_scheduler import StepScheduler, explore
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.writing.write_request import WriteRequest
from tests.fakes.redis import World, check_ends, world
from tests.schedules.traced import TracedDeque, TracedDict, TracedSlot

TURNS = 12


class LayerInBackground(PlainLayer):
    """As TLS: only the dispatcher writes, and nobody else shuts the descriptor down."""

    writes_in_background = True


class TracedProgress(TracedSlot):
    """A TracedSlot without points at reading."""

    def __get__(self, instance: object, owner: type) -> Any:
        return self._slot.__get__(instance, owner)


def break_down(made: World) -> None:
    text = "broken down by the test"
    error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING)
    made.source.made[0].socket.fail(error)


def cancel(made: World) -> None:
    call = made.calls[1]
    call.abort(call.canceled_error())


EVENTS: dict[str, Callable[[World], object]] = {
    "call": lambda made: made.call("c", "d"),
    "cancel": cancel,
    "deadline": lambda made: made.calls[1].expire(),
    "break": break_down,
    "turns": lambda made: made.turns(TURNS),
}


@pytest.mark.parametrize("layer", [PlainLayer, LayerInBackground])
@pytest.mark.parametrize(
    "events",
    [
        ("call", "break"),
        ("call", "turns"),
        ("cancel", "turns"),
        ("deadline", "break"),
        ("break", "turns"),
        ("call", "break", "turns"),
        ("cancel", "break", "turns"),
    ],
    ids=", ".join,
)
@pytest.mark.parametrize("has_begun", [False, True], ids=["new", "sent"])
def test_reply_cancellation_and_failure_in_any_order_end_a_call_once(
    events: tuple[str, ...], has_begun: bool, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call "b" was queued, or was sent and waits, when all that happens at once."""

    def scenario(scheduler: StepScheduler) -> None:
        with world(0, make_layer=layer) as made:
            made.call("a")
            made.run_to_the_end()
            connection: Any = made.source.made[0]
            connection._pending = TracedDict(scheduler, "pending")
            connection._waiting = TracedDeque(scheduler, "waiting")
            progress = TracedProgress(scheduler, WriteRequest.progress, "progress")
            monkeypatch.setattr(PipelinedRequest, "progress", progress, False)
            start_in_turn(made, "b")
            if has_begun:
                made.turns(3)
            scheduler.run(*[lambda event=EVENTS[name]: event(made) for name in events])  # type: ignore[misc]
            made.run_to_the_end()
            check_ends(made)

    assert explore(scenario, max_preemptions=1) >= len(events)


def start_in_turn(made: World, word: str) -> None:
    """Calls of a turn go out with what follows them, so this one is still queued."""
    made.step.post(lambda: made.call(word))
    while len(made.calls) < 2:
        made.step.step()
