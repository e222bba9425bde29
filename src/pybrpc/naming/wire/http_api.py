"""HttpApi: requests to a naming service that has an API of HTTP, by `http.client`.

One thread sends requests; another one may interrupt it. A request ends by its deadline even if its
answer comes byte by byte: each read waits only for what is left of the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import MAX_ANSWER_BYTES, InterruptedFetchError
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.timed_socket import TimedSocket

CHUNK_BYTES = 65_536
SHOWN_CHARS = 200
"""Characters of an answer that the text of an error shows."""
_FAILURES = (OSError, http.client.HTTPException, ValueError)


@dataclasses.dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to one request; `what` names the request, for texts."""

    what: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def checked(self) -> HttpAnswer:
        """This answer; NamingError if its status is none of 2xx."""
        if 200 <= self.status < 300:
            return self
        raise self.error(f"status {self.status}")

    def json(self) -> Any:
        """The body as JSON; NamingError if it is none."""
        try:
            return json.loads(self.body, object_hook=_switchable)
        except (ValueError, RecursionError) as error:
            raise self.error(f"the answer is no JSON ({type(error).__name__})") from None

    def error(self, reason: str) -> NamingError:
        """A NamingError that shows the beginning of the answer."""
        shown = self.body[:SHOWN_CHARS].decode("utf-8", "replace")
        return NamingError(f"{self.what}: {reason}: {shown!r}")


