"""WebSocketCycle: an application of ASGI and one websocket (RFC 6455).

The frames are those of `websockets`, which does no I/O. A task takes what has come: so pings are
answered and the end is noticed while the application does other things. It stops while the
application leaves messages unread, and then the connection is not read either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1 import HttpHeaders, ResponseWriter
from pybrpc.server.http.asgi.cycle import GONE, Cycle
from pybrpc.server.http.asgi.scope import Message, bytes_of, headers_of
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.exchange import Refusal
from pybrpc.server.http.loop_room import wait_for_room, wait_until_woken
from pybrpc.server.http.request import HttpRequest

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

MAX_UNREAD = 64
"""Messages that wait for the application."""

SLICE_BYTES = 2048
"""Bytes that are cut into frames before other tasks of the loop have their turn, if more than a
few frames were in them: a frame has 6 bytes at least, and each takes about as long as a call."""

FEW_FRAMES = 16

PING_S = 20.0
"""Seconds without anything from the client after which it is asked, and then given up."""

NORMAL, GOING_AWAY, NO_STATUS, ABNORMAL, INTERNAL = 1000, 1001, 1005, 1006, 1011


class Handshake:
    """A valid request for a websocket: its protocol, and the headers of the answer."""

    def __init__(self, protocol: ServerProtocol, response: Any) -> None:
        self.protocol = protocol
        self.response = response

    def accept(self, subprotocol: str | None, more: HttpHeaders) -> bytes:
        """The head of the answer. ValueError for a header that can't be sent."""
        headers = HttpHeaders(list(self.response.headers.raw_items()))
        for name in ("date", "server"):
            headers.pop(name, None)
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        for name, value in more.fields():
            headers.append(name, value)
        return bytes(ResponseWriter().whole(101, headers))


def handshake_of(request: HttpRequest, max_message_size: int) -> Handshake:
    """Raises Refusal if the request opens no websocket, or if there is no library for them."""
    try:
        from websockets.datastructures import Headers
        from websockets.http11 import Request
        from websockets.protocol import State
        from websockets.server import ServerProtocol
    except ImportError:
        text = "Websockets need the library of pybrpc[asgi]"
        raise Refusal(text, ErrorCode.EINTERNAL, 501) from None
    head = request.head
    has_body = head.content_length or head.is_chunked
    if has_body or head.method != "GET" or not head.minor_version or not head.keep_alive:
        raise Refusal("A request for a websocket is a GET of HTTP/1.1 without a body", status=400)
    headers = Headers()
    for name, value in head.headers.fields():
        headers[name] = value
    response = ServerProtocol().accept(Request(head.target, headers))
    if response.status_code != 101:
        text = bytes(response.body or b"").decode("utf-8", "replace").strip()
        names = ("Upgrade", "Sec-WebSocket-Version")
        more = {name: response.headers[name] for name in names if name in response.headers}
        raise Refusal(text, ErrorCode.EREQUEST, response.status_code, more)
    return Handshake(ServerProtocol(state=State.OPEN, max_size=max_message_size), response)


class NoBody:
    """The BodySink of a request for a websocket."""

    def on_part(self, data: IOBuf) -> None:
        """Never called: the request has no body."""

    def on_end(self, trailers: HttpHeaders | None) -> None:
        """The request is whole."""

    def on_failed(self, error: BaseException) -> None:
        """The stream of the answer gets to know it too."""


MESSAGE_BYTES = 256
"""Memory that a message takes beside its text or bytes."""


def _size_of(message: Message) -> int:
    """Bytes that count as memory of the connection while the application has not read it."""
    return MESSAGE_BYTES + len(message.get("text") or message.get("bytes") or "")


