"""HttpParseError and its subclasses: received bytes that are no acceptable message of HTTP/1.

    HttpParseError             400
      MalformedHeadError       400   a start line or a header is against the grammar
      MissingHostError         400   HTTP/1.1 without Host
      FramingError             400   the length of the body is ambiguous: request smuggling
      MalformedChunkError      400
      IncompleteMessageError   400   the connection ended inside a message
      UnexpectedResponseError  400   a response that no request has asked for
      BodyTooLargeError        413
      UrlTooLongError          414
      HeadersTooLargeError     431
      UnsupportedMethodError   501
      UnsupportedCodingError   501   a transfer coding other than chunked
      VersionError             505   no version 1.x

Nothing after such bytes can be parsed, so the connection is closed after the answer.
"""

from __future__ import annotations


class HttpParseError(Exception):
    """`status` is the HTTP status for the answer of a server; the text is for people."""

    status: int = 400


class MalformedHeadError(HttpParseError):
    """The start line or a header is against the grammar of RFC 9112."""


class MissingHostError(HttpParseError):
    """A request of HTTP/1.1 without Host. RFC 9112, 3.2."""


class FramingError(HttpParseError):
    """Content-Length or Transfer-Encoding leave the length of the body open. RFC 9112, 6."""


class MalformedChunkError(HttpParseError):
    """A body that is not chunked as it says, or with too long chunk extensions."""


class IncompleteMessageError(HttpParseError):
    """The connection ended inside a message."""


class UnexpectedResponseError(HttpParseError):
    """A server has sent a response that no request has asked for."""


class BodyTooLargeError(HttpParseError):
    """The body is longer than `max_body_size`."""

    status = 413


class UrlTooLongError(HttpParseError):
    """The target of a request is longer than `max_url_length`."""

    status = 414


class HeadersTooLargeError(HttpParseError):
    """More header or trailer bytes, or more headers, than the options allow."""

    status = 431


class UnsupportedMethodError(HttpParseError):
    """A method that is in no list of methods."""

    status = 501


class UnsupportedCodingError(HttpParseError):
    """A transfer coding other than chunked."""

    status = 501


class VersionError(HttpParseError):
    """The message is of HTTP, but not of a version 1.x."""

    status = 505