class HttpApi:
    """Requests to the hosts of `settings`: to the first one, and to the next one after a failure.

    All methods but `interrupt` belong to one thread.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._context = settings.tls_context()
        self._hosts: tuple[Endpoint, ...] = settings.hosts
        self._host_index = 0
        self._kept: http.client.HTTPConnection | None = None
        # A destructor may call `interrupt` in the thread that holds it.
        self._lock = threading.RLock()
        self._active: socket.socket | None = None
        self._is_interrupted = False

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> HttpAnswer:
        """Send one request and read its answer, whatever its status.

        NamingError if there is none after `timeout_s` (that of the settings), if it is too long, or
        if no host can be reached. InterruptedFetchError after `interrupt`.
        """
        deadline_s = time.monotonic() + (timeout_s or self._settings.timeout_s)
        for attempt in range(len(self._hosts)):
            try:
                return self._try(method, target, body, headers or {}, deadline_s)
            except _FAILURES as error:
                what = self._what(method, target)
                self._on_failure()
                if attempt + 1 == len(self._hosts) or time.monotonic() >= deadline_s:
                    raise NamingError(f"{what}: {_text_of(error)}") from None
        raise NamingError(f"{method} {target.partition('?')[0]}: there is no host")

    @contextlib.contextmanager
    def open_lines(
        self, target: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Iterator[Iterator[bytes]]:
        """POST, over a connection of its own, and give the lines of the answer as they arrive.

        They end when the answer does, or after `timeout_s`. NamingError as `request`.
        """
        what = self._what("POST", target)
        self.close()
        end_s = time.monotonic() + timeout_s
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connect(time.monotonic() + self._settings.timeout_s)
            connection.request("POST", target, body, dict(headers))
            response = connection.getresponse()
            self._activate(connection, end_s)
            if response.status != 200:
                data = response.read(CHUNK_BYTES)
                raise HttpAnswer(what, response.status, {}, data).error(f"status {response.status}")
            yield self._lines_of(response, what)
        except _FAILURES as error:
            self._check_interrupted()
            self._on_failure()
            raise NamingError(f"{what}: {_text_of(error)}") from None
        finally:
            if connection is not None:
                self._drop(connection)

    def _lines_of(self, response: http.client.HTTPResponse, what: str) -> Iterator[bytes]:
        while True:
            try:
                line = response.readline(MAX_ANSWER_BYTES + 1)
            except TimeoutError:
                return
            if len(line) > MAX_ANSWER_BYTES:
                raise NamingError(f"{what}: a line of more than {MAX_ANSWER_BYTES} bytes")
            self._check_interrupted()
            if not line:
                return
            yield line

    def interrupt(self) -> None:
        """The request that runs, or the next one, raises InterruptedFetchError soon. Any thread."""
        with self._lock:
            self._is_interrupted = True
            if self._active is not None:
                with contextlib.suppress(OSError):
                    # That of SSLSocket would change what the other thread uses.
                    socket.socket.shutdown(self._active, socket.SHUT_RDWR)

    def use_hosts(self, hosts: tuple[Endpoint, ...]) -> None:
        """Send the next requests to `hosts`."""
        if hosts != self._hosts:
            self.close()
            self._hosts = hosts
            self._host_index = 0

    def close(self) -> None:
        """Close the connection. The next request makes a new one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _try(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> HttpAnswer:
        """One request to one host. Over a connection that was kept it may be sent once more."""
        self._check_interrupted()
        if self._kept is not None:
            try:
                return self._exchange(self._kept, method, target, body, headers, deadline_s)
            except (ConnectionError, http.client.BadStatusLine):
                self._check_interrupted()  # else the server has closed it meanwhile
        return self._exchange(None, method, target, body, headers, deadline_s)

    def _exchange(
        self,
        kept: http.client.HTTPConnection | None,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> HttpAnswer:
        self._kept = None
        connection = kept or self._connect(deadline_s)
        is_kept = False
        try:
            self._activate(connection, deadline_s)
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            data = _read_body(response, self._what(method, target))
            found: Any = response.headers
            what = self._what(method, target)
            answer = HttpAnswer(what, response.status, found, data)
            is_kept = connection.sock is not None and not response.will_close
            self._check_interrupted()
            return answer
        except _FAILURES:
            self._check_interrupted()
            raise
        finally:
            if is_kept:
                self._deactivate()
                self._kept = connection
            else:
                self._drop(connection)

    def _connect(self, deadline_s: float) -> http.client.HTTPConnection:
        """A new connection to the current host."""
        self._check_interrupted()
        host = self._hosts[self._host_index % len(self._hosts)]
        # A long poll waits long for its answer, not for the connection.
        established_by_s = min(deadline_s, time.monotonic() + self._settings.timeout_s)
        sock = socket.create_connection((host.host, host.port), _left(established_by_s))
        try:
            if self._context is not None:
                sock.settimeout(_left(established_by_s))
                sock = self._context.wrap_socket(sock, server_hostname=host.host)
        except BaseException:
            sock.close()
            raise
        connection = http.client.HTTPConnection(host.host, host.port)
        connection.auto_open = 0
        timed: Any = TimedSocket(sock, deadline_s)
        connection.sock = timed
        try:
            self._activate(connection, deadline_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _activate(self, connection: http.client.HTTPConnection, deadline_s: float) -> None:
        timed: Any = connection.sock
        timed.deadline_s = deadline_s
        with self._lock:
            self._active = timed.socket
        self._check_interrupted()

    def _deactivate(self) -> None:
        with self._lock:
            self._active = None

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        # Not before nobody can shut down the descriptor, whose number may be another's after it.
        self._deactivate()
        connection.close()

    def _check_interrupted(self) -> None:
        if self._is_interrupted:
            self._is_interrupted = False
            raise InterruptedFetchError

    def _on_failure(self) -> None:
        self.close()
        self._host_index = (self._host_index + 1) % len(self._hosts)

    def _what(self, method: str, target: str) -> str:
        """The request for a text, without its query, in which there may be a password."""
        host = self._hosts[self._host_index % len(self._hosts)]
        scheme = "http" if self._context is None else "https"
        return f"{method} {scheme}://{host}{target.partition('?')[0]}"


def _switchable(thing: dict[str, Any]) -> dict[str, Any]:
    """`thing`. It is Python code that json calls after each object: between its instructions other
    threads get the GIL, which json would hold for all of a long answer, 60 ms for 10,000 servers.
    """
    return thing


def _read_body(response: http.client.HTTPResponse, what: str) -> bytes:
    """All of the body, as it arrives. NamingError if it is too long or has ended early."""
    parts: list[bytes] = []
    size = 0
    while part := response.read1(CHUNK_BYTES):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise NamingError(f"{what}: the answer has more than {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    response.read()  # nothing: it lets the connection take the next request
    return b"".join(parts)


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _text_of(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    return str(error) or type(error).__name__
