"""CallForm: the request of HTTP behind a ServerCall: its body to a message, its response to bytes.

Rules: bRPC's src/brpc/policy/http_rpc_protocol.cpp, ProcessHttpRequest and SendHttpResponse.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    InternalServerError,
    RpcCanceledError,
)
from pybrpc.iobuf.iobuf import IOBuf, iobuf_of
from pybrpc.json2pb import JsonOptions, query_to_message
from pybrpc.json2pb.query import set_field
from pybrpc.protocols.http1 import HttpHeaders, status_of_error
from pybrpc.protocols.http1.headers import tokens_in
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body import check_response, missing_fields
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import CompressType, compress, decompress
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.http import HttpMessage
from pybrpc.rpc.http_body import AioHttpBody, HttpBody
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.http.body_items import BodyItems
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.content_types import JSON, PARSE_ERRORS, MessageForm, form_of
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.generator_body import is_generator, start_body
from pybrpc.server.http.progressive import AttachmentMaker, ProgressiveBody
from pybrpc.server.http.request import HttpRequest

LEAST_COMPRESSED_BYTES = 512
"""Bodies below this are sent as they are, as with bRPC's `-http_body_compress_threshold`."""

_JSON_OPTIONS = JsonOptions()
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n"


class MethodTraits:
    """What a method makes of bodies. One for each MethodEntry that HTTP can reach."""

    __slots__ = ("can_be_incomplete", "has_request_fields", "message_class", "options")

    def __init__(
        self, entry: MethodEntry, takes_body: bool = True, options: JsonOptions = _JSON_OPTIONS
    ) -> None:
        """`takes_body`: whether a body is the message; else it is the attachment."""
        self.message_class: type[Message] = entry.request_type.message_class
        self.has_request_fields = takes_body and bool(self.message_class.DESCRIPTOR.fields)
        self.can_be_incomplete = bool(entry.request_type.can_be_incomplete)
        self.options = options


