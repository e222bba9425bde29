"""pybrpc call --stream: the standard input to a stream of bRPC, and its messages to the output."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import threading
import time
from typing import Any

from google.protobuf.message import DecodeError, Message

from pybrpc.cli.arguments import some_seconds
from pybrpc.cli.calling import json_of, message_of
from pybrpc.cli.command import OK, CommandError
from pybrpc.cli.output import Output, escaped, printable
from pybrpc.cli.schema.schema import Schema
from pybrpc.cli.standard_input import lines
from pybrpc.client.channel.stream_call import StreamCall
from pybrpc.errors import RpcError, StreamClosedError, StreamTimeoutError
from pybrpc.streams.stream import Stream


def add_stream_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--stream`, and what belongs to it."""
    group = parser.add_argument_group("streams")
    group.add_argument("--stream", action="store_true", help="open a stream")
    group.add_argument(
        "--send-type", metavar="TYPE", help="lines are the JSON of this message (text)"
    )
    group.add_argument(
        "--receive-type", metavar="TYPE", help="print messages as the JSON of this one (text)"
    )
    group.add_argument(
        "--idle",
        type=some_seconds,
        default=1.0,
        metavar="SECONDS",
        help="after the end of the input: end when no message has come for so long (%(default)g)",
    )


def run_stream(
    options: argparse.Namespace, schema: Schema, stream_call: StreamCall, output: Output
) -> int:
    """Open the stream, and copy in both directions until it ends."""
    sent = None if options.send_type is None else schema.message_class(options.send_type)
    received = options.receive_type
    shown = None if received is None else schema.message_class(received)
    with stream_call as call:
        response = json_of(call.response, options.defaults)
        if output.is_json:
            output.value({"response": json.loads(response)})
        else:
            output.note(f"response: {escaped(response)}")
        sender = Sender(call.stream, sent, options.lenient)
        sender.thread.start()
        receive(call.stream, shown, sender, options, output)
    if sender.error is not None:
        raise sender.error
    return OK


class Sender:
    """A thread that sends the lines of the standard input. A daemon: reading can't be ended."""

    def __init__(
        self, stream: Stream, message_class: type[Message] | None, is_lenient: bool
    ) -> None:
        self._stream = stream
        self._class = message_class
        self._is_lenient = is_lenient
        self.ended_at: float | None = None
        """When the input has ended, or the stream, in monotonic seconds."""
        self.error: Exception | None = None
        """The reason why it has stopped; `None` if the input has ended, or the stream."""
        self.thread = threading.Thread(target=self._run, name="pybrpc-cli-input", daemon=True)

    def _run(self) -> None:
        try:
            for line in lines():
                self._stream.send(self._bytes_of(line))
        except RpcError:
            pass  # the receiver hears of it too
        except CommandError as error:
            self.error = error
        except (OSError, ValueError) as error:
            self.error = CommandError(f"standard input: {error}")
        finally:
            self.ended_at = time.monotonic()
            if self.error is not None:
                with contextlib.suppress(RpcError):
                    self._stream.close()  # which wakes the receiver

    def _bytes_of(self, line: bytes) -> bytes:
        if self._class is None:
            return line
        return message_of(line, self._class, self._is_lenient).SerializeToString()


def receive(
    stream: Stream,
    message_class: type[Message] | None,
    sender: Sender,
    options: argparse.Namespace,
    output: Output,
) -> None:
    """Print messages until the server closes the stream, or it is idle after the last line."""
    last_at = time.monotonic()
    while sender.error is None:
        wait_s = options.idle
        if sender.ended_at is not None:
            wait_s = max(last_at, sender.ended_at) + options.idle - time.monotonic()
        if wait_s <= 0:
            return
        try:
            data = stream.recv(wait_s)
        except StreamTimeoutError:
            continue
        except StreamClosedError:
            return
        show(data, message_class, options, output)
        last_at = time.monotonic()


def show(
    data: bytes,
    message_class: type[Message] | None,
    options: argparse.Namespace,
    output: Output,
) -> None:
    """Print one message as a line."""
    if message_class is not None:
        try:
            text = json_of(message_class.FromString(data), options.defaults)
        except DecodeError as error:
            name = options.receive_type
            raise CommandError(f"a message of {len(data)} bytes is no {name}") from error
        output.result({"message": json.loads(text)}, escaped(text))
        return
    output.result(as_text(data), printable(data.decode("utf-8", "replace")))


def as_text(data: bytes) -> dict[str, Any]:
    """A message for machines: text, or base64 if it is none."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