class WebSocketCycle(Cycle):
    """A Cycle of the type "websocket"."""

    def __init__(self, *arguments: Any) -> None:
        *others, handshake = arguments
        super().__init__(*others)
        self._handshake: Handshake = handshake
        self._protocol = handshake.protocol
        self._queue = BodyQueue(self._exchange, self._request)
        self._stream.on_stop = self._on_stop
        self.request_body = NoBody()
        self._unread: deque[Message] = deque([{"type": "websocket.connect"}])
        self._fragments = bytearray()
        self._is_text = False
        self._is_accepted = False
        self._is_closed = False
        """Whether the application gets no more messages."""
        self._tasks: list[asyncio.Task[None]] = []
        self._reads = 0

    def _on_stop(self) -> None:
        """The server stops. In a turn."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._close, GOING_AWAY, "")

    # --- what the application gets ---

    async def receive(self) -> Message:
        while not self._unread:
            if self._is_closed or self._stream.is_gone:
                return self._disconnect(ABNORMAL)
            await wait_until_woken(self._when_unread)
        message = self._unread.popleft()
        self._uncount(message)
        self._wake_all()
        return message

    def _when_unread(self, wake: Any) -> None:
        self._wakes.append(wake)
        if self._unread or self._is_closed or self._stream.is_gone:
            self._wake_all()

    def _disconnect(self, code: int, reason: str = "") -> Message:
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    # --- what the application sends ---

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self._is_closed or self._stream.is_gone:
            raise ConnectionResetError(GONE)
        if kind == "websocket.accept" and not self._is_accepted:
            await self._accept(message)
        elif kind == "websocket.send" and self._is_accepted:
            await self._send(message)
        elif kind == "websocket.close":
            code = message.get("code")
            self._close(NORMAL if code is None else code, message.get("reason") or "")
        else:
            raise RuntimeError(f"the application sent {kind!r} where it can't be sent")

    async def _accept(self, message: Message) -> None:
        head = self._handshake.accept(message.get("subprotocol"), headers_of(message))
        raised: list[BaseException] = []

        def begin(wake: Any) -> None:
            try:
                self._exchange.become_raw(self._queue)
                self._stream.begin_raw(IOBuf(head))
            except BaseException as error:
                raised.append(error)
            wake()

        dispatcher = self._exchange.connection.server.dispatcher
        self._is_accepted = True
        # It may go on for days, and the number of spans in flight is limited.
        self._observed.end_span(0, 0, len(head))
        await wait_until_woken(lambda wake: dispatcher.post(lambda: begin(wake)))
        if raised:
            raise raised[0]
        self._tasks = [
            asyncio.ensure_future(self._read()),
            asyncio.ensure_future(self._keep_alive()),
        ]

    async def _send(self, message: Message) -> None:
        text, data = message.get("text"), message.get("bytes")
        if text is not None:
            self._protocol.send_text(text.encode())
        elif data is not None:
            self._protocol.send_binary(bytes_of(data))
        else:
            raise ValueError("a websocket.send has text or bytes")
        self._flush()
        if not self._stream.has_room():
            await wait_for_room(self._stream)

    def _close(self, code: int, reason: str) -> None:
        """Begin the end: a Close frame, or 403 for what was not accepted."""
        if self._is_closed or self._stream.is_over:
            return
        if not self._is_accepted:
            self._refuse()
            return
        with contextlib.suppress(self._errors()):
            self._protocol.send_close(code, reason)
        self._flush()
        self._end_with(code, reason)

    def _refuse(self) -> None:
        request = self._request
        self._observed.answered()
        response = request.error(ErrorCode.EREQUEST, "The application refuses the websocket", 403)
        self._error_bytes = len(response)
        self._exchange.answer_now(request.position, response)
        self._stream.abandon()
        self._end_with(ABNORMAL, "")

    def _errors(self) -> type[Exception]:
        from websockets.exceptions import WebSocketException

        return WebSocketException

    # --- frames ---

    def _flush(self) -> None:
        """Write what the protocol has to send."""
        for data in self._protocol.data_to_send():
            if data:
                self._stream.write_raw(IOBuf(data))

    async def _read(self) -> None:
        """Take what comes, until the end. In a task; never raises, unless it is cancelled."""
        try:
            while not self._is_closed:
                if self._has_enough():
                    await wait_until_woken(self._when_wanted)
                    continue
                if not self._stream.has_room():
                    # Of pongs, too, a client gets no more than it takes.
                    await wait_for_room(self._stream)
                    continue
                data = self._queue.take()
                if data is not None:
                    await self._on_part(data)
                elif self._queue.has_news() or self._stream.is_gone:
                    self._end_with(ABNORMAL, "")
                else:
                    await wait_until_woken(self._queue.when_news)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            SERVER.raised("%r can't read", self, error=error)
            self._close(INTERNAL, "")
            deliver_interrupt(error)

    async def _keep_alive(self) -> None:
        """Ask a client that is silent whether it is there, and give it up if it is not."""
        asked_at = -1
        while not self._is_closed:
            before = self._reads
            await asyncio.sleep(PING_S)
            if self._is_closed or self._has_enough() or self._reads != before:
                continue
            if asked_at == before:
                SERVER.warning("%r has not answered a ping", self._exchange.connection.socket)
                self._close(INTERNAL, "no pong")
                return
            asked_at = before
            self._protocol.send_ping(b"")
            self._flush()

    def _has_enough(self) -> bool:
        """Whether the application has not read what came before."""
        return len(self._unread) >= MAX_UNREAD or self._unread_bytes() > self._max_bytes()

    def _unread_bytes(self) -> int:
        return sum(len(each.get("text") or each.get("bytes") or "") for each in self._unread)

    def _max_bytes(self) -> int:
        return self._protocol.max_message_size or 0

    def _when_wanted(self, wake: Any) -> None:
        """Call `wake` once `_read` may go on. It may come too early. A client that is gone changes
        nothing: what it has sent before is read all the same."""
        self._wakes.append(wake)
        if not self._has_enough() or self._is_closed:
            self._wake_all()

    async def _on_part(self, part: bytes) -> None:
        for start in range(0, len(part), SLICE_BYTES):
            if start and self._has_enough():
                await wait_until_woken(self._when_wanted)
            if self._is_closed:
                return
            if self._on_data(part[start : start + SLICE_BYTES]) > FEW_FRAMES:
                await asyncio.sleep(0)

    def _on_data(self, data: bytes) -> int:
        """Return the number of frames that it has completed."""
        protocol = self._protocol
        self._reads += 1
        protocol.receive_data(data)
        frames = protocol.events_received()
        for frame in frames:
            self._on_frame(frame)
        self._flush()
        if protocol.eof_sent or protocol.close_rcvd is not None:
            received = protocol.close_rcvd
            if received is not None:
                self._end_with(received.code, received.reason)
            else:
                sent = protocol.close_sent
                self._end_with(ABNORMAL if sent is None else sent.code, "")
        return len(frames)

    def _on_frame(self, frame: Any) -> None:
        from websockets.frames import Opcode

        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        # Joined at once: a list of fragments of one byte each would take fifty times as much.
        self._fragments += frame.data
        if not frame.fin:
            return
        data, self._fragments = bytes(self._fragments), bytearray()
        message: Message = {"type": "websocket.receive"}
        if self._is_text:
            try:
                message["text"] = data.decode()
            except UnicodeDecodeError:
                self._protocol.fail(1007, "invalid UTF-8")
                return
        else:
            message["bytes"] = data
        self._exchange.connection.unanswered.try_add(_size_of(message), True)
        self._unread.append(message)
        self._wake_all()

    def _uncount(self, message: Message) -> None:
        """The application has got a message, or never will."""
        if message["type"] == "websocket.receive":
            self._exchange.connection.unanswered.remove(_size_of(message), 1)

    # --- the end ---

    def _end_with(self, code: int, reason: str) -> None:
        """Nothing more comes or goes."""
        if self._is_closed:
            return
        self._is_closed = True
        self._unread.append(self._disconnect(code, reason))
        if self._stream.has_begun:
            self._stream.close()
        self._queue.drop()
        self._wake_all()

    def _finish(self) -> None:
        if self._is_closed or self._stream.is_gone:
            return
        if self._is_accepted:
            self._close(NORMAL, "")
            return
        SERVER.error("the application at %s has answered no handshake", self._where)
        self._cut_off()

    def _cut_off(self) -> None:
        if self._is_accepted and self._stream.has_begun:
            self._error_code = int(ErrorCode.EINTERNAL)
            self._close(INTERNAL, "")
        else:
            super()._cut_off()

    def _is_answered(self) -> bool:
        return bool(self._request.status)

    def _received_bytes(self) -> int:
        return self._queue.received_bytes

    def _release(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        while self._unread:
            self._uncount(self._unread.popleft())
        self._queue.drop()
        if not self._stream.is_over:
            self._stream.close()
        self._wake_all()
