"""The cost of JSON: pybrpc's, with orjson and without, beside protobuf's own json_format.

python -m bench.experiments.json_bodies

Processor time to convert one message to JSON and back, the best of several rounds: a message with
one field, one of a kilobyte with ten messages in it, and one of a thousand integers. Their JSON
differs: json_format's has names in camelCase, and 64-bit integers as strings. In brackets, how many
times as fast as json_format.

Verdict (2 busy cores, CPython 3.11, protobuf 7.36 with upb, orjson 3.13): one field takes 1.2 us to
JSON (3.3) and 1.6 us from it (5.2), without orjson 2.6 us (3.2); ten messages in a kilobyte 32 us
(2.0) and 30 us (4.6), without orjson 36 us (3.8); 1000 integers 90 us (5.0) and 58 us (17), without
orjson 99 us (10). orjson itself takes 0.2, 2.7 and 14 us of that. To JSON, it would help only with
a different notation of numbers than bRPC's, so it is not used there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf import descriptor_pb2, json_format

from bench.echo_messages import EchoRequest
from pybrpc.json2pb import json_to_message, json_values, message_to_json

ROUNDS = 9
ROUND_S = 0.05


def main() -> None:
    print("us to convert             json_format   orjson            json")
    for name, message in messages():
        print_row(f"{name}, to JSON", json_writers(message))
        print_row(f"{name}, from JSON", json_readers(message))


def messages() -> Iterator[tuple[str, Any]]:
    yield "one field", EchoRequest(message="m" * 32)
    nested = descriptor_pb2.DescriptorProto(name="Nested")
    for index in range(10):
        nested.field.add(
            name=f"field_number_{index}",
            number=index + 1,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            json_name=f"f{index}",
        )
    yield "ten messages", nested
    yield "1000 integers", descriptor_pb2.SourceCodeInfo.Location(path=range(1000))


def json_writers(message: Any) -> list[float]:
    theirs = time_us(lambda: json_format.MessageToJson(message, indent=None))
    ours = time_us(lambda: message_to_json(message))
    return [theirs, ours, ours]  # it needs no parser


def json_readers(message: Any) -> list[float]:
    message_class = type(message)
    text, proto_json = message_to_json(message), json_format.MessageToJson(message, indent=None)
    theirs = time_us(lambda: json_format.Parse(proto_json, message_class()))
    ours = time_us(lambda: json_to_message(text, message_class))
    with without_orjson():
        return [theirs, ours, time_us(lambda: json_to_message(text, message_class))]


@contextmanager
def without_orjson() -> Iterator[None]:
    found = json_values.orjson_loads
    json_values.orjson_loads = None
    try:
        yield
    finally:
        json_values.orjson_loads = found


def time_us(convert: Callable[[], object]) -> float:
    """Processor time of one call, in the best round."""
    calls = 1
    while _round_s(convert, calls) < ROUND_S:
        calls *= 2
    return min(_round_s(convert, calls) for _ in range(ROUNDS)) / calls * 1e6


def _round_s(convert: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        convert()
    return time.process_time() - start


def print_row(name: str, times_us: list[float]) -> None:
    theirs, *ours = times_us
    cells = "".join(f"{one:10.1f} ({theirs / one:4.1f})" for one in ours)
    print(f"{name:25} {theirs:11.1f}{cells}")


if __name__ == "__main__":
    main()
