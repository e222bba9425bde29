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
from pybrpc.json2pb.json_to_pb import ReadPlan, read_plan_for
from pybrpc.json2pb.pb_to_json import WritePlan, write_plan_for
from pybrpc.json2pb.query import set_field
from pybrpc.protocols.http1 import HttpHeaders, RequestHead, status_of_error
from pybrpc.protocols.http1.headers import tokens_in
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import check_response, missing_fields
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import CompressType, compress, decompress
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.http import HttpHeader, received_request
from pybrpc.rpc.http_body import (
    AioProgressiveAttachment,
    AioRequestBody,
    ProgressiveAttachment,
    RequestBody,
)
from pybrpc.server.access_log.access_line import HttpSummary
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.http.body_items import BodyItems
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.content_types import (
    JSON,
    PARSE_ERRORS,
    PROTO,
    SPRING,
    MessageForm,
    form_of,
)
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.generator_body import is_generator, start_body
from pybrpc.server.http.progressive import ProgressiveBody
from pybrpc.server.http.request import HttpRequest
from pybrpc.server.http.served import summary_of
from pybrpc.tracing.context import extract

LEAST_COMPRESSED_BYTES = 512
"""Bodies below this are sent as they are, as with bRPC's `-http_body_compress_threshold`."""

MAX_JOINED_BYTES = 2048
"""Up to this length a body is copied behind its head: that costs less than a second block."""

MAX_ID = 2**64 - 1
RAW = "application/octet-stream"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n"


class MethodTraits:
    """The way a method reads and writes bodies. One for each MethodEntry that HTTP can reach."""

    __slots__ = (
        "_read_plan",
        "_write_plan",
        "can_be_incomplete",
        "has_request_fields",
        "message_class",
        "options",
    )

    def __init__(self, entry: MethodEntry, takes_body: bool, options: JsonOptions) -> None:
        """`takes_body`: whether a body is the message; else it is the attachment, and nobody asks
        for the required fields of the message, as in C++."""
        self.message_class: type[Message] = entry.request_type.message_class
        self.has_request_fields = takes_body and bool(self.message_class.DESCRIPTOR.fields)
        self.can_be_incomplete = takes_body and bool(entry.request_type.can_be_incomplete)
        self.options = options
        self._read_plan: ReadPlan | None = None
        self._write_plan: WritePlan | None = None

    def read_plan(self) -> ReadPlan:
        """The plan for requests in JSON, made when the first one comes."""
        plan = self._read_plan
        if plan is None:
            plan = self._read_plan = read_plan_for(self.message_class, self.options)
        return plan

    def write_plan(self, message: Message) -> WritePlan:
        """The plan for responses in JSON, all of which have the type of `message`."""
        plan = self._write_plan
        if plan is None:
            plan = self._write_plan = write_plan_for(message, self.options)
        return plan


class CallFacts:
    """All that the head of a request says about the call. Kept with the head."""

    __slots__ = (
        "accepts_gzip",
        "form",
        "has_more",
        "has_plain_answer",
        "is_gzip",
        "log_id",
        "request_id",
        "trace",
    )

    def __init__(self, head: RequestHead, traits: MethodTraits) -> None:
        headers = head.headers
        self.form: MessageForm = form_of(headers.content_type) or JSON
        self.log_id = number_in(headers.get("log-id"))
        self.request_id = headers.get("x-request-id")
        self.trace = extract(headers)
        coding = headers.get("content-encoding", "").strip().lower()
        self.is_gzip = traits.has_request_fields and coding in ("gzip", "x-gzip")
        named = (self.log_id, self.request_id, self.trace)
        self.has_more = self.is_gzip or any(each is not None for each in named)
        """Whether a request gets more than its names and its body."""
        accepted = tokens_in(headers.get("accept-encoding", ""))
        self.accepts_gzip = any(_is_gzip(each) for each in accepted)
        self.has_plain_answer = (
            head.minor_version == 1 and head.keep_alive and head.method != "HEAD"
        )
        """Whether the head of a response may be as short as that of most."""

    def add_to(self, request: RpcRequest) -> None:
        if self.is_gzip:
            request.compress_type = CompressType.GZIP.value
        request.log_id = self.log_id
        request.request_id = self.request_id
        trace = self.trace
        if trace is not None:
            trace.put_into(request)


