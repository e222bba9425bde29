"""The functions of users that a relay calls."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog
from pybrpc.rtmp import RelayEvent, RelayRequest, RtmpRefused
from pybrpc.rtmp.relay.relay_hooks import MAX_EVENTS, EventThread, as_service_function
from pybrpc.rtmp.server import user_functions

REQUEST = RelayRequest("live", "s", "", "peer")
LIMIT_S = 30.0


def test_events_reach_the_function_in_order() -> None:
    got: list[RelayEvent] = []
    thread = EventThread(got.append)
    events = [RelayEvent("played", str(number)) for number in range(100)]
    for event in events:
        thread.put(event)
    thread.close()

    assert got == events
    assert thread.lost == 0


def test_thread_ends_by_itself_when_nobody_can_wait_for_it() -> None:
    got: list[RelayEvent] = []
    thread = EventThread(got.append)
    thread.put(RelayEvent("played", "s"))
    worker = thread._thread
    assert worker is not None
    assert thread.is_running
    thread.end_nowait()
    thread.put(RelayEvent("left", "s"))
    worker.join(LIMIT_S)

    assert got == [RelayEvent("played", "s")]


def test_event_is_counted_as_lost_while_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is put in a turn, in the lock of the relay: the relay goes on."""
    got: list[RelayEvent] = []
    thread = EventThread(got.append)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        thread.put(RelayEvent("played", "s"))
    thread.put(RelayEvent("left", "s"))
    thread.close()
    assert thread.lost == 1
    assert got == [RelayEvent("left", "s")]


def test_function_that_raises_gets_the_next_event(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []

    def on_event(event: RelayEvent) -> None:
        got.append(event.kind)
        raise ValueError("of the user")

    thread = EventThread(on_event)
    thread.put(RelayEvent("played", "s"))
    thread.put(RelayEvent("left", "s"))
    thread.close()

    assert got == ["played", "left"]
    assert "on_event of a relay raised" in caplog.text


def test_events_for_a_function_that_is_too_slow_are_counted() -> None:
    began, goes_on = threading.Event(), threading.Event()

    def on_event(event: RelayEvent) -> None:
        began.set()
        goes_on.wait(LIMIT_S)

    thread = EventThread(on_event)
    thread.put(RelayEvent("played", "s"))
    assert began.wait(LIMIT_S)
    for _ in range(MAX_EVENTS + 5):
        thread.put(RelayEvent("played", "s"))
    assert thread.lost == 5
    goes_on.set()
    thread.close()


def test_events_after_close_are_dropped() -> None:
    got: list[RelayEvent] = []
    thread = EventThread(got.append)
    thread.close()
    thread.put(RelayEvent("played", "s"))

    assert got == []


def test_event_is_shown_in_one_line() -> None:
    assert str(RelayEvent("played", "live/s", "1.2.3.4:5")) == "played live/s by 1.2.3.4:5"
    assert str(RelayEvent("recorded", "live/s", "", "/a.flv")) == "recorded live/s /a.flv"


def test_shown_event_has_no_characters_of_a_peer_that_forge_a_line() -> None:
    event = RelayEvent("pull_failed", "live/s", text="no\nplayed \x1b[31mlive/é")

    assert str(event) == "pull_failed live/s no\\nplayed \\x1b[31mlive/é"


def generator(request: RelayRequest) -> Any:
    yield True


@pytest.mark.parametrize("answer", [None, "yes", 0, 1, re.match("s", "s"), generator(REQUEST)])
def test_nothing_but_true_admits(
    answer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_functions, "answers_log", LimitedLog(SERVER))
    as_service_function(lambda request: True)(REQUEST)
    assert not caplog.records
    with pytest.raises(RtmpRefused, match="Denied"):
        as_service_function(lambda request: answer)(REQUEST)
    assert f"returned {type(answer).__name__}, which refuses" in caplog.text


def test_false_refuses_in_both_forms() -> None:
    async def decide(request: RelayRequest) -> bool:
        return request.name != "s"

    with pytest.raises(RtmpRefused, match="Denied"):
        as_service_function(lambda request: False)(REQUEST)
    with pytest.raises(RtmpRefused, match="Denied"):
        asyncio.run(as_service_function(decide)(REQUEST))
