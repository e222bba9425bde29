"""The connection under the calls, and the dispatcher: for people who extend pybrpc."""

from __future__ import annotations

import pybrpc.protocols.hulu  # here, not when the first Socket is made,
import pybrpc.protocols.sofa  # noqa: F401 - which speaks all protocols by default
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import (
    BadMessage,
    OversizedMessage,
    ResponsePacker,
    RpcRequest,
    RpcResponse,
)
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import register_protocol, unregister_protocol
from pybrpc.protocols.rpc_protocol_base import RpcProtocolBase
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import Detection
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.interfaces import AppConnect, ConnectionLayer, TlsInfo
from pybrpc.transport.runtime import Runtime, default_runtime
from pybrpc.transport.socket.setup import SocketUser
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SocketId
from pybrpc.transport.writing.write_request import SocketMessage

__all__ = [
    "NEED_MORE",
    "NOT_MINE",
    "AppConnect",
    "AsyncioDispatcher",
    "BadMessage",
    "Broken",
    "ConnectionLayer",
    "Detection",
    "DispatcherClosedError",
    "EpollDispatcher",
    "EventDispatcher",
    "IOBuf",
    "MessageCutter",
    "OversizedMessage",
    "ParseLimits",
    "ResponsePacker",
    "RpcProtocol",
    "RpcProtocolBase",
    "RpcRequest",
    "RpcResponse",
    "Runtime",
    "Session",
    "Side",
    "Socket",
    "SocketId",
    "SocketMessage",
    "SocketOptions",
    "SocketStatistics",
    "SocketUser",
    "TlsInfo",
    "default_runtime",
    "register_protocol",
    "unregister_protocol",
]


def __dir__() -> list[str]:
    return __all__