def _is_gzip(coding: str) -> bool:
    """Whether an element of Accept-Encoding allows gzip: "gzip;q=0.5", but not "gzip;q=0"."""
    name, mark, weight = coding.replace(" ", "").partition(";q=")
    return name in ("gzip", "x-gzip", "*") and not (mark and weight.rstrip("0") in ("", "0."))


class CallForm:
    """Any thread, one at a time. Also the ResponsePacker of the call, for its failures. Made by
    `new_call_form`.

    made  the progressive attachment of the response, once the handler has asked for it
    """

    __slots__ = (
        "_controller",
        "_exchange",
        "_facts",
        "_has_generator",
        "_header",
        "_is_async",
        "_queue",
        "_request",
        "_traits",
        "made",
    )

    made: ProgressiveBody | None
    _controller: Controller | None
    _has_generator: bool
    """Whether the handler has returned a generator, which makes the body."""
    """Until the response is made: the controller refers to this form."""
    _exchange: HttpExchange
    _facts: CallFacts
    _header: HttpHeader | None
    """The header of the response, once that is made."""
    _is_async: bool
    _queue: BodyQueue | None
    _request: HttpRequest
    _traits: MethodTraits

    # --- the request ---

    def prepare(self, controller: Controller) -> None:
        """Tell the controller what came beside the message."""
        request = self._request
        controller.auth_context = request.auth_context
        resolved = request.resolved
        header = received_request(resolved.head, resolved.rest)
        header._attachments = self
        controller._http_request = header
        self._controller = controller
        if self._queue is not None:
            kind = AioRequestBody if self._is_async else RequestBody
            header.body = kind(self._queue, self._exchange.connection.max_body_size)
        if not self._traits.has_request_fields and request.body:
            controller._request_attachment = request.body

    def parse(self, call: ServerCall, limit_bytes: int) -> Message:
        """The request message. BadRequestError if the body, the query or the path has none."""
        traits = self._traits
        message_class = traits.message_class
        if not traits.has_request_fields:
            message = message_class()
        else:
            body = call.request.body
            if call.request.compress_type:
                body = self._decompressed(body, limit_bytes)
            message = self._parsed(bytes(body)) if body else self._from_query()
        if self._request.resolved.captures:
            self._set_captures(message)
        if traits.can_be_incomplete and not message.IsInitialized():
            missing = ", ".join(missing_fields(message))
            raise BadRequestError(f"Missing required fields in request: {missing}")
        return message

    @property
    def _is_partial(self) -> bool:
        """Whether the path may have the required fields that the rest lacks."""
        return bool(self._request.resolved.captures)

    def _parsed(self, body: bytes) -> Message:
        form, traits = self._facts.form, self._traits
        limit = traits.options.max_json_bytes
        if len(body) > limit and form not in (PROTO, SPRING):
            raise BadRequestError(
                f"A {form.name} body of {len(body)} bytes is larger than max_json_bytes={limit} of "
                "the JsonOptions"
            )
        try:
            if form is JSON:
                plan, message_class = traits.read_plan(), traits.message_class
                message: Message = plan.to_message(body, message_class, self._is_partial)
                return message
            return form.parse(body, traits.message_class, traits.options, self._is_partial)
        except PARSE_ERRORS as error:
            name = traits.message_class.DESCRIPTOR.full_name
            text = f"Fail to parse http {form.name} body as {name}: {error}"
            raise BadRequestError(text) from None

    def _from_query(self) -> Message:
        query = self._request.resolved.query
        message_class = self._traits.message_class
        if not query:
            return message_class()
        return self._of_query(query, message_class)

    def _of_query(self, query: str, message_class: type[Message]) -> Message:
        try:
            options, is_partial = self._traits.options, self._is_partial
            return query_to_message(query, message_class, options, is_partial=is_partial)
        except PARSE_ERRORS as error:
            name = message_class.DESCRIPTOR.full_name
            raise BadRequestError(f"Fail to set fields of {name} from the URL: {error}") from None

    def _set_captures(self, message: Message) -> None:
        for name, text in self._request.resolved.captures:
            set_captured(message, name, text, self._traits.options)

    def _decompressed(self, body: Any, limit_bytes: int) -> Any:
        try:
            return decompress(body, CompressType.GZIP, limit_bytes)
        except BodyError as error:
            raise BadRequestError(f"Fail to un-gzip request body: {error}") from None

    # --- the response ---

    def new_attachment(self) -> ProgressiveAttachment | AioProgressiveAttachment:
        """Make the progressive attachment of the response. RuntimeError if there is one, or if the
        response was made already."""
        if self.made is not None:
            raise RuntimeError("the response has a progressive attachment already")
        if self._has_generator:
            raise RuntimeError("the response is what the generator yields")
        if self._controller is None:
            raise RuntimeError("the response was made already, so it gets no attachment")
        body = self.made = ProgressiveBody(self._exchange, self._request)
        return AioProgressiveAttachment(body) if self._is_async else ProgressiveAttachment(body)

    def takes_over(self, call: ServerCall, of: Controller, response: object, context: Any) -> bool:
        """Send what a generator yields, if `response` is one: then the call goes on without its
        handler, whose context is `context`. Never raises."""
        attachment = self.made
        if attachment is not None:
            return self._sends(attachment, call, of)
        if response is None or isinstance(response, Message) or not is_generator(response):
            return False
        if of.error_code:
            return False
        self._has_generator = True
        start_body(
            call,
            of,
            response,
            self._items(of),
            self._exchange,
            self._request,
            context,
            self.release,
        )
        return True

    def _sends(self, attachment: ProgressiveBody, call: ServerCall, of: Controller) -> bool:
        """Send an attachment, unless the call has failed."""
        if of.error_code:
            attachment.fail(RpcCanceledError("the call has failed"))
            return False
        attachment.begin(call, of, self.release)
        return True

    def received_bytes(self, call: ServerCall) -> int:
        """Bytes of the body that have come."""
        queue = self._queue
        return call.received_bytes if queue is None else queue.received_bytes

    def http_summary(self) -> HttpSummary:
        """For the access log."""
        return summary_of(self._request)

    def release(self) -> None:
        """The call is over: nobody reads its body any more."""
        queue = self._queue
        if queue is not None:
            queue.drop()
            if not queue.is_complete:
                self._exchange.end_input_soon(self._request)

    def _items(self, controller: Controller) -> BodyItems:
        accept = self._request.head.headers.get("accept", "")
        return BodyItems(accept, controller.http_response, self._traits.options)

    def pack(self, call: ServerCall, controller: Controller, response: object) -> IOBuf:
        """The bytes of a success."""
        if self._queue is not None:
            self.release()
        made = self._header = controller._http_response
        self._controller = None
        attachment = controller._response_attachment
        if attachment:
            return self._whole(controller, attachment, RAW)
        message = check_response(response, call.entry.response_type)
        form = self._facts.form
        if made is not None and made.content_type:
            form = form_of(made.content_type) or form
        try:
            if form is JSON:
                body = self._traits.write_plan(message).to_json(message)
            else:
                body = form.write(message, self._traits.options)
        except PARSE_ERRORS as error:
            raise BadResponseError(f"Fail to convert response to {form.name}: {error}") from None
        return self._whole(controller, body, form.content_type)

    def _plain_type(self, controller: Controller, default: str) -> str | None:
        """The Content-Type of a response whose head has nothing else that most have not; `None` if
        it has."""
        if (
            not self._facts.has_plain_answer
            or self._request.resolved.cors is not None
            or controller._response_compress_type
        ):
            return None
        made = controller._http_response
        chosen = "" if made is None else made.only_content_type()
        return None if chosen is None else chosen or default

    def _whole(self, controller: Controller, body: bytes | IOBuf, content_type: str) -> IOBuf:
        plain_type = self._plain_type(controller, content_type)
        if plain_type is not None:
            self._request.status = 200
            head = _OK % (len(body), plain_type.encode("latin-1"))
            if len(body) > MAX_JOINED_BYTES:
                data = iobuf_of(head)
                data.append(body)
                return data
            if isinstance(body, bytes):
                return iobuf_of(head + body)
            data = body
            return iobuf_of(head + data.peek())
        made = controller._http_response
        headers = HttpHeaders() if made is None else made.headers.copy()
        if "content-type" not in headers:
            headers["Content-Type"] = content_type
        if controller._response_compress_type:
            body = self._compressed(controller, body, headers)
        status = 200 if made is None else made.status_code
        reason = None if made is None else made.reason
        return self._last_or_not(self._request.whole(status, headers, body, reason))

    def _last_or_not(self, data: IOBuf) -> IOBuf:
        """`data`, the whole response. If its headers end the connection, it will be the last."""
        request = self._request
        if request.ends_connection():
            self._exchange.end_with_whole(request)
        return data

    def _compressed(
        self, controller: Controller, body: bytes | IOBuf, headers: HttpHeaders
    ) -> bytes | IOBuf:
        wanted = controller._response_compress_type == CompressType.GZIP
        is_short = len(body) < LEAST_COMPRESSED_BYTES
        if is_short or not wanted or not self._facts.accepts_gzip:
            return body
        headers["Content-Encoding"] = "gzip"
        headers.append("Vary", "Accept-Encoding")
        return compress(bytes(body), CompressType.GZIP)

    # --- a ResponsePacker ---

    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a failure."""
        self.release()
        code, controller = response.error_code, self._controller
        if controller is not None:
            self._header = controller._http_response
            self._controller = None
        made = self._header
        status = status_of_error(code)
        headers = None
        if made is not None:
            headers = made.headers
            if made.status_code != 200:
                status = made.status_code
        try:
            data = self._request.error(code, response.error_text, status, headers)
        except ValueError:
            # What the handler has set can't be sent: that may be the failure.
            data = self._request.error(code, response.error_text)
        return self._last_or_not(data)

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """Not used: `pack` makes successes."""
        raise InternalServerError("a response of HTTP is packed by its form")


def new_call_form(
    request: HttpRequest,
    traits: MethodTraits,
    facts: CallFacts,
    exchange: HttpExchange,
    is_async: bool,
    queue: BodyQueue | None,
) -> CallForm:
    """Make a CallForm. A typed function costs a compiled caller less than a constructor.

    `is_async`: the handler. `queue`: the body, if the handler reads it.
    """
    form = CallForm.__new__(CallForm)
    form._exchange = exchange
    form._is_async = is_async
    form._queue = queue
    form.made = None
    form._request = request
    form._traits = traits
    form._facts = facts
    form._controller = form._header = None
    form._has_generator = False
    return form


def number_in(value: str | None) -> int | None:
    """A number of 64 bits, in decimal. `None` if it is none: that is not worth an error."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    return number if number <= MAX_ID else None


def set_captured(message: Message, name: str, text: str, options: JsonOptions) -> None:
    """Set a field of `message` to a part of the path. BadRequestError if it can't have the
    value."""
    try:
        set_field(message, name, text, options)
    except PARSE_ERRORS as error:
        full_name = message.DESCRIPTOR.full_name
        raise BadRequestError(f"Fail to set {full_name}.{name} from the path: {error}") from None
