"""RawMethod: a method that is called by its names, with bytes in place of messages."""

from __future__ import annotations

from pybrpc.base.checked_options import checked_count_or_none, checked_flag, checked_text
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.raw_body import RawBody, parse_raw_response, serialize_raw_request

_LEAST_INDEX, _MOST_INDEX = -(2**31), 2**31 - 1
"""An index travels in 32 bits. A proxy passes on whatever it was sent."""


class RawMethod:
    """Like `Method`, for bodies that are bytes. Nothing is known of the service but its name."""

    __slots__ = ("encoding", "index", "is_idempotent", "name", "service_name")

    def __init__(
        self,
        service_name: str,
        name: str,
        index: int | None = None,
        is_idempotent: bool = False,
        encoding: BodyEncoding = PLAIN,
    ) -> None:
        """The arguments are those of `Method`. TypeError, ValueError for wrong ones."""
        self.service_name = checked_text("service", service_name)
        self.name = checked_text("method", name)
        self.index = checked_count_or_none("index", index, _LEAST_INDEX, _MOST_INDEX)
        self.is_idempotent = checked_flag("is_idempotent", is_idempotent)
        self.encoding = encoding
        """How requests are checksummed; they are never compressed here."""

    @property
    def full_name(self) -> str:
        return f"{self.service_name}.{self.name}"

    def with_encoding(self, encoding: BodyEncoding) -> RawMethod:
        """A copy, whose requests are checksummed, but not compressed, as `encoding` asks."""
        checksummed = BodyEncoding(0, encoding.checksum_type, encoding.checksum_with_attachment)
        return RawMethod(self.service_name, self.name, self.index, self.is_idempotent, checksummed)

    def serialize(self, request: RawBody, controller: Controller | None) -> bytes | EncodedBody:
        """The body of a request; BadRequestError if `request` is no bytes."""
        return serialize_raw_request(request, controller, self.encoding)

    def parse(self, response: RpcResponse, max_body_size: int) -> bytes:
        """The body of a response as it came; BadResponseError if its checksum is wrong."""
        return parse_raw_response(response)

    def fill(self, controller: Controller, response: RpcResponse) -> None:
        """Put the rest of the response, beside the body, into the caller's controller."""
        controller._note_response(response)
        controller._response_attachment = response.attachment
        controller._response_user_fields = response.user_fields

    def __repr__(self) -> str:
        return f"<RawMethod {self.full_name}>"
