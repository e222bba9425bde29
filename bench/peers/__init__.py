"""Those that are measured, each in a file of its own, behind the interface in peer.py."""

from __future__ import annotations

from bench.peers import brpc_cpp
from bench.peers.entry import Entry, Kind
from bench.peers.pybrpc_modes import PLAIN_ENVIRONMENT, why_not_plain

_SHARED = "one connection for all"
_OWN = "a connection for each thread"
_TASKS = "tasks; " + _SHARED
_EXAMPLE = "C++ bRPC's example multi_threaded_echo_c++"
_PLAIN_SERVER = "server: handlers in worker threads (at most 256, as many as are needed)"

PYBRPC = ("pybrpc", "google.protobuf")
GRPCIO = ("grpc", "google.protobuf")

_ALL = (
    Entry(
        "pybrpc",
        "pybrpc_sync:PEER",
        Kind.SYNC,
        f"{_SHARED}; {_PLAIN_SERVER}",
        PYBRPC,
        "pybrpc",
    ),
    Entry(
        "pybrpc-attachment",
        "pybrpc_sync:ATTACHMENT",
        Kind.SYNC,
        "as pybrpc; the bytes travel beside the message, as bRPC's benchmarks send them",
        PYBRPC,
        "pybrpc",
    ),
    Entry(
        "pybrpc-groups",
        "pybrpc_groups:PEER",
        Kind.SYNC,
        f"as pybrpc-attachment, with a connection_group, so {_OWN}",
        PYBRPC,
        "pybrpc",
        server="pybrpc-attachment",
    ),
    Entry(
        "pybrpc-callbacks",
        "pybrpc_callbacks:PEER",
        Kind.CALLBACKS,
        f"with_callback; {_SHARED}; server as for pybrpc",
        PYBRPC,
        "pybrpc",
        server="pybrpc",
    ),
    Entry(
        "pybrpc-aio",
        "pybrpc_aio:PEER",
        Kind.AIO,
        f"{_TASKS}; server as for pybrpc; as the first of two servers: async handlers",
        PYBRPC,
        "pybrpc",
        server="pybrpc",
    ),
    Entry(
        "pybrpc-uvloop",
        "pybrpc_aio:PEER",
        Kind.AIO,
        "as pybrpc-aio, the tasks under uvloop",
        (*PYBRPC, "uvloop"),
        "pybrpc",
        server="pybrpc",
        uvloop=True,
    ),
    Entry(
        "pybrpc-plain",
        "pybrpc_sync:PEER",
        Kind.SYNC,
        "as pybrpc, without compiled modules on either side",
        PYBRPC,
        "pybrpc",
        environment=PLAIN_ENVIRONMENT,
        unless=why_not_plain,
    ),
    Entry(
        "pybrpc-plain-aio",
        "pybrpc_aio:PEER",
        Kind.AIO,
        "as pybrpc-aio, without compiled modules on either side",
        PYBRPC,
        "pybrpc",
        server="pybrpc-plain",
        environment=PLAIN_ENVIRONMENT,
        unless=why_not_plain,
    ),
    Entry(
        "grpcio",
        "grpcio_sync:PEER",
        Kind.SYNC,
        f"{_SHARED}; server: ThreadPoolExecutor(10), as in grpcio's examples",
        GRPCIO,
        "grpcio",
    ),
    Entry(
        "grpcio-futures",
        "grpcio_sync:PEER",
        Kind.CALLBACKS,
        f"future.add_done_callback; {_SHARED}; server as for grpcio",
        GRPCIO,
        "grpcio",
        server="grpcio",
    ),
    Entry(
        "grpc.aio",
        "grpcio_aio:PEER",
        Kind.AIO,
        f"{_TASKS}; server: grpc.aio.server(), which may have 10,000 requests waiting",
        GRPCIO,
        "grpcio",
    ),
    Entry(
        "thriftpy2",
        "thriftpy2_sync:PEER",
        Kind.SYNC,
        f"{_OWN}; TThreadedServer: a thread for each connection; Cython protocol and transport",
        ("thriftpy2",),
        "thriftpy2",
    ),
    Entry(
        "rpyc",
        "rpyc_sync:PEER",
        Kind.SYNC,
        f"{_OWN}; ThreadedServer: a thread for each connection",
        ("rpyc",),
        "rpyc",
    ),
    Entry(
        "pyzmq",
        "pyzmq_sync:PEER",
        Kind.SYNC,
        "a DEALER for each thread; server: one ROUTER that answers in one thread",
        ("zmq",),
        "pyzmq",
    ),
    Entry(
        "pyzmq-aio",
        "pyzmq_aio:PEER",
        Kind.AIO,
        "zmq.asyncio: one DEALER for all tasks; server as for pyzmq",
        ("zmq",),
        "pyzmq",
        server="pyzmq",
    ),
    Entry(
        "socket",
        "bare_socket:PEER",
        Kind.SYNC,
        f"no RPC: blocking sockets with a 12-byte header; {_OWN}, a thread for each in the server",
    ),
    Entry(
        "protocol",
        "bare_protocol:PEER",
        Kind.AIO,
        "no RPC: asyncio.Protocol with a 12-byte header; tasks; one connection for all",
    ),
    Entry(
        "protocol-uvloop",
        "bare_protocol:PEER",
        Kind.AIO,
        "as protocol, both sides under uvloop",
        ("uvloop",),
        "uvloop",
        uvloop=True,
    ),
    Entry(
        "brpc-cpp",
        "brpc_cpp:PTHREADS",
        Kind.CPP,
        f"{_EXAMPLE}; pthreads; {_SHARED}",
        unless=brpc_cpp.missing,
    ),
    Entry(
        "brpc-cpp-bthreads",
        "brpc_cpp:BTHREADS",
        Kind.CPP,
        f"as brpc-cpp, with bthreads as callers; {_SHARED}",
        server="brpc-cpp",
        unless=brpc_cpp.missing,
    ),
    Entry(
        "pybrpc-to-cpp",
        "pybrpc_example:PEER",
        Kind.SYNC,
        "the client of pybrpc, the server of brpc-cpp",
        PYBRPC,
        "pybrpc",
        server="brpc-cpp",
        unless=brpc_cpp.missing,
    ),
    Entry(
        "cpp-to-pybrpc",
        "brpc_cpp:PTHREADS",
        Kind.CPP,
        f"the client of brpc-cpp; server: pybrpc, as for pybrpc, with the service of {_EXAMPLE}",
        PYBRPC,
        server="pybrpc-to-cpp",
        unless=brpc_cpp.missing,
    ),
)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _ALL}
