"""Protobuf messages into and out of an IOBuf."""

from __future__ import annotations

from google.protobuf.struct_pb2 import ListValue

from pybrpc.iobuf import IOBuf


def a_message() -> ListValue:
    message = ListValue()
    message.extend([f"value{i}" for i in range(1000)])
    message.extend([1.5, True, None])
    return message


def test_conversion_with_protobuf() -> None:
    """bRPC: conversion_with_protobuf, from one block after a header."""
    message = a_message()
    header = b"just-make-sure-the-message-does-not-clear-the-buffer"
    buf = IOBuf(header)
    buf.append(message.SerializeToString())
    assert len(buf) == message.ByteSize() + len(header)
    assert buf.pop_front(len(header)) == len(header)
    assert ListValue.FromString(bytes(buf)) == message


def test_conversion_with_protobuf_from_a_part_of_a_block() -> None:
    """bRPC: conversion_with_protobuf, in place: the body is a view of the received block."""
    message = a_message()
    body = message.SerializeToString()
    buf = IOBuf(b"header" + body + b"next")
    buf.pop_front(6)
    cut = buf.cut_contiguous(len(body))
    assert isinstance(cut, memoryview)
    assert ListValue.FromString(cut) == message  # type: ignore[arg-type]
    assert buf == b"next"


def test_conversion_with_protobuf_across_blocks() -> None:
    """bRPC: conversion_with_protobuf, from many blocks."""
    message = a_message()
    body = message.SerializeToString()
    buf = IOBuf()
    buf.appendv(body[i : i + 100] for i in range(0, len(body), 100))
    assert ListValue.FromString(buf.cut_contiguous(len(body))) == message  # type: ignore[arg-type]
