"""For people who extend pybrpc: the connection under the calls, and what drives it."""

from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.transport.app_connect import AppConnect
from pybrpc.transport.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.layer import ConnectionLayer
from pybrpc.transport.message_cutter import MessageCutter
from pybrpc.transport.runtime import Runtime, default_runtime
from pybrpc.transport.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SocketId
from pybrpc.transport.socket_user import SocketUser
from pybrpc.transport.statistics import SocketStatistics
from pybrpc.transport.tls.tls_info import TlsInfo
from pybrpc.transport.write_request import SocketMessage

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
