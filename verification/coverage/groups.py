"""Modules whose tests don't have their names, and why: all groups."""

from __future__ import annotations

from verification.coverage.client_groups import CLIENT_GROUPS
from verification.coverage.group import Group, modules, tests

_IOBUF = "unit/iobuf"
_SERVER = "unit/server"
_TRANSPORT = "unit/transport"

GROUPS = (
    Group(
        "They only name what is public.",
        (
            "__init__.py",
            "aio.py",
            "iobuf/__init__.py",
            "lowlevel.py",
            "metrics/__init__.py",
            "redis/__init__.py",
            "redis/aio.py",
            "server/__init__.py",
            "streams/__init__.py",
            "tracing/__init__.py",
            "testing/__init__.py",
            "testing/faulty_proxy/__init__.py",
        ),
        ("unit/test_public_names.py",),
    ),
    # --- iobuf, protocols, rpc ---
    Group(
        "An IOBuf is one type in several files.",
        modules("iobuf", "iobuf blocks gather fd_io"),
        tests(_IOBUF, "append cut look long_chains fd_io page_alias"),
    ),
    Group(
        "page_alias looks at the address of a block.",
        ("iobuf/user_data.py",),
        tests(_IOBUF, "page_alias"),
    ),
    Group(
        "An atomic is one of two kinds; this is the one for a GIL.",
        ("base/atomic.py",),
        ("unit/base/test_gil_atomic.py",),
    ),
    Group(
        "Messages, and the fields of their meta, are tested by encoding them.",
        ("protocols/baidu_std/schema.py", "protocols/message.py"),
        tests("unit/protocols/baidu_std", "baidu_std schema"),
    ),
    Group(
        "They read recordings of C++ bRPC.",
        modules("protocols/baidu_std", "baidu_std meta_decoder meta_encoder"),
        ("golden/test_baidu_std_vectors.py",),
    ),
    Group(
        "Commands are written and examined in one pass.",
        modules("protocols/redis", "command shareable"),
        ("unit/protocols/test_redis_command.py",),
    ),
    Group(
        "Replies are scanned, cut and parsed one after the other.",
        modules("protocols/redis", "reply_parser reply_scanner"),
        ("unit/protocols/test_redis_replies.py",),
    ),
    Group(
        "Received bytes of HTTP pass through them one after the other, cut in every place.",
        modules(
            "protocols/http1",
            "__init__ body_readers errors grammar head head_collector head_parser",
        ),
        ("unit/protocols/http1/test_parser.py",),
    ),
    Group(
        "The protocol makes the session of a client.",
        ("protocols/http1/http_protocol.py",),
        ("unit/protocols/http1/test_client_session.py",),
    ),
    Group(
        "Calls over HTTP are tested as wholes, over sockets.",
        (
            *modules(
                "client/connections",
                "http_connection http_connection_factory http_method http_status",
            ),
            *modules("client/channel", "http_call http_part http_response http_stream"),
        ),
        tests("integration", "http_client http_plain http_streams http_hostile_servers"),
    ),
    Group(
        "Body encodes and decodes with them.",
        modules("rpc", "body_encoding body_error"),
        tests("unit/rpc", "body compress checksum"),
    ),
    Group(
        "The calls of all sources of an address are counted together.",
        modules("client/calls", "address_variables call_times"),
        tests("unit/client/calls", "call_times"),
    ),
    Group(
        "Combined channels are tested as wholes, over sockets.",
        modules(
            "client/combo",
            "__init__ combo_call combo_channel combo_future dynamic_partition_channel call_form"
            " parallel_call parallel_channel partition_channel partitions selective_call"
            " selective_channel sub_call sub_channel sub_controller sub_router",
        ),
        (*tests("integration", "combo_*"), "stress/test_combo_races.py"),
    ),
    # --- json2pb ---
    Group(
        "Paths, values and errors are seen in conversions.",
        modules("json2pb", "__init__ errors paths scalars"),
        tests("unit/json2pb", "json_to_pb pb_to_json"),
    ),
    # --- redis ---
    Group(
        "A request, its response and its options are used together.",
        modules("redis", "aio_redis_channel redis_channel redis_messages redis_options"),
        ("unit/redis/test_redis_messages.py",),
    ),
    Group(
        "The position of a reply on its connection finds the call.",
        modules("redis", "redis_connection redis_connection_factory"),
        tests("unit/redis", "redis_connection redis_positions"),
    ),
    # --- rtmp ---
    Group(
        "Connections, streams, clients and services of RTMP are tested as wholes, over sockets.",
        (
            "protocols/rtmp/rtmp_protocol.py",
            *modules("rtmp", "__init__ aio connection frame lost_sockets outgoing"),
            *modules(
                "rtmp/client",
                "aio_client app_connect client_base client_connection opening options player"
                " publisher reconnecting reconnecting_waits rtmp_client",
            ),
            *modules(
                "rtmp/server",
                "answers interfaces server_connection server_stream server_stream_core service"
                " user_functions",
            ),
            *modules("rtmp/streams", "aio_stream stream stream_core"),
        ),
        tests("integration", "rtmp_server* rtmp_client* rtmp_reconnecting"),
    ),
    *CLIENT_GROUPS,
    # --- server ---
    Group(
        "Requests of HTTP are tested over connections, also against recordings of C++.",
        modules(
            "server/http",
            "call_form content_types exchange frontend method_target page_target request"
            " resolved_head router served",
        ),
        (
            *tests(
                "integration",
                "acceptance_http_* http_access http_default_method http_get http_observed"
                " http_server*",
            ),
            "golden/test_http1_calls.py",
        ),
    ),
    Group(
        "An internal port is tested by the pages on it.",
        modules("server/lifecycle", "internal_port"),
        tests("integration", "acceptance_builtin http_access"),
    ),
    Group(
        "Routes are compared with models of the rules, and tested by calls.",
        modules("server/routing", "routes"),
        (
            "property/test_routing.py",
            "integration/test_acceptance_http_server.py",
            "unit/protocols/http1/test_brpc_http_message.py",
        ),
    ),
    Group(
        "Bodies in parts are tested over connections, with h11 as the judge.",
        (
            "rpc/http_body.py",
            *modules(
                "server/http",
                "body_queue body_threads generator_body loop_room progressive response_stream",
            ),
        ),
        tests("integration", "http_event_source http_generators* http_progressive*"),
    ),
    Group(
        "Mounted applications are tested over connections, with h11 and websockets as judges.",
        (
            "server/mounting.py",
            *modules(
                "server/http/asgi",
                "cycle http_cycle lifespan mount observed scope websocket_cycle __init__",
            ),
        ),
        tests("integration", "asgi_*"),
    ),
    Group(
        "A server is tested by its responses, in threads and in a loop.",
        (
            *modules("server", "server settings"),
            *modules("server/calls", "call_queue interfaces server_call"),
            *modules("server/connections", "closing credentials server_connection server_core"),
            *modules("server/lifecycle", "running_server server_stop"),
            *modules("server/running", "call_runner handler_loop inline_runner interfaces"),
        ),
        (
            *tests(f"{_SERVER}/lifecycle", "server_state"),
            *tests(
                "integration",
                "acceptance_server server_answers server_asyncio server_call_ends server_closing"
                " server_contexts server_fairness server_shared_tasks server_stop",
            ),
        ),
    ),
    Group(
        "The view of a registration says its state.",
        ("builtin/server_view.py",),
        ("unit/builtin/test_registrations.py", "unit/server/lifecycle/test_registrations.py"),
    ),
    Group(
        "A server registers itself, and drains, with a naming service that looks on.",
        (
            "server/registering.py",
            *modules("server/lifecycle", "drain registrations"),
        ),
        (
            *tests(f"{_SERVER}/lifecycle", "drain registrations"),
            *tests("integration", "server_registration workers_registration"),
        ),
    ),
    Group(
        "A worker is a thread of the pool.",
        ("server/running/worker.py",),
        tests(f"{_SERVER}/running", "worker_pool"),
    ),
    Group(
        "Limiters that learn are judged by simulated loads.",
        modules("server/limiters", "auto_limiter sample_window service_rate timeout_limiter"),
        tests(f"{_SERVER}/limiters", "overload_simulated"),
    ),
    Group(
        "A call that can't be packed or run is answered by them.",
        modules("server/calls", "failures server_call"),
        tests(f"{_SERVER}/calls", "invoker server_call_memory"),
    ),
    Group(
        "They share the settings and counters of a supervisor.",
        modules("server/workers", "messages settings supervisor_statistics"),
        tests(f"{_SERVER}/workers", "values"),
    ),
    Group(
        "Answers that are missing, or nonsense, are seen on the pages of a supervisor.",
        modules("server/workers/pages", "messages outcomes"),
        tests(f"{_SERVER}/workers/pages", "gathered hostile_workers"),
    ),
    Group(
        "It is a program, which is tested by those that start it.",
        ("server/workers/orphans/watch_orphans.py",),
        tests(f"{_SERVER}/workers/orphans", "orphan_watch"),
    ),
    Group(
        "Sweeps look for idle connections and for incomplete messages.",
        ("server/connections/sweeps.py",),
        tests(f"{_SERVER}/connections", "idle_sweep partial_message_sweep"),
    ),
    Group(
        "Signals of a server, and of a worker.",
        ("server/lifecycle/signals.py",),
        tests(f"{_SERVER}/lifecycle", "quit_signals worker_signals"),
    ),
    Group(
        "Values that a server returns.",
        ("server/values.py",),
        (f"{_SERVER}/test_unfinished.py", f"{_SERVER}/lifecycle/test_server_state.py"),
    ),
    # --- testing ---
    Group(
        "Both make channels in memory, one for threads and one for asyncio.",
        modules("testing", "aio in_memory"),
        tests("unit/testing", "in_memory"),
    ),
    Group(
        "Types of the fixtures, which those of the plugin must fit.",
        ("testing/fixtures.py",),
        ("integration/test_pytest_plugin.py",),
    ),
    Group(
        "The parts of a proxy are tested by the bytes that pass through it.",
        modules("testing/faulty_proxy", "delay_line faults faulty_proxy lane proxied_connection"),
        tests("unit/testing", "fault_script faulty_proxy faulty_proxy_control"),
    ),
    Group(
        "Tools for tests of schedules.",
        modules("testing", "step_dispatcher step_scheduler"),
        tests("unit/testing", "step_tools"),
    ),
    Group(
        "It is tested with the first protocol that used it.",
        ("testing/check_protocol.py",),
        ("unit/protocols/baidu_std/test_baidu_std.py",),
    ),
    # --- transport ---
    Group(
        "Parts of a Socket, whose guarantees and faults are tested through it.",
        (
            *modules("transport/socket", "reader setup socket statistics"),
            *modules(
                "transport/writing",
                "backlog errors pending_writes socket_core writable_wait write_request writer",
            ),
            "transport/connecting/connecting.py",
            "transport/dispatch/asyncio_dispatcher.py",
        ),
        (
            *tests(f"{_TRANSPORT}/socket", "*"),
            *tests(f"{_TRANSPORT}/writing", "long_queues process_backlog write_request_cancel"),
            *tests(f"{_TRANSPORT}/connecting", "handshake"),
            *tests(f"{_TRANSPORT}/tls", "tls_guarantees"),
            *tests(_TRANSPORT, "interfaces"),
        ),
    ),
    Group(
        "All dispatchers have one contract, and share the rules of polling.",
        modules(
            "transport/dispatch",
            "asyncio_dispatcher epoll_dispatcher event_dispatcher fd_events poller_role"
            " turn_budget turn_runner",
        ),
        (
            "contract/test_dispatchers.py",
            *tests(
                f"{_TRANSPORT}/dispatch",
                "chained_wakeups poller_role shutdown_queue standby turn_budget",
            ),
            *tests(_TRANSPORT, "interfaces"),
        ),
    ),
    Group(
        "An acceptor listens, and owns the file of a Unix socket.",
        modules("transport/listening", "listen socket_file"),
        tests(f"{_TRANSPORT}/listening", "acceptor acceptor_unix"),
    ),
    Group(
        "User code that raises is told apart by the guard.",
        ("base/user_code_error.py",),
        tests("unit/base", "guard"),
    ),
    Group(
        "A stream is one object whose class is in several files.",
        modules("streams", "send_side receive_side"),
        tests("unit/streams", "core"),
    ),
    Group(
        "A stream of a relay and its players are one object in several files.",
        modules("rtmp/relay", "relay_player relay_streams relay_values"),
        tests("unit/rtmp/relay", "relay_hooks relay_stream rtmp_relay"),
    ),
    Group(
        "Names are resolved in order to connect.",
        ("transport/connecting/resolver.py",),
        tests(f"{_TRANSPORT}/connecting", "connector look_ups"),
    ),
    Group(
        "bRPC's own tests of its options.",
        ("transport/socket_options.py",),
        tests(f"{_TRANSPORT}/socket", "brpc_socket_acceptance_options"),
    ),
    Group(
        "TLS is one feature in several files.",
        (
            *modules(
                "transport/tls",
                "client_tls contexts plain_or_tls_layer server_tls tls_errors tls_layer",
            ),
            "transport/interfaces.py",
            "transport/connecting/handshake.py",
        ),
        tests(f"{_TRANSPORT}/tls", "*"),
    ),
    Group(
        "hotspots_page shows what hotspots_html makes.",
        ("builtin/profiling/hotspots_html.py",),
        ("unit/builtin/profiling/test_hotspots_page.py",),
    ),
    Group(
        "A request of HTTP passes through all of them; the tests are requests.",
        (
            *modules(
                "server/http",
                "call_form content_types exchange frontend method_target page_target request "
                "resolved_head router served",
            ),
            "server/lifecycle/internal_port.py",
        ),
        tests("integration", "http_server* http_access http_observed"),
    ),
    Group(
        "Commands are run as people run them, against servers.",
        (
            *modules(
                "cli",
                "arguments calling call call_stream command descriptor dump dump_files health "
                "output pages press press_load press_screen replay top view",
            ),
            "cli/schema/loading.py",
        ),
        (*tests("unit/cli", "*"), *tests("integration", "cli_*")),
    ),
)
