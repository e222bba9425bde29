"""Session: what one connection has received and not understood yet, without any I/O.

A SocketReader reads into `buffer`, has the complete messages cut off it, and writes `output`: bytes
that the protocol itself answers, such as the settings and pings of HTTP/2. A Session belongs to one
connection and to one side of it. The reader calls it in turns, one call at a time.

Most protocols need no session of their own. MessageCutter is the session of those whose frames have
a correlation id, and OrderedSession that of those whose messages have none.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from pybrpc.base.user_code_error import UserCodeError
from pybrpc.iobuf.io_portal import IOPortal
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken, ParseLimits

if TYPE_CHECKING:
    from pybrpc.protocols.message import Message

MAX_REPLACED = 8
"""Sessions that may replace one another while the same bytes are read."""

MAX_HEADER_BYTES = 65536
"""A fixed header is shorter than this in any protocol."""


class Side(enum.Enum):
    """The side of a connection."""

    CLIENT = "client"
    SERVER = "server"


class Session:
    """The base class of sessions, for one that cuts nothing.

    buffer     the received bytes that are not cut yet
    broken     set once no more can be cut: the connection is closed, after `output` was written;
               `cut` clears the bytes that still come
    has_more   set by a `cut` that has left complete messages in `buffer`, so that one connection
               with many of them does not keep the others waiting. The reader reads nothing, and
               cuts again in the next turn
    output     bytes to write next; the reader takes them after each `cut` and `end`
    protocol   packs the responses to those requests that have no `packer`; `None` until it is known
    successor  set by a session that another one replaces, with all that is in its buffer
    """

    __slots__ = ("broken", "buffer", "has_more", "output", "protocol", "successor")

    def __init__(self, protocol: Any = None) -> None:
        self.buffer: IOBuf = IOPortal()
        self.output = IOBuf()
        self.broken: Broken | None = None
        self.has_more = False
        self.protocol = protocol
        self.successor: Session | None = None

    def cut(self) -> list[Message]:
        """Take all complete messages off `buffer`, or some and set `has_more`; the rest remains.

        No bytes of a peer make this raise. Nothing is cut after `broken` is set.
        """
        raise NotImplementedError

    def bytes_wanted(self) -> int:
        """Bytes that the message at the front still needs; 0 if that is not known yet. Cheap."""
        return 0

    def end(self) -> list[Message]:
        """The peer has ended the stream of its bytes: return the message that this completes."""
        return []

    @property
    def name(self) -> str:
        """The name of its protocol, for people; "" while it is unknown."""
        return "" if self.protocol is None else str(self.protocol.name)

    @property
    def held_bytes(self) -> int:
        """Memory that it holds beside `buffer`, in bytes: parts of a message, tables. Bounded by
        the limits that it was made with."""
        return 0

    @property
    def memory_bytes(self) -> int:
        """All memory that it holds, with the room in `buffer` for the rest of a message."""
        buffer = self.buffer
        held = buffer.held_bytes if isinstance(buffer, IOPortal) else len(buffer)
        return held + self.held_bytes

    @property
    def unfinished_bytes(self) -> int:
        """Received bytes of a message that is not complete."""
        return len(self.buffer)

    @property
    def is_ordered(self) -> bool:
        """Whether responses have to go out in the order of the requests."""
        return False

    def note_sent(self, correlation_id: int) -> None:
        """A client: the request with this id is turned into bytes, those of the next one follow.

        Called if `is_ordered`, with the write right, also while the reader runs `cut`.
        """

    def __repr__(self) -> str:
        state = ", broken" if self.broken is not None else ""
        return f"<{type(self).__name__} {self.name or 'undecided'}{state}>"


def follow(session: Session, messages: list[Message]) -> Session:
    """Return the session that has replaced `session`, if one has; else `session` itself.

    It gets the bytes that are not cut and those to write. The messages that it cuts are added.
    Raises UserCodeError if sessions replace one another for ever.
    """
    replaced = 0
    while session.successor is not None:
        before, session = session, session.successor
        replaced += 1
        if replaced > MAX_REPLACED or session is before:
            text = f"{session!r} replaces {before!r}, the {replaced}. session in a row, with no end"
            raise UserCodeError(RuntimeError(text))
        session.buffer.append(before.buffer)
        before.buffer.clear()
        before.output.append(session.output)
        session.output, before.output = before.output, session.output
        messages += session.cut()
    return session


def asks_for_too_much(protocol: Any, size: int, limits: ParseLimits) -> Broken | None:
    """`Broken` if the message at the front, `size` bytes long so far as `protocol` knows, is over
    the limits: else a `parse` that forgets its limits would keep all that a peer sends."""
    if size <= limits.max_body_size + limits.max_meta_size + MAX_HEADER_BYTES:
        return None
    name = "" if protocol is None else protocol.name
    return Broken(f"{name} message of {size} bytes is longer than {limits} allow")


def wrong_outcome(protocol: Any, outcome: object) -> UserCodeError:
    """The error of a `parse` that returned no outcome, or a message of which it took no byte: it
    would return the same for ever."""
    text = f"parse() of the protocol {protocol.name!r} took no bytes, and returned "
    return UserCodeError(TypeError(f"{text}{type(outcome).__name__}"))
