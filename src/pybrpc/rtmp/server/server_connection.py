"""RtmpServerConnection: the server's side of a connection of RTMP, an Exchange of its
ServerConnection. RtmpServerProtocol makes it for each connection that begins with the byte of RTMP.

What limits a peer: a time for the handshake, for `connect` and for the first stream; the commands
of one read, and their size; the streams of a connection, and of the server; the bytes of a stream
that are not taken yet, and those that the peer does not take.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pybrpc.base.guard import SERVER
from pybrpc.errors import InternalServerError, RpcError
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command, integer_of
from pybrpc.protocols.rtmp.message import DEFAULT_ACK_WINDOW
from pybrpc.protocols.rtmp.rtmp_protocol import RtmpProtocol
from pybrpc.protocols.rtmp.session import HandshakeEvent
from pybrpc.rtmp.connection import RtmpConnection
from pybrpc.rtmp.server import answers
from pybrpc.rtmp.server.connect_info import RtmpConnectInfo, RtmpRefused
from pybrpc.rtmp.server.interfaces import Service
from pybrpc.rtmp.server.rtmp_layer import limit_unacknowledged
from pybrpc.rtmp.server.server_stream import AioRtmpServerStream, RtmpServerStream
from pybrpc.rtmp.server.server_stream_core import FUNCTION, STREAM, ServerStreamCore
from pybrpc.rtmp.server.user_functions import deciding, is_async, log_raised, start_function
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle
from pybrpc.transport.runtime import default_runtime

MAX_COMMANDS_PER_READ = 128
"""Real clients send less than ten at once. Each may cost an answer, which is kept until it is
written."""

MAX_EARLY_COMMANDS = 32
"""Commands that wait while `on_connect` of the service runs."""

MAX_NAME_CHARACTERS = 1024
"""Longest name of a stream, with the parameters behind it."""

SHORT_OF_ANSWERS = frozenset({"_result", "_error", "onStatus"})
"""Commands that are answers themselves: they get no answer, whatever their transaction."""


class RtmpServerProtocol(RtmpProtocol):
    """The protocol of one server with an RtmpService."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.max_message_bytes)
        self.service = service
        self.streams: set[ServerStreamCore] = set()
        """The streams of all connections whose functions have not returned, or that go on."""
        self.deciding = 0
        """Functions `on_connect` that run. Counted in turns."""

    def new_exchange(self, connection: ServerConnection) -> RtmpServerConnection:
        return RtmpServerConnection(connection, self)


