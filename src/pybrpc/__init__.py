"""pybrpc: bRPC for Python.

Calls over connections that any number of threads and asyncio tasks share, on the wire as Apache
bRPC in C++. `Channel` and `Stub` call, `Server` serves, `Controller` has the options and results of
a call, `errors` the exceptions, `aio` the asyncio channel.
"""

from __future__ import annotations

from pybrpc.base.implementation import __impl__

# isort: split
from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc import aio, errors
    from pybrpc.base.backoff import Backoff
    from pybrpc.base.endpoint import Endpoint
    from pybrpc.builtin.server_view import HealthReport
    from pybrpc.client.calls.backup_policy import BackupRequestPolicy
    from pybrpc.client.calls.retry import RetryPolicy
    from pybrpc.client.channel.channel import Channel
    from pybrpc.client.channel.http_response import HttpResponse
    from pybrpc.client.channel.http_stream import HttpBody, HttpStreamCall, HttpStreamResponse
    from pybrpc.client.channel.stream_call import StreamCall
    from pybrpc.client.channel.stub import Stub
    from pybrpc.client.channel.typed_method import TypedMethod
    from pybrpc.client.channel.typed_stub import TypedStub
    from pybrpc.client.cluster.balancing.cluster_recover import ClusterRecover
    from pybrpc.client.cluster.balancing.registry import register_load_balancer
    from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
    from pybrpc.client.cluster.breaking.ema_circuit_breaker import EmaCircuitBreaker
    from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
    from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
    from pybrpc.client.cluster.server_status import ServerStatus
    from pybrpc.client.combo.dynamic_partition_channel import DynamicPartitionChannel
    from pybrpc.client.combo.parallel_channel import ParallelChannel
    from pybrpc.client.combo.partition_channel import PartitionChannel
    from pybrpc.client.combo.selective_channel import SelectiveChannel
    from pybrpc.client.combo.sub_call import MergeResult, SubCall, SubResult
    from pybrpc.client.endpoints.health_check import HealthCheck
    from pybrpc.errors import ErrorCode, RpcError
    from pybrpc.iobuf import IOBuf
    from pybrpc.json2pb import JsonOptions
    from pybrpc.naming import ServerNode, register_naming_service
    from pybrpc.protocols.http1.headers import HttpHeaders
    from pybrpc.rpc.authenticator import AuthContext, Authenticator
    from pybrpc.rpc.checksum import ChecksumType
    from pybrpc.rpc.compress import CompressType
    from pybrpc.rpc.controller import Controller
    from pybrpc.rpc.http import HttpHeader
    from pybrpc.rpc.interceptors.interceptor import InterceptedCall
    from pybrpc.rpc.server_sent_event import ServerSentEvent
    from pybrpc.rpc.serving import detached
    from pybrpc.rpc.stream_options import StreamOptions
    from pybrpc.server import Server
    from pybrpc.server.access_log.access_log import AccessLog
    from pybrpc.server.calls.raw_request import RawRequest
    from pybrpc.server.calls.typed_service import HandlerResponse, TypedService
    from pybrpc.server.limiters.adaptive_max_concurrency import (
        AdaptiveMaxConcurrency,
        AutoConcurrencyConf,
        ConcurrencyLimiter,
        TimeoutConcurrencyConf,
    )
    from pybrpc.server.rpc_dump.rpc_dump import RpcDump
    from pybrpc.transport.socket_options import SocketOptions
    from pybrpc.transport.tls.client_tls import ClientTls
    from pybrpc.transport.tls.server_tls import ServerTls

__version__ = "0.2.0"

__all__ = [
    "AccessLog",
    "AdaptiveMaxConcurrency",
    "AuthContext",
    "Authenticator",
    "AutoConcurrencyConf",
    "Backoff",
    "BackupRequestPolicy",
    "Channel",
    "ChecksumType",
    "CircuitBreaker",
    "ClientTls",
    "ClusterRecover",
    "CompressType",
    "ConcurrencyLimiter",
    "Controller",
    "DynamicPartitionChannel",
    "EmaCircuitBreaker",
    "Endpoint",
    "ErrorCode",
    "HandlerResponse",
    "HealthCheck",
    "HealthReport",
    "HttpBody",
    "HttpHeader",
    "HttpHeaders",
    "HttpResponse",
    "HttpStreamCall",
    "HttpStreamResponse",
    "IOBuf",
    "InterceptedCall",
    "JsonOptions",
    "MergeResult",
    "OutlierDetection",
    "ParallelChannel",
    "PartitionChannel",
    "RawRequest",
    "RetryBudget",
    "RetryPolicy",
    "RpcDump",
    "RpcError",
    "SelectiveChannel",
    "Server",
    "ServerNode",
    "ServerSentEvent",
    "ServerStatus",
    "ServerTls",
    "SocketOptions",
    "StreamCall",
    "StreamOptions",
    "Stub",
    "SubCall",
    "SubResult",
    "TimeoutConcurrencyConf",
    "TypedMethod",
    "TypedService",
    "TypedStub",
    "__impl__",
    "__version__",
    "aio",
    "detached",
    "errors",
    "register_load_balancer",
    "register_naming_service",
]

