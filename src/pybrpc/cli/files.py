"""Files that arguments name, and the standard input, of which only so much is read."""

from __future__ import annotations

import sys

from pybrpc.cli.command import UsageError

MAX_FILE_BYTES = 1 << 30
"""No message has as many; a device such as /dev/zero has no end."""
READ_BYTES = 1 << 20


def read_bytes(path: str) -> bytes:
    """The content of a file. UsageError if it can't be read, or is too long."""
    parts: list[bytes] = []
    size_bytes = 0
    try:
        with open(path, "rb") as file:
            while data := file.read(READ_BYTES):
                parts.append(data)
                size_bytes += len(data)
                if size_bytes > MAX_FILE_BYTES:
                    raise UsageError(f"{path} has over {MAX_FILE_BYTES} bytes")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return b"".join(parts)


def text_in(argument: str) -> str:
    """A text: the argument itself, the standard input for "-", the file of "@path". UsageError if
    there is no such file, it is no UTF-8, or too long."""
    if argument == "-":
        text = sys.stdin.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise UsageError(f"the standard input has over {MAX_FILE_BYTES} characters")
        return text
    if argument.startswith("@"):
        path = argument[1:]
        try:
            return read_bytes(path).decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is no UTF-8: {error}") from error
    return argument
