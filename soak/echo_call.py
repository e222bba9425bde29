"""EchoCall: a call whose answer can be checked, of a size from nothing to a MiB."""

from __future__ import annotations

import importlib.util
import itertools
import random
from typing import Any

import pybrpc
from bench.echo_messages import EchoRequest
from pybrpc import ChecksumType, CompressType
from soak.echo_services import RAISE
from soak.on_purpose import HANDLER_KINDS, Kind, drawn_kind

MOST_BYTES = 1 << 20
MOST_TEXT = 1 << 14

_BLOCK = memoryview(random.Random(1).randbytes(2 * MOST_BYTES))
_TEXT = "the longer a text is, the more there is to compress; " * (MOST_TEXT // 50)
_numbers = itertools.count(1)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


COMPRESSIONS = (
    CompressType.GZIP,
    CompressType.ZLIB,
    *([CompressType.SNAPPY] if _is_installed("cramjam") else []),
)
HAS_CHECKSUMS = _is_installed("crc32c")


class EchoCall:
    """Request and controller of one call; no two calls send the same."""

    __slots__ = ("_user", "controller", "request")

    def __init__(self, source: random.Random, user: str = "") -> None:
        """`user`: as whom the channel introduces itself, if it does."""
        self._user = user
        self.request = EchoRequest(message=f"call {next(_numbers)}")
        self.controller = pybrpc.Controller()
        size = drawn_size(source)
        start = source.randrange(MOST_BYTES)
        if size:
            self.controller.request_attachment = _BLOCK[start : start + size]
        if source.random() < 0.3:
            self._compress(source)
        if HAS_CHECKSUMS and source.random() < 0.3:
            self.controller.request_checksum_type = ChecksumType.CRC32C
            self.controller.request_checksum_attachment = source.random() < 0.5

    def ask_to_raise(self, kind: Kind) -> None:
        """Have the handler raise instead of answering."""
        self.controller.request_user_fields[RAISE] = kind.__name__

    def complaint(self, response: Any) -> str:
        """The defect of the response; "" if it is as expected."""
        name, controller = self.request.message[:20], self.controller
        if RAISE in controller.request_user_fields:
            return f"{name}: its handler was to raise {controller.request_user_fields[RAISE]}"
        if response.message != self.request.message:
            return f"asked {name!r}, answered {response.message[:20]!r}"
        sent, got = controller.request_attachment, controller.response_attachment
        if bytes(sent) != bytes(got):
            return f"{name}: {len(sent)} bytes came back as other {len(got)}"
        if how_packed(controller, "request") != how_packed(controller, "response"):
            return (
                f"{name}: compressed or checksummed otherwise, {how_packed(controller, 'response')}"
            )
        user = controller.response_user_fields.get("user", "")
        if user != self._user:
            return f"{name}: called by {self._user!r}, taken for {user!r}"
        return ""

    def _compress(self, source: random.Random) -> None:
        self.controller.request_compress_type = source.choice(COMPRESSIONS)
        self.request.message += " " + _TEXT[: source.randrange(MOST_TEXT)]


def drawn_call(source: random.Random, user: str) -> EchoCall:
    """An EchoCall, which now and then asks its handler to raise."""
    call = EchoCall(source, user)
    kind = drawn_kind(source, tuple(HANDLER_KINDS.values()))
    if kind is not None:
        call.ask_to_raise(kind)
    return call


def how_packed(controller: pybrpc.Controller, side: str) -> tuple[int, int, bool]:
    """How the "request" or the "response" of a call is compressed and checksummed."""
    names = ("compress_type", "checksum_type", "checksum_attachment")
    compress, checksum, attachment = (getattr(controller, f"{side}_{name}") for name in names)
    return int(compress or 0), int(checksum or 0), bool(attachment)


def drawn_size(source: random.Random) -> int:
    """Nothing in a third of all cases; else small sizes are as likely as large ones."""
    return 0 if source.random() < 0.33 else int(MOST_BYTES ** source.random())