_DEFINED_IN = {
    "AccessLog": "pybrpc.server.access_log.access_log",
    "AdaptiveMaxConcurrency": "pybrpc.server.limiters.adaptive_max_concurrency",
    "AuthContext": "pybrpc.rpc.authenticator",
    "Authenticator": "pybrpc.rpc.authenticator",
    "AutoConcurrencyConf": "pybrpc.server.limiters.adaptive_max_concurrency",
    "Backoff": "pybrpc.base.backoff",
    "BackupRequestPolicy": "pybrpc.client.calls.backup_policy",
    "Channel": "pybrpc.client.channel.channel",
    "ChecksumType": "pybrpc.rpc.checksum",
    "CircuitBreaker": "pybrpc.client.cluster.breaking.breaker",
    "ClientTls": "pybrpc.transport.tls.client_tls",
    "ClusterRecover": "pybrpc.client.cluster.balancing.cluster_recover",
    "CompressType": "pybrpc.rpc.compress",
    "ConcurrencyLimiter": "pybrpc.server.limiters.adaptive_max_concurrency",
    "Controller": "pybrpc.rpc.controller",
    "DynamicPartitionChannel": "pybrpc.client.combo.dynamic_partition_channel",
    "EmaCircuitBreaker": "pybrpc.client.cluster.breaking.ema_circuit_breaker",
    "Endpoint": "pybrpc.base.endpoint",
    "ErrorCode": "pybrpc.errors",
    "HandlerResponse": "pybrpc.server.calls.typed_service",
    "HealthCheck": "pybrpc.client.endpoints.health_check",
    "HealthReport": "pybrpc.builtin.server_view",
    "HttpBody": "pybrpc.client.channel.http_stream",
    "HttpHeader": "pybrpc.rpc.http",
    "HttpHeaders": "pybrpc.protocols.http1.headers",
    "HttpResponse": "pybrpc.client.channel.http_response",
    "HttpStreamCall": "pybrpc.client.channel.http_stream",
    "HttpStreamResponse": "pybrpc.client.channel.http_stream",
    "IOBuf": "pybrpc.iobuf",
    "InterceptedCall": "pybrpc.rpc.interceptors.interceptor",
    "JsonOptions": "pybrpc.json2pb",
    "MergeResult": "pybrpc.client.combo.sub_call",
    "OutlierDetection": "pybrpc.client.cluster.breaking.outlier_detection",
    "ParallelChannel": "pybrpc.client.combo.parallel_channel",
    "PartitionChannel": "pybrpc.client.combo.partition_channel",
    "RawRequest": "pybrpc.server.calls.raw_request",
    "RetryBudget": "pybrpc.client.cluster.breaking.retry_budget",
    "RetryPolicy": "pybrpc.client.calls.retry",
    "RpcDump": "pybrpc.server.rpc_dump.rpc_dump",
    "RpcError": "pybrpc.errors",
    "SelectiveChannel": "pybrpc.client.combo.selective_channel",
    "Server": "pybrpc.server",
    "ServerNode": "pybrpc.naming",
    "ServerSentEvent": "pybrpc.rpc.server_sent_event",
    "ServerStatus": "pybrpc.client.cluster.server_status",
    "ServerTls": "pybrpc.transport.tls.server_tls",
    "SocketOptions": "pybrpc.transport.socket_options",
    "StreamCall": "pybrpc.client.channel.stream_call",
    "StreamOptions": "pybrpc.rpc.stream_options",
    "Stub": "pybrpc.client.channel.stub",
    "SubCall": "pybrpc.client.combo.sub_call",
    "SubResult": "pybrpc.client.combo.sub_call",
    "TimeoutConcurrencyConf": "pybrpc.server.limiters.adaptive_max_concurrency",
    "TypedMethod": "pybrpc.client.channel.typed_method",
    "TypedService": "pybrpc.server.calls.typed_service",
    "TypedStub": "pybrpc.client.channel.typed_stub",
    "detached": "pybrpc.rpc.serving",
    "register_load_balancer": "pybrpc.client.cluster.balancing.registry",
    "register_naming_service": "pybrpc.naming",
}

_SUBMODULES = (
    *("aio", "errors", "iobuf", "json2pb", "lowlevel", "metrics", "naming", "redis", "rtmp"),
    *("server", "streams", "tracing", "tune"),
)

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN, _SUBMODULES)