class CallForm:
    """Any thread, one at a time. Also the ResponsePacker of the call, for its failures."""

    __slots__ = (
        "_attachments",
        "_exchange",
        "_form",
        "_is_async",
        "_queue",
        "_request",
        "_response",
        "_traits",
    )

    def __init__(
        self,
        request: HttpRequest,
        traits: MethodTraits,
        exchange: HttpExchange,
        is_async: bool,
        queue: BodyQueue | None = None,
    ) -> None:
        """`is_async`: the handler. `queue`: the body, if the handler reads it."""
        self._exchange = exchange
        self._is_async = is_async
        self._queue = queue
        self._attachments = AttachmentMaker(exchange, request, is_async)
        self._request = request
        self._traits = traits
        content_type = request.head.headers.get("content-type", "")
        self._form: MessageForm = form_of(content_type) or JSON
        self._response: HttpMessage | None = None

    # --- the request ---

    def prepare(self, controller: Controller) -> None:
        """Tell the controller what came beside the message."""
        request = self._request
        controller.auth_context = request.auth_context
        head = request.head
        controller.http_request = HttpMessage(
            head.headers, method=head.method, uri=request.uri, unresolved_path=request.rest
        )
        self._response = controller.http_response = HttpMessage()
        self._response._attachments = self._attachments
        if self._queue is not None:
            kind = AioHttpBody if self._is_async else HttpBody
            controller.http_request.body = kind(
                self._queue, self._exchange.connection.max_body_size
            )
        if not self._traits.has_request_fields and request.body:
            controller._request_attachment = request.body

    def parse(self, call: ServerCall, limit_bytes: int) -> Message:
        """The request message. BadRequestError if the body, the query or the path has none."""
        request, traits = self._request, self._traits
        message_class = traits.message_class
        if not traits.has_request_fields:
            message = message_class()
        else:
            body = call.request.body
            if call.request.compress_type:
                body = self._decompressed(body, limit_bytes)
            message = self._parsed(bytes(body)) if body else self._from_query()
        if request.captures:
            self._set_captures(message)
        if traits.can_be_incomplete and not message.IsInitialized():
            missing = ", ".join(missing_fields(message))
            raise BadRequestError(f"Missing required fields in request: {missing}")
        return message

    def _parsed(self, body: bytes) -> Message:
        form, traits = self._form, self._traits
        try:
            return form.parse(body, traits.message_class, traits.options)
        except PARSE_ERRORS as error:
            name = traits.message_class.DESCRIPTOR.full_name
            text = f"Fail to parse http {form.name} body as {name}: {error}"
            raise BadRequestError(text) from None

    def _from_query(self) -> Message:
        query = self._request.uri.query
        message_class = self._traits.message_class
        if not query:
            return message_class()
        return self._of_query(query, message_class)

    def _of_query(self, query: str, message_class: type[Message]) -> Message:
        try:
            return query_to_message(query, message_class, self._traits.options)
        except PARSE_ERRORS as error:
            name = message_class.DESCRIPTOR.full_name
            raise BadRequestError(f"Fail to set fields of {name} from the URL: {error}") from None

    def _set_captures(self, message: Message) -> None:
        for name, text in self._request.captures:
            set_captured(message, name, text, self._traits.options)

    def _decompressed(self, body: Any, limit_bytes: int) -> Any:
        try:
            return decompress(body, CompressType.GZIP, limit_bytes)
        except BodyError as error:
            raise BadRequestError(f"Fail to un-gzip request body: {error}") from None

    # --- the response ---

    def takes_over(self, call: ServerCall, of: Controller, response: object, context: Any) -> bool:
        """Send what a generator yields, if `response` is one: then the call goes on without its
        handler, whose context is `context`. Never raises."""
        attachment = self._attachments.made
        if attachment is not None:
            return self._sends(attachment, call, of)
        if response is None or isinstance(response, Message) or not is_generator(response):
            return False
        if of.error_code:
            return False
        start_body(
            call, of, response, self._items(), self._exchange, self._request, context, self.release
        )
        return True

    def _sends(self, attachment: ProgressiveBody, call: ServerCall, of: Controller) -> bool:
        """Send an attachment, unless the call has failed."""
        if of.error_code:
            attachment.fail(RpcCanceledError("the call has failed"))
            return False
        attachment.begin(call, of, self.release)
        return True

    def release(self) -> None:
        """The call is over: nobody reads its body any more."""
        queue = self._queue
        if queue is not None:
            queue.drop()
            if not queue.is_complete:
                self._exchange.end_input_soon(self._request)

    def _items(self) -> BodyItems:
        made = self._response
        assert made is not None
        accept = self._request.head.headers.get("accept", "")
        return BodyItems(accept, made, self._traits.options)

    def pack(self, call: ServerCall, controller: Controller, response: object) -> IOBuf:
        """The bytes of a success."""
        if self._queue is not None:
            self.release()
        made = self._response
        attachment = controller._response_attachment
        if attachment:
            return self._pack_raw(call, controller, attachment)
        message = check_response(response, call.entry.response_type)
        form = self._form
        if made is not None and made.content_type:
            form = form_of(made.content_type) or form
        try:
            body = form.write(message, self._traits.options)
        except PARSE_ERRORS as error:
            raise BadResponseError(f"Fail to convert response to {form.name}: {error}") from None
        if self._is_plain(controller):
            data = iobuf_of(_OK % (len(body), form.content_type.encode()))
            data.append(body)
            return data
        return self._whole(controller, body, form.content_type)

    def _is_plain(self, controller: Controller) -> bool:
        """Whether the head of the response has nothing that most have not."""
        request, made = self._request, self._response
        head = request.head
        return (
            (made is None or made.is_untouched)
            and request.cors is None
            and head.minor_version == 1
            and head.keep_alive
            and head.method != "HEAD"
            and not controller._response_compress_type
        )

    def _pack_raw(self, call: ServerCall, controller: Controller, attachment: IOBuf) -> IOBuf:
        made = self._response
        default = "" if made is None else made.content_type
        return self._whole(controller, attachment, default or "application/octet-stream")

    def _whole(self, controller: Controller, body: bytes | IOBuf, content_type: str) -> IOBuf:
        made = self._response
        headers = HttpHeaders() if made is None else made.headers.copy()
        if "content-type" not in headers:
            headers["Content-Type"] = content_type
        if controller._response_compress_type:
            body = self._compressed(controller, body, headers)
        status = 200 if made is None else made.status_code
        reason = None if made is None else made.reason_phrase
        return self._request.whole(status, headers, body, reason)

    def _compressed(
        self, controller: Controller, body: bytes | IOBuf, headers: HttpHeaders
    ) -> bytes | IOBuf:
        accepted = tokens_in(self._request.head.headers.get("accept-encoding", ""))
        wanted = controller._response_compress_type == CompressType.GZIP
        accepts = any(each.partition(";")[0].strip() in ("gzip", "*") for each in accepted)
        if not wanted or not accepts or len(body) < LEAST_COMPRESSED_BYTES:
            return body
        headers["Content-Encoding"] = "gzip"
        headers.append("Vary", "Accept-Encoding")
        return compress(bytes(body), CompressType.GZIP)

    # --- a ResponsePacker ---

    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a failure."""
        self.release()
        made, code = self._response, response.error_code
        status = status_of_error(code)
        headers = None
        if made is not None:
            headers = made.headers
            if made.status_code != 200:
                status = made.status_code
        return self._request.error(code, response.error_text, status, headers)

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """Not used: `pack` makes successes."""
        raise InternalServerError("a response of HTTP is packed by its form")


def set_captured(message: Message, name: str, text: str, options: JsonOptions) -> None:
    """Set a field of `message` to a part of the path. BadRequestError if it can't have the
    value."""
    try:
        set_field(message, name, text, options)
    except PARSE_ERRORS as error:
        full_name = message.DESCRIPTOR.full_name
        raise BadRequestError(f"Fail to set {full_name}.{name} from the path: {error}") from None
