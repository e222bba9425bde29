"""ServerSentEvent: what a browser reads of it."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc import ServerSentEvent


def parsed(data: bytes) -> list[dict[str, str]]:
    """The events in `data`, by the rules of the HTML standard, 9.2.6."""
    events: list[dict[str, str]] = []
    event: dict[str, str] = {}
    for line in data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if "data" in event:
                events.append(event)
            event = {}
        elif name == "data" and "data" in event:
            event["data"] += f"\n{value}"
        else:
            event[name] = value
    return events


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        (ServerSentEvent("a"), {"data": "a"}),
        (ServerSentEvent(), {"data": ""}),
        (ServerSentEvent(" a: b"), {"data": " a: b"}),
        (ServerSentEvent("a\nb\r\nc\rd\n"), {"data": "a\nb\nc\nd\n"}),
        (ServerSentEvent("a\n\ndata: b"), {"data": "a\n\ndata: b"}),
        (
            ServerSentEvent("\xe4", event="e", id="i", retry=5),
            {"data": "\xe4", "event": "e", "id": "i", "retry": "5"},
        ),
    ],
)
def test_a_browser_reads_one_event(event: ServerSentEvent, seen: dict[str, str]) -> None:
    assert parsed(event.to_bytes()) == [seen]
    assert parsed(event.to_bytes() * 2) == [seen] * 2


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"data": b"a"}, TypeError),
        ({"event": 1}, TypeError),
        ({"event": "a\nb"}, ValueError),
        ({"id": "a\rb"}, ValueError),
        ({"id": "a\0b"}, ValueError),
        ({"retry": -1}, ValueError),
        ({"retry": 1.5}, ValueError),
    ],
)
def test_what_can_not_be_sent_is_refused(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ServerSentEvent(**values)


def test_an_event_does_not_change() -> None:
    event = ServerSentEvent("a")
    with pytest.raises(AttributeError, match="data of a ServerSentEvent"):
        event.data = "b"
    assert event.data == "a"


def test_a_lone_surrogate_does_not_end_the_stream() -> None:
    assert ServerSentEvent("a\ud800").to_bytes() == b"data: a?\n\n"


def test_repr_does_not_show_the_data() -> None:
    assert repr(ServerSentEvent("secret", id="7")) == "<ServerSentEvent 6 characters, id='7'>"
