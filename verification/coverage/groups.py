"""Modules whose tests don't have their names, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Test files that are, beside those of their names, the own ones of all these modules."""

    reason: str
    modules: tuple[str, ...]
    """In src/pybrpc."""
    tests: tuple[str, ...]
    """In tests/."""


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


GROUPS = (
    Group(
        "an IOBuf is one thing in several files, tested by what is done with it",
        _in("iobuf", "iobuf", "blocks", "gather", "fd_io"),
        (
            "unit/iobuf/test_append.py",
            "unit/iobuf/test_cut.py",
            "unit/iobuf/test_look.py",
            "unit/iobuf/test_fd_io.py",
            "unit/iobuf/test_page_alias.py",
        ),
    ),
    Group(
        "which of the two kinds is given out",
        ("base/atomic.py",),
        ("unit/base/test_gil_atomic.py",),
    ),
    Group(
        "where a block lies in memory is what page_alias asks",
        ("iobuf/user_data.py",),
        ("unit/iobuf/test_page_alias.py",),
    ),
    Group(
        "meta_codec is tested against it",
        ("protocols/baidu_std/meta.py",),
        ("property/test_meta_codec.py",),
    ),
    Group(
        "what a message is, and the fields of its meta, is what the codec's tests say",
        ("protocols/baidu_std/schema.py", "protocols/message.py"),
        ("unit/protocols/baidu_std/test_baidu_std.py", "unit/protocols/baidu_std/test_meta.py"),
    ),
    Group(
        "recordings of C++ bRPC",
        ("protocols/baidu_std/baidu_std.py", "protocols/baidu_std/meta.py"),
        ("golden/test_baidu_std_vectors.py",),
    ),
    Group(
        "commands are written, and looked at, in one pass",
        ("protocols/redis/command.py", "protocols/redis/shareable.py"),
        ("unit/protocols/test_redis_command.py",),
    ),
    Group(
        "replies are scanned, cut and parsed one after the other",
        _in("protocols/redis", "redis_cutter", "redis_error", "reply_parser", "reply_scanner"),
        ("unit/protocols/test_redis_replies.py",),
    ),
    Group(
        "what a caller of Redis hands in and gets back, and its options",
        _in(
            "redis",
            "aio_redis_channel",
            "redis_channel",
            "redis_method",
            "redis_options",
            "redis_response",
        ),
        ("unit/redis/test_redis_request.py",),
    ),
    Group(
        "replies find their callers by their positions",
        ("redis/redis_connection.py", "redis/redis_connection_maker.py"),
        ("unit/redis/test_redis_connection.py", "unit/redis/test_redis_positions.py"),
    ),
    Group(
        "how a body is packed is what body says",
        ("rpc/body_encoding.py", "rpc/body_error.py"),
        ("unit/rpc/test_body.py", "unit/rpc/test_compress.py", "unit/rpc/test_checksum.py"),
    ),
    Group(
        "channels and their connections are tested by calls over them",
        _in(
            "client",
            "aio_channel",
            "channel",
            "loop_side",
            "sync_channel",
            "connection_maker",
            "rpc_connection",
        ),
        (
            "unit/client/test_channel.py",
            "unit/client/test_stub.py",
            "integration/test_calls_channels.py",
        ),
    ),
    Group(
        "one engine: a call, its attempts and its pauses, over connections that are played",
        _in("client", "attempt", "call", "call_record", "connection", "retry_pause"),
        (
            "unit/client/test_authentication.py",
            "unit/client/test_call.py",
            "unit/client/test_channel.py",
            "unit/client/test_rpc_connection.py",
            "unit/client/test_call_unreachable.py",
            "unit/client/test_dialer.py",
            "unit/client/test_hedge.py",
            "unit/client/test_pooled_connections.py",
        ),
    ),
    Group(
        "requests of a connection whose credential was not sent yet",
        _in("client", "rpc_connection", "unauthenticated_request"),
        ("unit/client/test_authentication.py",),
    ),
    Group(
        "what all kinds of sources share, and each kind, are tested by what happens to a call",
        _in(
            "client",
            "pooled_connections",
            "shared_source",
            "short_connections",
            "single_connections",
        ),
        (
            "unit/client/test_dialer.py",
            "unit/client/test_idle_watch.py",
            "unit/client/test_pooled_connections.py",
            "unit/client/test_shared_source.py",
            "unit/client/test_single_connections.py",
        ),
    ),
    Group(
        "a server is tested by what it answers, in threads and in a loop",
        _in(
            "server",
            "call_runner",
            "handler_loop",
            "in_place",
            "server",
            "server_call",
            "server_connection",
            "server_run",
            "server_settings",
            "server_stop",
        ),
        (
            "unit/server/test_server_state.py",
            "integration/test_acceptance_server.py",
            "integration/test_server_answers.py",
            "integration/test_server_asyncio.py",
            "integration/test_server_closing.py",
            "integration/test_server_shared_tasks.py",
            "integration/test_server_stop.py",
        ),
    ),
    Group(
        "a worker is a thread of the pool",
        ("server/worker.py",),
        ("unit/server/test_worker_pool.py",),
    ),
    Group(
        "values that travel between a supervisor and its workers",
        _in("server/workers", "supervisor_statistics", "target", "worker_report", "worker_spec"),
        ("unit/server/workers/test_values.py",),
    ),
    Group(
        "the parts of a proxy are tested by what passes through it",
        _in(
            "testing/faulty_proxy",
            "delay_line",
            "faults",
            "faulty_proxy",
            "lane",
            "proxied_connection",
        ),
        (
            "unit/testing/test_fault_script.py",
            "unit/testing/test_faulty_proxy.py",
            "unit/testing/test_faulty_proxy_control.py",
        ),
    ),
    Group(
        "tools for tests of schedules",
        _in("testing", "step_dispatcher", "step_scheduler"),
        ("unit/testing/test_step_tools.py",),
    ),
    Group(
        "its first user is the protocol that it was made for",
        _in("testing", "check_protocol"),
        ("unit/protocols/baidu_std/test_baidu_std.py",),
    ),
    Group(
        "parts of a Socket: its guarantees and faults are tested through it",
        _in(
            "transport",
            "backlog",
            "connecting",
            "parking",
            "pending_writes",
            "reader",
            "room",
            "socket",
            "uvloop_reader",
            "write_errors",
            "write_request",
            "writer",
        ),
        (
            "unit/transport/test_brpc_socket_acceptance.py",
            "unit/transport/test_faults.py",
            "unit/transport/test_gentle_close.py",
            "unit/transport/test_guarantee*.py",
            "unit/transport/test_handshake.py",
            "unit/transport/test_layer.py",
            "unit/transport/test_mark_failed.py",
            "unit/transport/test_process_backlog.py",
            "unit/transport/test_socket.py",
            "unit/transport/test_socket_state.py",
            "unit/transport/test_tls_guarantees.py",
            "unit/transport/test_write_request_cancel.py",
        ),
    ),
    Group(
        "what every dispatcher must do, and who drives when",
        _in(
            "transport",
            "asyncio_dispatcher",
            "epoll_dispatcher",
            "event_dispatcher",
            "poller",
        ),
        (
            "contract/test_dispatchers.py",
            "unit/transport/test_driver_seat.py",
            "unit/transport/test_last_posts.py",
            "unit/transport/test_layer.py",
            "unit/transport/test_relief.py",
        ),
    ),
    Group(
        "listening, and whose file a Unix socket is",
        _in("transport", "listen", "socket_file"),
        ("unit/transport/test_acceptor.py", "unit/transport/test_acceptor_unix.py"),
    ),
    Group(
        "names are resolved in order to connect",
        _in("transport", "resolver"),
        ("unit/transport/test_connector.py",),
    ),
    Group(
        "bRPC's own tests of its options",
        _in("transport", "socket_options"),
        ("unit/transport/test_brpc_socket_acceptance_options.py",),
    ),
    Group(
        "TLS: options, handshakes and what flows are one thing in several files",
        _in(
            "transport/tls",
            "client_tls",
            "contexts",
            "plain_or_tls_layer",
            "server_tls",
            "server_tls_contexts",
            "tls_errors",
            "tls_info",
            "tls_layer",
        ),
        ("unit/transport/test_tls_*.py",),
    ),
    Group(
        "a handshake of TLS is one",
        _in("transport", "handshake"),
        ("unit/transport/test_tls_handshake.py",),
    ),
)
