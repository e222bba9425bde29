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


GROUPS = (
    Group(
        "an IOBuf is one thing in several files, tested by what is done with it",
        (
            "iobuf/iobuf.py",
            "iobuf/blocks.py",
            "iobuf/gather.py",
            "iobuf/fd_io.py",
        ),
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
        (
            "protocols/baidu_std/schema.py",
            "protocols/message.py",
        ),
        (
            "unit/protocols/baidu_std/test_baidu_std.py",
            "unit/protocols/baidu_std/test_meta.py",
        ),
    ),
    Group(
        "recordings of C++ bRPC",
        (
            "protocols/baidu_std/baidu_std.py",
            "protocols/baidu_std/meta.py",
        ),
        ("golden/test_baidu_std_vectors.py",),
    ),
    Group(
        "commands are written, and looked at, in one pass",
        (
            "protocols/redis/command.py",
            "protocols/redis/shareable.py",
        ),
        ("unit/protocols/test_redis_command.py",),
    ),
    Group(
        "replies are scanned, cut and parsed one after the other",
        (
            "protocols/redis/redis_cutter.py",
            "protocols/redis/redis_error.py",
            "protocols/redis/reply_parser.py",
            "protocols/redis/reply_scanner.py",
        ),
        ("unit/protocols/test_redis_replies.py",),
    ),
    Group(
        "what a caller of Redis hands in and gets back, and its options",
        (
            "redis/aio_redis_channel.py",
            "redis/redis_channel.py",
            "redis/redis_method.py",
            "redis/redis_options.py",
            "redis/redis_response.py",
        ),
        ("unit/redis/test_redis_request.py",),
    ),
    Group(
        "replies find their callers by their positions",
        (
            "redis/redis_connection.py",
            "redis/redis_connection_factory.py",
        ),
        (
            "unit/redis/test_redis_connection.py",
            "unit/redis/test_redis_positions.py",
        ),
    ),
    Group(
        "how a body is packed is what body says",
        (
            "rpc/body_encoding.py",
            "rpc/body_error.py",
        ),
        (
            "unit/rpc/test_body.py",
            "unit/rpc/test_compress.py",
            "unit/rpc/test_checksum.py",
        ),
    ),
    Group(
        "channels and their connections are tested by calls over them",
        (
            "client/channel/aio_channel.py",
            "client/channel/base.py",
            "client/channel/options.py",
            "client/calls/aio_calls.py",
            "client/channel/channel.py",
            "client/connections/connection_factory.py",
            "client/connections/rpc_connection.py",
        ),
        (
            "unit/client/channel/test_base.py",
            "unit/client/channel/test_options.py",
            "unit/client/channel/test_stub.py",
            "integration/test_calls_channels.py",
        ),
    ),
    Group(
        "one engine: a call, its attempts and its pauses, over connections that are played",
        (
            "client/calls/attempt.py",
            "client/calls/call.py",
            "client/calls/call_record.py",
            "client/connections/connection.py",
            "client/calls/retry.py",
        ),
        (
            "unit/client/connections/test_authentication.py",
            "unit/client/calls/test_call.py",
            "unit/client/channel/test_base.py",
            "unit/client/connections/test_rpc_connection.py",
            "unit/client/calls/test_call_unreachable.py",
            "unit/client/endpoints/test_reconnector.py",
            "unit/client/calls/test_backup_request.py",
            "unit/client/endpoints/test_pooled_connections.py",
        ),
    ),
    Group(
        "requests of a connection whose credential was not sent yet",
        (
            "client/connections/rpc_connection.py",
            "client/connections/authentication.py",
        ),
        ("unit/client/connections/test_authentication.py",),
    ),
    Group(
        "what all kinds of sources share, and each kind, are tested by what happens to a call",
        (
            "client/endpoints/pooled_connections.py",
            "client/endpoints/source_base.py",
            "client/endpoints/short_connections.py",
            "client/endpoints/single_connections.py",
        ),
        (
            "unit/client/endpoints/test_reconnector.py",
            "unit/client/endpoints/test_idle_sweep.py",
            "unit/client/endpoints/test_pooled_connections.py",
            "unit/client/endpoints/test_source_base.py",
            "unit/client/endpoints/test_single_connections.py",
        ),
    ),
    Group(
        "a server is tested by what it answers, in threads and in a loop",
        (
            "server/running/call_runner.py",
            "server/running/handler_loop.py",
            "server/running/inline_runner.py",
            "server/server.py",
            "server/calls/interfaces.py",
            "server/calls/server_call.py",
            "server/connections/closing.py",
            "server/connections/credentials.py",
            "server/connections/server_connection.py",
            "server/connections/server_core.py",
            "server/lifecycle/running_server.py",
            "server/settings.py",
            "server/lifecycle/server_stop.py",
        ),
        (
            "unit/server/lifecycle/test_server_state.py",
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
        ("server/running/worker.py",),
        ("unit/server/running/test_worker_pool.py",),
    ),
    Group(
        "values that travel between a supervisor and its workers",
        (
            "server/workers/supervisor_statistics.py",
            "server/workers/settings.py",
            "server/workers/messages.py",
        ),
        ("unit/server/workers/test_values.py",),
    ),
    Group(
        "the parts of a proxy are tested by what passes through it",
        (
            "testing/faulty_proxy/delay_line.py",
            "testing/faulty_proxy/faults.py",
            "testing/faulty_proxy/faulty_proxy.py",
            "testing/faulty_proxy/lane.py",
            "testing/faulty_proxy/proxied_connection.py",
        ),
        (
            "unit/testing/test_fault_script.py",
            "unit/testing/test_faulty_proxy.py",
            "unit/testing/test_faulty_proxy_control.py",
        ),
    ),
    Group(
        "tools for tests of schedules",
        (
            "testing/step_dispatcher.py",
            "testing/step_scheduler.py",
        ),
        ("unit/testing/test_step_tools.py",),
    ),
    Group(
        "its first user is the protocol that it was made for",
        ("testing/check_protocol.py",),
        ("unit/protocols/baidu_std/test_baidu_std.py",),
    ),
    Group(
        "parts of a Socket: its guarantees and faults are tested through it",
        (
            "transport/writing/backlog.py",
            "transport/connecting/connecting.py",
            "transport/writing/writable_wait.py",
            "transport/writing/pending_writes.py",
            "transport/socket/reader.py",
            "transport/socket/setup.py",
            "transport/socket/socket.py",
            "transport/dispatch/asyncio_dispatcher.py",
            "transport/writing/errors.py",
            "transport/writing/socket_core.py",
            "transport/writing/write_request.py",
            "transport/writing/writer.py",
        ),
        (
            "unit/transport/socket/test_brpc_socket_acceptance.py",
            "unit/transport/socket/test_faults.py",
            "unit/transport/socket/test_graceful_close.py",
            "unit/transport/socket/test_order.py",
            "unit/transport/socket/test_exactly_one_outcome.py",
            "unit/transport/socket/test_never_waits.py",
            "unit/transport/socket/test_reentrant.py",
            "unit/transport/socket/test_no_lost_wake_up.py",
            "unit/transport/socket/test_callbacks_without_the_right.py",
            "unit/transport/socket/test_bounded_backlog.py",
            "unit/transport/socket/test_bad_message_fails_alone.py",
            "unit/transport/socket/test_shutdown_write.py",
            "unit/transport/socket/test_failure_reaches_everybody.py",
            "unit/transport/connecting/test_handshake.py",
            "unit/transport/test_interfaces.py",
            "unit/transport/socket/test_fail_while_failing.py",
            "unit/transport/writing/test_process_backlog.py",
            "unit/transport/socket/test_socket.py",
            "unit/transport/socket/test_socket_state.py",
            "unit/transport/tls/test_tls_guarantees.py",
            "unit/transport/writing/test_write_request_cancel.py",
        ),
    ),
    Group(
        "the contract of every dispatcher, and which thread polls when",
        (
            "transport/dispatch/asyncio_dispatcher.py",
            "transport/dispatch/epoll_dispatcher.py",
            "transport/dispatch/event_dispatcher.py",
            "transport/dispatch/fd_events.py",
            "transport/dispatch/poller_role.py",
            "transport/dispatch/turn_runner.py",
        ),
        (
            "contract/test_dispatchers.py",
            "unit/transport/dispatch/test_chained_wakeups.py",
            "unit/transport/dispatch/test_poller_role.py",
            "unit/transport/dispatch/test_shutdown_queue.py",
            "unit/transport/test_interfaces.py",
            "unit/transport/dispatch/test_standby.py",
        ),
    ),
    Group(
        "listening, and whose file a Unix socket is",
        (
            "transport/listening/listen.py",
            "transport/listening/socket_file.py",
        ),
        (
            "unit/transport/listening/test_acceptor.py",
            "unit/transport/listening/test_acceptor_unix.py",
        ),
    ),
    Group(
        "names are resolved in order to connect",
        ("transport/connecting/resolver.py",),
        ("unit/transport/connecting/test_connector.py",),
    ),
    Group(
        "bRPC's own tests of its options",
        ("transport/socket_options.py",),
        ("unit/transport/socket/test_brpc_socket_acceptance_options.py",),
    ),
    Group(
        "TLS: options, handshakes and what flows are one thing in several files",
        (
            "transport/tls/client_tls.py",
            "transport/tls/contexts.py",
            "transport/tls/plain_or_tls_layer.py",
            "transport/tls/server_tls.py",
            "transport/tls/tls_errors.py",
            "transport/interfaces.py",
            "transport/tls/tls_layer.py",
        ),
        (
            "unit/transport/tls/test_tls_guarantees.py",
            "unit/transport/tls/test_tls_handshake.py",
            "unit/transport/tls/test_tls_layer.py",
            "unit/transport/tls/test_tls_options.py",
        ),
    ),
    Group(
        "a handshake of TLS is one",
        ("transport/connecting/handshake.py",),
        ("unit/transport/tls/test_tls_handshake.py",),
    ),
    Group(
        "idle connections and incomplete messages are looked for by one kind of sweep",
        ("server/connections/sweeps.py",),
        (
            "unit/server/connections/test_idle_sweep.py",
            "unit/server/connections/test_partial_message_sweep.py",
        ),
    ),
    Group(
        "signals of a server, and those of a worker",
        ("server/lifecycle/signals.py",),
        (
            "unit/server/lifecycle/test_quit_signals.py",
            "unit/server/lifecycle/test_worker_signals.py",
        ),
    ),
    Group(
        "values that a server gives out",
        ("server/values.py",),
        ("unit/server/test_unfinished.py", "unit/server/lifecycle/test_server_state.py"),
    ),
)
