"""Packs commands, which are arrays of bulk strings on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pybrpc.errors import BadRequestError, Phase
from pybrpc.iobuf import IOBuf

Argument: TypeAlias = str | bytes | bytearray | memoryview | int | float
"""A part of a command. `str` is sent as UTF-8, a number in the notation of Python."""

SHARE_ABOVE_BYTES = 16 * 1024
"""A longer argument is not copied into the request."""


def pack_command(arguments: Sequence[Argument], into: IOBuf) -> None:
    """Append a command to `into`: an array of bulk strings.

    BadRequestError, and nothing is appended, if the type of an argument has no notation in Redis.
    A long `bytes` argument is not copied.
    """
    parts = [b"*%d\r\n" % len(arguments)]
    blocks: list[bytes] = []
    for argument in arguments:
        data = argument if type(argument) is bytes else _encoded(argument)
        if len(data) <= SHARE_ABOVE_BYTES:
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        else:
            parts.append(b"$%d\r\n" % len(data))
            blocks += (b"".join(parts), data)
            parts = [b"\r\n"]
    into.appendv(blocks)
    into.append(b"".join(parts))


def command_name(arguments: Sequence[Argument]) -> str:
    """The name of a command, its first argument, in capitals; BadRequestError if there is none."""
    if not arguments:
        raise _bad_request("a command has at least a name: add('PING')")
    name = arguments[0]
    return (name if type(name) is str else _encoded(name).decode("utf-8", "replace")).upper()


def _encoded(argument: object) -> bytes:
    if isinstance(argument, str):
        return _utf8(argument)
    if isinstance(argument, int) and not isinstance(argument, bool):
        return b"%d" % argument
    if isinstance(argument, float):
        return repr(float(argument)).encode()
    if isinstance(argument, bytes | bytearray | memoryview):
        return bytes(argument)
    raise _bad_request(
        f"an argument of a command is str, bytes, int or float, not {argument!r:.100}; "
        "turn it into one of these first"
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _bad_request(
            f"{text!r:.100} can't be encoded as UTF-8: {error.reason}; pass bytes"
        ) from None


def _bad_request(text: str) -> BadRequestError:
    return BadRequestError(text, phase=Phase.QUEUED)
