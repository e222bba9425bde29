"""The connection under the calls, and the dispatcher: for people who extend pybrpc."""

from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.interfaces import AppConnect, ConnectionLayer, TlsInfo
from pybrpc.transport.runtime import Runtime, default_runtime
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.socket.setup import SocketUser
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SocketId
from pybrpc.transport.writing.write_request import SocketMessage

__all__ = [
    "AppConnect",
    "AsyncioDispatcher",
    "ConnectionLayer",
    "DispatcherClosedError",
    "EpollDispatcher",
    "EventDispatcher",
    "IOBuf",
    "MessageCutter",
    "ParseLimits",
    "RpcProtocol",
    "Runtime",
    "Socket",
    "SocketId",
    "SocketMessage",
    "SocketOptions",
    "SocketStatistics",
    "SocketUser",
    "TlsInfo",
    "default_runtime",
]