class RtmpServerConnection(RtmpConnection):
    """Commands come in turns; any thread may call `accept`, `refuse` and `end_stream`."""

    def __init__(self, connection: ServerConnection, protocol: RtmpServerProtocol) -> None:
        super().__init__(connection.socket, ChunkWriter())
        self._connection = connection
        self._protocol = protocol
        self._service = protocol.service
        self.info: RtmpConnectInfo | None = None
        """The values of the client's `connect`; `None` before it is answered."""
        self._asked: RtmpConnectInfo | None = None
        """The same while `on_connect` of the service runs."""
        self._early: list[tuple[Command, int]] = []
        self._ids: set[int] = set()
        """The streams that the client has created."""
        self._last_id = 0
        """No id is used again: an answer to a stream that is gone would seem to be for another."""
        self._keeps_open = False
        """Whether the client uses the connection for more streams after the last one."""
        self._is_over = False
        self._commands = 0
        self._timer: TimerHandle | None = None
        self._lift_limit: Callable[[], None] = _nothing
        """Called when no Acks are read any more."""
        connection.socket.backlog.lower_marks(self._service.max_unwritten_bytes)
        window = self._service.ack_window
        if window is not None:
            session: Any = connection.socket.session
            self._lift_limit = limit_unacknowledged(
                connection.socket, session, window, answers.CHUNK_SIZE
            )

    @property
    def server(self) -> ServerCore:
        """The server, which runs the functions of services."""
        return self._connection.server

    # --- an Exchange ---

    @property
    def stream_count(self) -> int:
        return len(self.streams)

    def on_messages(self, messages: list[Any]) -> None:
        while messages and isinstance(messages[0], HandshakeEvent):
            self._on_handshake(messages.pop(0))
        self._commands = 0
        super().on_messages(messages)

    def on_end(self, error: RpcError) -> None:
        self._is_over = True
        self._lift_limit()
        self._set_timer(None, "")
        for core in self._cores():
            core.end(error.copy())
            self._forget(core)
            core.release(STREAM)

    def on_failed(self, error: RpcError) -> None:
        self._is_over = True
        self._set_timer(None, "")
        self._early.clear()
        self.streams.clear()  # they hold the connection, and end with it

    def on_stop(self) -> None:
        for core in self._cores():
            self.end_stream(core, None)

    def _cores(self) -> list[ServerStreamCore]:
        return [core for core in list(self.streams.values()) if isinstance(core, ServerStreamCore)]

    # --- time limits ---

    def _on_handshake(self, event: HandshakeEvent) -> None:
        if event is HandshakeEvent.BEGUN:
            limit_s = self._connection.server.settings.handshake_timeout_s
            self._set_timer(limit_s, "the handshake was not completed")
        else:
            self._set_timer(self._service.connect_timeout, "no connect came")

    def _set_timer(self, limit_s: float | None, what: str) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if limit_s is not None:
            on_time = partial(self._on_time, f"RTMP: {what} in {limit_s:g} s")
            deadline = time.monotonic() + limit_s
            self._timer = self.socket.dispatcher.call_at(deadline, on_time)

    def _on_time(self, reason: str) -> None:
        self._timer = None
        if not self._connection.is_closing:
            self._connection.discard_input(reason)

    # --- commands, in turns ---

    def on_bad_input(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._connection.discard_input(f"RTMP: {reason}")

    def on_command(self, command: Command, stream_id: int) -> None:
        if self._is_over:
            return
        self._commands += 1
        if self._commands > MAX_COMMANDS_PER_READ:
            self.on_bad_input(f"more than {MAX_COMMANDS_PER_READ} commands at once")
        elif self._asked is not None:
            self._early.append((command, stream_id))
            if len(self._early) > MAX_EARLY_COMMANDS:
                self.on_bad_input(f"{MAX_EARLY_COMMANDS} commands before connect was answered")
        elif (command.name == "connect") != (self.info is None):
            self.on_bad_input(f"{command.name[:32]!r} came out of order")
        else:
            answer = _COMMANDS.get(command.name, RtmpServerConnection._on_unknown)
            answer(self, command, stream_id)

    def _on_unknown(self, command: Command, stream_id: int) -> None:
        if command.transaction_id and command.name not in SHORT_OF_ANSWERS:
            code, text = "NetConnection.Call.Failed", "there is no such command"
            self.write_control([answers.error(command.transaction_id, code, text)])

    def _on_ignored(self, command: Command, stream_id: int) -> None:
        """A command that changes nothing here."""
        if command.transaction_id:
            self.write_control([answers.result(command.transaction_id, None)])

    def _on_connect(self, command: Command, stream_id: int) -> None:
        self._set_timer(None, "")
        info = RtmpConnectInfo.of(command, self.peer)
        self._keeps_open = bool(info.arguments.get("stream_multiplexing"))
        on_done = partial(self._on_asked, info, command.transaction_id)
        if self._connection.server.admission.is_stopping:
            on_done(RtmpRefused("the server stops"))
        elif not self._service.overrides("on_connect"):
            on_done(None)
        else:
            self._ask(info, on_done)

    def _ask(self, info: RtmpConnectInfo, on_done: Callable[[Any], None]) -> None:
        """Have the service decide."""
        protocol = self._protocol
        if protocol.deciding >= self._service.max_streams:
            on_done(RtmpRefused("too many clients want to connect"))
            return
        self._asked = info
        protocol.deciding += 1

        def decided(error: Any) -> None:
            protocol.deciding -= 1
            on_done(error)

        on_connect = deciding(self._service.on_connect, (None, True), "on_connect")
        self._start(on_connect, info, partial(self._post, decided))

    def _on_asked(self, info: RtmpConnectInfo, transaction_id: float, error: Any) -> None:
        """The service has decided. In a turn."""
        self._asked = None
        if self._is_over:
            return
        if error is None:
            self.info = info
            window = self._service.ack_window or DEFAULT_ACK_WINDOW
            self.write_control(answers.connected(transaction_id, window))
            self._await_stream()
            early, self._early = self._early, []
            for command, stream_id in early:
                self.on_command(command, stream_id)
            return
        text = "the server failed"
        if isinstance(error, RtmpRefused):
            text = str(error.text)
        else:
            SERVER.raised("on_connect for %s raised", self.peer, error=error)
        self.write_control([answers.not_connected(transaction_id, text)])
        self._is_over = True
        self._post(self._connection.retire)

    def _on_create_stream(self, command: Command, stream_id: int) -> None:
        most = self._service.max_streams_per_connection
        if len(self._ids) >= most:
            text = f"at most {most} streams"
            code = "NetConnection.Call.Failed"
            self.write_control([answers.error(command.transaction_id, code, text)])
            return
        self._last_id += 1
        self._ids.add(self._last_id)
        self.write_control([answers.result(command.transaction_id, float(self._last_id))])

    def _on_stream_length(self, command: Command, stream_id: int) -> None:
        """Nothing recorded is known here: 0 seconds."""
        self.write_control([answers.result(command.transaction_id, 0.0)])

    def _on_publish(self, command: Command, stream_id: int) -> None:
        self._begin(command, stream_id, is_publisher=True)

    def _on_play(self, command: Command, stream_id: int) -> None:
        self._begin(command, stream_id, is_publisher=False)

    def _on_pause(self, command: Command, stream_id: int) -> None:
        what = "Pause" if command.argument(0, True) else "Unpause"
        self._notify_player(stream_id, what)

    def _on_seek(self, command: Command, stream_id: int) -> None:
        self._notify_player(stream_id, "Seek")

    def _notify_player(self, stream_id: int, what: str) -> None:
        """Answer a command that changes nothing: the stream is live."""
        core = self.streams.get(stream_id)
        if core is not None and not core.is_publisher:
            code = f"NetStream.{what}.Notify"
            self.write_control([answers.status(code, "the stream is live", stream_id)])

    def _on_close_stream(self, command: Command, stream_id: int) -> None:
        core = self.streams.get(stream_id)
        if core is not None and core.is_publisher:
            self.write_control(answers.publish_ended(stream_id))
        self._end_by_peer(stream_id)

    def _on_unpublish(self, command: Command, stream_id: int) -> None:
        """A publisher goes: deleteStream follows, which ends its stream. FFmpeg closes its
        connection at once: an answer that it does not read would make that a reset, which loses
        what its system has not sent yet."""

    def _on_delete_stream(self, command: Command, stream_id: int) -> None:
        """The first argument is the stream; rtmp2sink of GStreamer sends its name instead."""
        number = integer_of(command.argument(0), -1)
        if number not in self._ids:
            number = stream_id
        if number not in self._ids and len(self._ids) == 1:
            (number,) = self._ids
        self._end_by_peer(number)
        self._ids.discard(number)

    def _end_by_peer(self, stream_id: int) -> None:
        core = self.streams.get(stream_id)
        if not isinstance(core, ServerStreamCore):
            return
        if not core.is_publisher:
            # A player of librtmp waits for some answer.
            self.write_control([answers.play_stopped(stream_id)])
        has_ended_now = core.end(None)
        self._forget(core)
        self._await_stream()
        if has_ended_now:
            core.release(STREAM)

    def _await_stream(self) -> None:
        """Give a client that has no stream some time to ask for one. In a turn."""
        if not self.streams and not self._is_over:
            self._set_timer(self._service.stream_timeout, "no publish or play came")

    # --- the beginning of a stream, in turns ---

    def _begin(self, command: Command, stream_id: int, is_publisher: bool) -> None:
        name = command.argument(0)
        if stream_id not in self._ids or stream_id in self.streams:
            self.on_bad_input(f"{command.name} on stream {stream_id}, which is not free for it")
            return
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS:
            self.on_bad_input(f"{command.name} without a name, or with too long a one")
            return
        service = self._service
        budget = default_runtime().stream_budget
        core = ServerStreamCore(self, stream_id, budget, service.max_unread_bytes)
        core.name, core.is_publisher = name, is_publisher
        core.take_arguments(command)
        try:
            self._connection.hold(core)
        except RpcError as error:
            core.end(error)
            return
        self._set_timer(None, "")
        self.streams[stream_id] = core
        self._protocol.streams.add(core)
        try:
            self._serve(core)
        except RtmpRefused as refusal:
            self.refuse(core, refusal.code, refusal.text)
            core.release(FUNCTION)
        except Exception as error:
            SERVER.raised("%s can't be served", core.described, error=error)
            self.end_stream(core, InternalServerError("it can't be served"))
            core.release(FUNCTION)

    def _serve(self, core: ServerStreamCore) -> None:
        service = self._service
        if self._connection.server.admission.is_stopping:
            raise RtmpRefused("Failed", "the server stops")
        if len(self._protocol.streams) > service.max_streams:
            raise RtmpRefused("Failed", "the server has too many streams")
        if service.attach(core):
            if not core.is_deciding:
                core.release(FUNCTION)
            return
        method = "on_publish" if core.is_publisher else "on_play"
        function = getattr(service, method)
        stream = (AioRtmpServerStream if is_async(function) else RtmpServerStream)(core)
        if not service.overrides(method):
            function(stream)  # that of RtmpService, which raises RtmpRefused
        self._start(function, stream, partial(self._on_function_done, core))

    def _start(
        self, function: Callable[[Any], Any], argument: Any, on_done: Callable[[Any], None]
    ) -> None:
        try:
            start_function(self._connection.server, function, argument, on_done)
        except RuntimeError as error:
            on_done(error)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(DispatcherClosedError):
            self.socket.dispatcher.post(partial(function, *arguments))

    def _on_function_done(self, core: ServerStreamCore, error: BaseException | None) -> None:
        """The user's function has returned, or raised. In its thread, or its task."""
        had_ended = core.has_ended
        try:
            if isinstance(error, RtmpRefused) and not core.is_answered:
                self._protocol.streams.discard(core)  # who is refused may ask again at once
                self.refuse(core, str(error.code), str(error.text))
            elif error is None:
                self.accept(core)
                self.end_stream(core, None)
            else:
                log_raised(core.described, error, had_ended and isinstance(error, RpcError))
                self.end_stream(core, InternalServerError("its function has failed"))
        finally:
            self.end_stream(core, None)
            core.drop_unread()
            core.release(FUNCTION)

    # --- answers and ends, from any thread ---

    def accept(self, core: ServerStreamCore) -> None:
        """Tell the peer that it may publish or play, unless it was answered, or has ended."""
        if core.has_ended or not core.take_answer():
            return
        name = core.name.partition("?")[0]
        if core.is_publisher:
            self.write_control(answers.publish_started(core.id, name))
        else:
            self.write_control(answers.play_started(core.id, name, core.resets))

    def refuse(self, core: ServerStreamCore, code: str, text: str) -> None:
        """Tell the peer that it may not. It may ask for another stream. `code` as that of
        RtmpRefused. A stream that was accepted just ends."""
        if not core.take_answer():
            self.end_stream(core, None)
        elif core.end(None):
            self._refuse(core, code, text)

    def _refuse(self, core: ServerStreamCore, code: str, text: str) -> None:
        self._forget(core)
        self.write_control([answers.refused(core.id, core.is_publisher, code, text)])
        self._post(self._await_stream)
        core.release(STREAM)

    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        """End a stream for a reason of this side. The peer is notified, and disconnected if it has
        no other stream and has not said that it will use the connection for more."""
        assert isinstance(core, ServerStreamCore)
        if not core.end(error):
            return
        if core.take_answer():
            self._refuse(core, "Failed", "the stream has failed")
            return
        self._forget(core)
        if core.is_publisher:
            self.write_control(answers.publish_ended(core.id))
        else:
            self.write_control(answers.play_ended(core.id, core.name.partition("?")[0]))
        self._post(self._leave)
        core.release(STREAM)

    def _leave(self) -> None:
        """A stream was ended by this side. In a turn."""
        if self._keeps_open:
            self._await_stream()
        elif not self.streams:
            self._is_over = True
            self._lift_limit()
            self._connection.retire()

    def _forget(self, core: ServerStreamCore) -> None:
        if self.streams.get(core.id) is core:
            del self.streams[core.id]

    def on_released(self, core: ServerStreamCore) -> None:
        """Both a stream and its function have ended."""
        self._protocol.streams.discard(core)
        self._connection.release_hold(core)


def _nothing() -> None:
    """There is no limit to lift."""


_COMMANDS: dict[str, Callable[[RtmpServerConnection, Command, int], None]] = {
    "connect": RtmpServerConnection._on_connect,
    "createStream": RtmpServerConnection._on_create_stream,
    "publish": RtmpServerConnection._on_publish,
    "play": RtmpServerConnection._on_play,
    "pause": RtmpServerConnection._on_pause,
    "seek": RtmpServerConnection._on_seek,
    "closeStream": RtmpServerConnection._on_close_stream,
    "deleteStream": RtmpServerConnection._on_delete_stream,
    "getStreamLength": RtmpServerConnection._on_stream_length,
    "releaseStream": RtmpServerConnection._on_ignored,
    "FCPublish": RtmpServerConnection._on_ignored,
    "FCUnpublish": RtmpServerConnection._on_unpublish,
    "FCSubscribe": RtmpServerConnection._on_ignored,
    "_checkbw": RtmpServerConnection._on_ignored,
}
