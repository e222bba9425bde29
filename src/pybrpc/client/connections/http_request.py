"""HttpRequest: one request of HTTP as a call has it, ready to be packed for any connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.grammar import TARGET
from pybrpc.protocols.http1.headers import HttpHeaders, tokens_in
from pybrpc.protocols.http1.writer import RequestWriter
from pybrpc.rpc.http import checked_method
from pybrpc.tracing.context import inject

if TYPE_CHECKING:
    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.connections.http_body import IncomingBody
    from pybrpc.client.connections.http_upload import Upload
    from pybrpc.protocols.http1.head import ResponseHead
    from pybrpc.tracing.span import Span

AUTHORIZATION = "Authorization"


class HttpRequest:
    """A request. Nothing of it is changed once a call has it: it may be packed again, for a retry.

    fails_by_status  whether a status other than 2xx is the error of the call
    is_progressive   whether the call ends with the head of the response, and its body is read later
    upload           sends the body in parts; `body` is empty then
    """

    __slots__ = (
        "_incoming",
        "_is_given_up",
        "body",
        "fails_by_status",
        "headers",
        "is_progressive",
        "method",
        "target",
        "upload",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: HttpHeaders,
        body: bytes | IOBuf = b"",
        *,
        fails_by_status: bool = False,
        is_progressive: bool = False,
        upload: Upload | None = None,
    ) -> None:
        """ValueError if no request can have this method or this target."""
        self.method = checked_method(method)
        self.target = checked_target(method, target)
        self.headers = headers
        self.body = body
        self.fails_by_status = fails_by_status
        self.is_progressive = is_progressive
        self.upload = upload
        self._incoming: IncomingBody | None = None
        self._is_given_up = False

    def note_incoming(self, body: IncomingBody) -> None:
        """The body of the response that its call has got."""
        self._incoming = body
        if self._is_given_up:
            body.abandon()

    def give_up(self) -> None:
        """The caller gets no result, so nobody will read the body. Any thread. Store, then load,
        on both sides: this sees the body, or `note_incoming` sees this."""
        self._is_given_up = True
        body = self._incoming
        if body is not None:
            body.abandon()

    @property
    def needs_credential(self) -> bool:
        """Whether the authenticator of the channel, if there is one, has to give a credential."""
        return AUTHORIZATION not in self.headers

    def keeps_connection(self, head: ResponseHead) -> bool:
        """Whether another request may follow the response with this head.

        Not if a response to HEAD announces chunks: C++ bRPC, with a ProgressiveAttachment, sends
        them all the same, and they would be read as the next response.
        """
        if not head.keep_alive or (self.method == "HEAD" and head.is_chunked):
            return False
        said = self.headers.get("connection")
        return said is None or "close" not in tokens_in(said)

    def pack(self, host: str, credential: bytes | None = None, span: Span | None = None) -> IOBuf:
        """The bytes to send: the whole request, or its head if an Upload follows. `host` is for a
        request without a Host; `span` that of the call, whose ids go along. ValueError if the
        headers, or the credential, can't be sent."""
        headers = self.headers
        if credential is not None or span is not None:
            headers = headers.copy()
        if credential is not None:
            headers[AUTHORIZATION] = credential.decode("latin-1")
        if span is not None:
            inject(headers, span)
        writer = RequestWriter(host)
        if self.upload is None:
            return writer.whole(self.method, self.target, headers, self.body)
        self.upload.writer = writer
        return writer.begin(self.method, self.target, headers)

    def __repr__(self) -> str:
        """Without the query, which may have secrets."""
        return f"<HttpRequest {self.method} {self.target.partition('?')[0]}>"


def host_of(endpoint: Endpoint, has_tls: bool) -> str:
    """The value of Host for requests to `endpoint`: without the port if that is the usual one, and
    "localhost" for a Unix socket, and in memory. RFC 9110, 7.2."""
    if not endpoint.has_port:
        return "localhost"
    host = f"[{endpoint.host.partition('%')[0]}]" if ":" in endpoint.host else endpoint.host
    return host if endpoint.port == (443 if has_tls else 80) else f"{host}:{endpoint.port}"


def checked_target(method: str, target: str) -> str:
    """The target as it is sent: a path with its query, without a fragment; "*" for OPTIONS."""
    if not isinstance(target, str):
        raise TypeError(f"path must be a string, not {type(target).__name__}")
    if method == "CONNECT":
        raise ValueError("CONNECT asks for a tunnel, which is no call")
    target = target.partition("#")[0]
    if not target.startswith("/") and not (target == "*" and method == "OPTIONS"):
        raise ValueError('path must begin with "/"; the channel has the host and the port')
    data = target.encode("utf-8", "surrogateescape").decode("latin-1")
    if not TARGET.fullmatch(data):
        raise ValueError("path has a blank or a control character: encode it, as %20 for a blank")
    return target
