"""The messages with which a server of RTMP answers commands. Functions without state or I/O."""

from __future__ import annotations

from pybrpc.protocols.rtmp.command import Command, pack_data
from pybrpc.protocols.rtmp.message import (
    DEFAULT_ACK_WINDOW,
    DEFAULT_CHUNK_SIZE,
    RtmpMessage,
    UserEvent,
    set_chunk_size,
    set_peer_bandwidth,
    user_control,
    window_ack,
)

CHUNK_SIZE = DEFAULT_CHUNK_SIZE
"""Bytes; what clients get."""

MAX_TEXT = 1024
"""Characters of a text in an answer."""

_SERVER = {"fmsVer": "FMS/3,5,3,888", "capabilities": 127.0, "mode": 1.0}
"""Values that clients of Flash expect."""


def status(
    code: str, text: str, stream_id: int, level: str = "status", **more: object
) -> RtmpMessage:
    """An onStatus: the answer to a command of a stream."""
    values = {"level": level, "code": code, "description": text, **more}
    return Command("onStatus", 0.0, None, (values,)).pack(stream_id)


def result(transaction_id: float, *values: object) -> RtmpMessage:
    """The answer to a command of the connection."""
    return Command("_result", transaction_id, None, values).pack()


def error(transaction_id: float, code: str, text: str) -> RtmpMessage:
    values = {"level": "error", "code": code, "description": text}
    return Command("_error", transaction_id, None, (values,)).pack()


def connected(transaction_id: float, ack_window: int = DEFAULT_ACK_WINDOW) -> list[RtmpMessage]:
    """The answer to a connect, with the limits of this side."""
    values = {
        "level": "status",
        "code": "NetConnection.Connect.Success",
        "description": "Connection succeeded",
        "objectEncoding": 0.0,
    }
    return [
        window_ack(ack_window),
        set_peer_bandwidth(ack_window),
        set_chunk_size(CHUNK_SIZE),
        Command("_result", transaction_id, _SERVER, (values,)).pack(),
        Command("onBWDone").pack(),
    ]


def not_connected(transaction_id: float, text: str) -> RtmpMessage:
    return error(transaction_id, "NetConnection.Connect.Rejected", text[:MAX_TEXT])


def publish_started(stream_id: int, name: str) -> list[RtmpMessage]:
    return [status("NetStream.Publish.Start", f"{name} is published", stream_id)]


def publish_ended(stream_id: int) -> list[RtmpMessage]:
    return [status("NetStream.Unpublish.Success", "no longer published", stream_id)]


def play_started(stream_id: int, name: str, and_reset: bool) -> list[RtmpMessage]:
    messages = [user_control(UserEvent.STREAM_BEGIN, stream_id)]
    if and_reset:
        messages.append(status("NetStream.Play.Reset", f"reset for {name}", stream_id))
    return [
        *messages,
        status("NetStream.Play.Start", f"{name} is played", stream_id, details=name),
        pack_data("|RtmpSampleAccess", True, True, stream_id=stream_id),
        pack_data("onStatus", {"code": "NetStream.Data.Start"}, stream_id=stream_id),
    ]


def play_stopped(stream_id: int) -> RtmpMessage:
    return status("NetStream.Play.Stop", "no longer played", stream_id)


def play_ended(stream_id: int, name: str) -> list[RtmpMessage]:
    """Players of FFmpeg and librtmp end at the second message, those of GStreamer only when the
    connection is closed."""
    return [
        user_control(UserEvent.STREAM_EOF, stream_id),
        status("NetStream.Play.UnpublishNotify", f"{name} has ended", stream_id, details=name),
    ]


def refused(stream_id: int, is_publisher: bool, code: str, text: str) -> RtmpMessage:
    """`code`: the last word of it, or all of it. Both are cut to what a peer takes."""
    code, text = code[:MAX_TEXT], text[:MAX_TEXT]
    if "." not in code:
        code = f"NetStream.{'Publish' if is_publisher else 'Play'}.{code}"
    return status(code, text, stream_id, "error")
