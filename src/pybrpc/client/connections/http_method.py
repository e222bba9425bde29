"""HttpMethod and HttpRawMethod: methods of services as HTTP carries them.

A call is a POST to /full.service.Name/Method. bRPC: SerializeHttpRequest and ProcessHttpResponse,
src/brpc/policy/http_rpc_protocol.cpp.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

from google.protobuf.message import Message

from pybrpc.base.checked_options import shown
from pybrpc.client.connections.http_request import AUTHORIZATION, HttpRequest
from pybrpc.errors import BadRequestError, BadResponseError, Phase
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.json2pb import JsonOptions
from pybrpc.json2pb.options import DEFAULT
from pybrpc.protocols.http1.client_session import WholeResponse
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.rpc.body_encoding import BodyEncoding
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import CompressType, compress_name
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.http import HttpHeader, received_response
from pybrpc.rpc.http_bodies import (
    GZIP_ENCODINGS,
    MIN_GZIP_BYTES,
    HttpContentType,
    body_to_message,
    content_type_in,
    message_to_body,
    plain_body,
)
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_body import RawBody
from pybrpc.rpc.raw_method import RawMethod

LOG_ID = "log-id"
REQUEST_ID = "x-request-id"
_COUNT_64 = 1 << 64


class HttpMethod(Method):
    """A Method whose messages are in the bodies of HTTP.

    Without another Content-Type in `controller.http_request`, requests have `content_type`. If a
    message has no fields, the attachment of the controller is the body, as it is. `json_options`
    say how JSON is written and read.
    """

    __slots__ = ("content_type", "json_options")

    content_type: HttpContentType
    json_options: JsonOptions

    @classmethod
    def of(
        cls, method: Method, content_type: HttpContentType, json_options: JsonOptions = DEFAULT
    ) -> HttpMethod:
        made = cls(
            method.service_name,
            method.name,
            method.request_type,
            method.response_type,
            method.encoding,
            method.is_idempotent,
            method.index,
        )
        made.content_type = content_type
        made.json_options = json_options
        return made

    def with_encoding(self, encoding: BodyEncoding) -> HttpMethod:
        return HttpMethod.of(super().with_encoding(encoding), self.content_type, self.json_options)

    def serialize(  # type: ignore[override]
        self, request: Message, controller: Controller | None
    ) -> HttpRequest:
        """The request; BadRequestError if `request` is not allowed, or HTTP can't carry it."""
        if not self.request_type.has(request):
            wanted = self.request_type.full_name
            raise _bad_request(f"request must be a {wanted}, not {_name_of(request)}")
        headers = headers_of_call(controller)
        attachment = None if controller is None else controller._request_attachment
        body: bytes | IOBuf
        if not request.DESCRIPTOR.fields:
            body = IOBuf() if attachment is None else attachment.copy()
        else:
            if attachment:
                raise _bad_request("request_attachment must be empty: a body has the message alone")
            body = self._body_of(request, headers)
        body = encoded(body, headers, self.encoding, controller)
        add_log_headers(headers, controller)
        return HttpRequest("POST", path_of(self, controller), headers, body, fails_by_status=True)

    def parse(self, response: WholeResponse, max_body_size: int) -> Message:  # type: ignore[override]
        """The message in a response; BadResponseError if there is none."""
        message_class = self.response_class
        if not message_class.DESCRIPTOR.fields:
            return message_class()
        headers = response.head.headers
        content_type = content_type_in(headers.content_type)
        if content_type is None:
            said = headers.content_type[:200]
            raise _bad_response(
                f"the response has the Content-Type {said!r}, and a {self.response_type.full_name} "
                "needs one of messages, such as application/json"
            )
        try:
            body = plain_body(response.body, headers.get("content-encoding"), max_body_size)
            return body_to_message(body, message_class, content_type, self.json_options)
        except BodyError as error:
            name = self.response_type.full_name
            raise _bad_response(f"Fail to parse the response as {name}: {error}") from None

    def fill(self, controller: Controller, response: WholeResponse) -> None:  # type: ignore[override]
        """Put the head, and the body if it is no message, into the caller's controller."""
        fill_head(controller, response)
        if not self.response_class.DESCRIPTOR.fields:
            controller._response_attachment = response.body

    def _body_of(self, request: Message, headers: HttpHeaders) -> bytes:
        if not self.request_type.is_complete(request):
            found: Any = request
            missing = ", ".join(found.FindInitializationErrors())
            raise _bad_request(f"Missing required fields in request: {missing}")
        content_type: HttpContentType | None = self.content_type
        if headers.content_type:
            content_type = content_type_in(headers.content_type)
        else:
            headers["Content-Type"] = self.content_type.value
        if content_type is None:
            said = headers.content_type
            raise _bad_request(f"no message can be sent with the Content-Type {said!r}")
        try:
            return message_to_body(request, content_type, self.json_options)
        except BodyError as error:
            name = self.request_type.full_name
            raise _bad_request(f"Fail to convert {name} to {content_type.value}: {error}") from None


