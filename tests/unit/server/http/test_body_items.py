"""BodyItems: which type a body has, and what its items become."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, ExtensionRangeOptions

from bench.echo_messages import EchoResponse
from pybrpc import ServerSentEvent
from pybrpc.errors import BadResponseError
from pybrpc.json2pb import JsonOptions
from pybrpc.rpc.http import HttpHeader
from pybrpc.server.http.body_items import BodyItems

MESSAGE = EchoResponse(message="a")
EVENTS = "text/event-stream"


def items_of(accept: str = "", content_type: str = "") -> BodyItems:
    made = HttpHeader()
    if content_type:
        made.content_type = content_type
    return BodyItems(accept, made, JsonOptions())


@pytest.mark.parametrize(
    ("accept", "content_type", "item", "sent_type", "data"),
    [
        ("", "", b"a", "application/octet-stream", b"a"),
        ("", "", bytearray(b"a"), "application/octet-stream", b"a"),
        ("", "", "a", "text/plain; charset=utf-8", b"a"),
        ("", "", MESSAGE, "application/x-ndjson", b'{"message":"a"}\n'),
        ("", "", ServerSentEvent("a"), EVENTS, b"data: a\n\n"),
        ("*/*", "", MESSAGE, "application/x-ndjson", b'{"message":"a"}\n'),
        (f"{EVENTS}, */*;q=0.1", "", MESSAGE, EVENTS, b'data: {"message":"a"}\n\n'),
        ("Text/Event-Stream;q=1", "", MESSAGE, EVENTS, b'data: {"message":"a"}\n\n'),
        (
            "",
            f"{EVENTS}; charset=utf-8",
            MESSAGE,
            f"{EVENTS}; charset=utf-8",
            b'data: {"message":"a"}\n\n',
        ),
        ("", "text/csv", "a", "text/csv", b"a"),
        (EVENTS, "application/jsonl", MESSAGE, "application/jsonl", b'{"message":"a"}\n'),
    ],
)
def test_the_first_item_decides(
    accept: str, content_type: str, item: object, sent_type: str, data: bytes
) -> None:
    items = items_of(accept, content_type)
    headers = items.headers_for(item)
    assert headers["Content-Type"] == sent_type
    assert items.to_bytes(item) == data
    assert ("cache-control" in headers) is sent_type.startswith(EVENTS)


def test_a_handler_may_set_the_headers_of_events_itself() -> None:
    made = HttpHeader({"Cache-Control": "private"})
    headers = BodyItems(EVENTS, made, JsonOptions()).headers_for(MESSAGE)
    assert headers["Cache-Control"] == "private"
    assert "content-type" not in made.headers


@pytest.mark.parametrize("item", [None, 1, [b"a"], object()])
def test_what_is_no_item_is_refused(item: object) -> None:
    with pytest.raises(BadResponseError, match="a handler yielded"):
        items_of().to_bytes(item)


def test_a_message_that_is_not_complete_is_refused() -> None:
    with pytest.raises(BadResponseError, match="Fail to convert a message to json"):
        items_of().to_bytes(DescriptorProto.ExtensionRange(options=incomplete()))


def incomplete() -> ExtensionRangeOptions:
    """A message with a field that lacks what it requires."""
    options = ExtensionRangeOptions()
    options.uninterpreted_option.add().name.add()
    return options