class HttpRawMethod(RawMethod):
    """A RawMethod whose bodies are those of HTTP, with the Content-Type of the channel. A response
    is given as it came: if it is compressed, `controller.response_compress_type` says so."""

    __slots__ = ("content_type",)

    content_type: HttpContentType

    @classmethod
    def of(cls, method: RawMethod, content_type: HttpContentType) -> HttpRawMethod:
        made = cls(
            method.service_name, method.name, method.index, method.is_idempotent, method.encoding
        )
        made.content_type = content_type
        return made

    def with_encoding(self, encoding: BodyEncoding) -> HttpRawMethod:
        return HttpRawMethod.of(super().with_encoding(encoding), self.content_type)

    def serialize(  # type: ignore[override]
        self, request: RawBody, controller: Controller | None
    ) -> HttpRequest:
        """The request; BadRequestError if `request` is no bytes."""
        if not isinstance(request, bytes | bytearray | memoryview | IOBuf):
            name = type(request).__name__
            raise _bad_request(f"request must be bytes or a pybrpc.IOBuf, not {name}")
        headers = headers_of_call(controller)
        if controller is not None and controller._request_attachment:
            raise _bad_request("request_attachment must be empty: the body is the request")
        if not headers.content_type:
            headers["Content-Type"] = self.content_type.value
        refuse_checksum(self.encoding, controller)
        compress_type = None if controller is None else controller._request_compress_type
        if compress_type:
            note_compression(headers, compress_type)
        add_log_headers(headers, controller)
        return HttpRequest(
            "POST", path_of(self, controller), headers, bytes(request), fails_by_status=True
        )

    def parse(self, response: WholeResponse, max_body_size: int) -> bytes:  # type: ignore[override]
        """The body of a response as it came."""
        return bytes(response.body)

    def fill(self, controller: Controller, response: WholeResponse) -> None:  # type: ignore[override]
        """Put the head into the caller's controller."""
        fill_head(controller, response)


def as_http(
    method: Method | RawMethod, content_type: HttpContentType, json_options: JsonOptions
) -> Method | RawMethod:
    """`method`, as HTTP carries it."""
    if isinstance(method, RawMethod):
        return HttpRawMethod.of(method, content_type)
    return HttpMethod.of(method, content_type, json_options)


def headers_of_call(controller: Controller | None) -> HttpHeaders:
    """The headers that the caller has set, with the host and the user of the URL in
    `http_request.uri`. BadRequestError for what HTTP has no place for."""
    if controller is None:
        return HttpHeaders()
    if controller._request_user_fields:
        raise _bad_request(
            "http has no place for request_user_fields: use controller.http_request.headers"
        )
    header: HttpHeader | None = controller._http_request
    if header is None:
        return HttpHeaders()
    headers, uri = header.headers.copy(), header.uri
    if uri.host and "host" not in headers:
        headers["Host"] = uri.authority
    if uri.user_info and AUTHORIZATION not in headers:
        secret = base64.b64encode(uri.user_info.encode("utf-8", "surrogateescape"))
        headers[AUTHORIZATION] = f"Basic {secret.decode('ascii')}"
    return headers


def add_log_headers(headers: HttpHeaders, controller: Controller | None) -> None:
    """Add the log id and the request id. BadRequestError if the latter can't be sent."""
    if controller is None:
        return
    if controller._log_id is not None:
        headers[LOG_ID] = str(controller._log_id % _COUNT_64)
    if controller._request_id:
        try:
            headers[REQUEST_ID] = controller._request_id
        except ValueError as error:
            raise _bad_request(f"request_id can't be sent: {error}") from None


def path_of(method: Method | RawMethod, controller: Controller | None) -> str:
    """/full.service.Name/Method, with the query that the caller has set."""
    path = f"/{method.service_name}/{method.name}"
    header = None if controller is None else controller._http_request
    query = "" if header is None else header.uri.query
    return f"{path}?{query}" if query else path


def encoded(
    body: bytes | IOBuf, headers: HttpHeaders, encoding: BodyEncoding, controller: Controller | None
) -> bytes | IOBuf:
    """`body`, compressed as the channel or the controller asks. BadRequestError for another way
    than gzip, and for checksums."""
    refuse_checksum(encoding, controller)
    compress_type = encoding.compress_type
    if controller is not None and controller._request_compress_type is not None:
        compress_type = controller._request_compress_type
    if not compress_type or "content-encoding" in headers:
        return body
    if compress_type == CompressType.GZIP and len(body) < MIN_GZIP_BYTES:
        return body
    note_compression(headers, compress_type)
    return zlib.compress(bytes(body), wbits=16 + zlib.MAX_WBITS)


def note_compression(headers: HttpHeaders, compress_type: int) -> None:
    """Say that the body is compressed; BadRequestError for another way than gzip."""
    if compress_type != CompressType.GZIP:
        name = compress_name(compress_type)
        raise _bad_request(f"http does not support {name}; gzip is supported")
    headers["Content-Encoding"] = "gzip"


def refuse_checksum(encoding: BodyEncoding, controller: Controller | None) -> None:
    """BadRequestError if a checksum is asked for."""
    checksum_type: int | None = encoding.checksum_type
    if controller is not None and controller._request_checksum_type is not None:
        checksum_type = controller._request_checksum_type
    if checksum_type:
        raise _bad_request("http has no place for a checksum")


def fill_head(controller: Controller, response: Any) -> None:
    """Put the head of a response into the caller's controller."""
    controller._http_response = header = received_response(response.head)
    if header.headers.get("content-encoding", "").lower() in GZIP_ENCODINGS:
        controller._response_compress_type = CompressType.GZIP


def _name_of(thing: Any) -> str:
    descriptor = getattr(thing, "DESCRIPTOR", None)
    if isinstance(thing, type):
        return shown(thing)
    return str(getattr(descriptor, "full_name", type(thing).__name__))


def _bad_request(text: str) -> BadRequestError:
    return BadRequestError(text, phase=Phase.QUEUED)


def _bad_response(text: str) -> BadResponseError:
    return BadResponseError(text, phase=Phase.WAITING)
