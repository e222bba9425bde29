"""Modules whose tests don't have their names, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Modules, and test files that count as the own tests of each, beside those of its name."""

    reason: str
    modules: tuple[str, ...]
    """In src/pybrpc."""
    tests: tuple[str, ...]
    """In tests/."""


def _modules(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


def _tests(folder: str, names: str) -> tuple[str, ...]:
    """`names` may be patterns."""
    return tuple(f"{folder}/test_{name}.py" for name in names.split())


_IOBUF = "unit/iobuf"
_BALANCING = "client/cluster/balancing"
_CLIENT = "unit/client"
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
            "testing/faulty_proxy/__init__.py",
        ),
        ("unit/test_public_names.py",),
    ),
    # --- iobuf, protocols, rpc ---
    Group(
        "An IOBuf is one type in several files.",
        _modules("iobuf", "iobuf blocks gather fd_io"),
        _tests(_IOBUF, "append cut look long_chains fd_io page_alias"),
    ),
    Group(
        "page_alias looks at the address of a block.",
        ("iobuf/user_data.py",),
        _tests(_IOBUF, "page_alias"),
    ),
    Group(
        "An atomic is one of two kinds; this is the one for a GIL.",
        ("base/atomic.py",),
        ("unit/base/test_gil_atomic.py",),
    ),
    Group(
        "Messages, and the fields of their meta, are tested by encoding them.",
        ("protocols/baidu_std/schema.py", "protocols/message.py"),
        _tests("unit/protocols/baidu_std", "baidu_std schema"),
    ),
    Group(
        "They read recordings of C++ bRPC.",
        _modules("protocols/baidu_std", "baidu_std meta_decoder meta_encoder"),
        ("golden/test_baidu_std_vectors.py",),
    ),
    Group(
        "Commands are written and examined in one pass.",
        _modules("protocols/redis", "command shareable"),
        ("unit/protocols/test_redis_command.py",),
    ),
    Group(
        "Replies are scanned, cut and parsed one after the other.",
        _modules("protocols/redis", "reply_parser reply_scanner"),
        ("unit/protocols/test_redis_replies.py",),
    ),
    Group(
        "Received bytes of HTTP pass through them one after the other, cut in every place.",
        _modules(
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
            *_modules("client/connections", "http_connection http_method http_status"),
            *_modules("client/channel", "http_call http_response http_stream"),
        ),
        _tests("integration", "http_client http_plain http_streams http_hostile_servers"),
    ),
    Group(
        "Body encodes and decodes with them.",
        _modules("rpc", "body_encoding body_error"),
        _tests("unit/rpc", "body compress checksum"),
    ),
    Group(
        "The calls of all sources of an address are counted together.",
        _modules("client/calls", "address_variables call_times"),
        _tests("unit/client/calls", "call_times"),
    ),
    Group(
        "Combined channels are tested as wholes, over sockets.",
        _modules(
            "client/combo",
            "__init__ combo_call combo_channel combo_future dynamic_partition_channel call_form"
            " parallel_call parallel_channel partition_channel partitions selective_call"
            " selective_channel sub_call sub_channel sub_controller sub_router",
        ),
        (*_tests("integration", "combo_*"), "stress/test_combo_races.py"),
    ),
    # --- json2pb ---
    Group(
        "Paths, values and errors are seen in conversions.",
        _modules("json2pb", "__init__ errors paths scalars"),
        _tests("unit/json2pb", "json_to_pb pb_to_json"),
    ),
    # --- redis ---
    Group(
        "A request, its response and its options are used together.",
        _modules("redis", "aio_redis_channel redis_channel redis_messages redis_options"),
        ("unit/redis/test_redis_messages.py",),
    ),
    Group(
        "The position of a reply on its connection finds the call.",
        _modules("redis", "redis_connection redis_connection_factory"),
        _tests("unit/redis", "redis_connection redis_positions"),
    ),
    # --- rtmp ---
    Group(
        "Connections, streams, clients and services of RTMP are tested as wholes, over sockets.",
        (
            "protocols/rtmp/rtmp_protocol.py",
            *_modules("rtmp", "__init__ aio connection frame lost_sockets outgoing"),
            *_modules(
                "rtmp/client",
                "aio_client app_connect client_base client_connection opening options player"
                " publisher reconnecting reconnecting_waits rtmp_client",
            ),
            *_modules(
                "rtmp/server",
                "answers interfaces server_connection server_stream server_stream_core service"
                " user_functions",
            ),
            *_modules("rtmp/streams", "aio_stream stream stream_core"),
        ),
        _tests("integration", "rtmp_server* rtmp_client* rtmp_reconnecting"),
    ),
    # --- client ---
    Group(
        "Channels and connections are tested by calls over them.",
        (
            *_modules("client/channel", "aio_channel base channel options"),
            "client/calls/aio_calls.py",
            *_modules("client/connections", "connection_factory rpc_connection"),
        ),
        (
            *_tests(f"{_CLIENT}/channel", "base options stub"),
            "integration/test_calls_channels.py",
        ),
    ),
    Group(
        "A call and its attempts are tested over fake connections.",
        (
            *_modules("client/calls", "attempt attempt_end call call_record retry"),
            "client/connections/connection.py",
        ),
        (
            *_tests(
                f"{_CLIENT}/calls",
                "attempt_end backup_request call call_given_up call_interrupted call_retries"
                " call_unreachable sync_calls_*",
            ),
            *_tests(f"{_CLIENT}/channel", "base"),
            *_tests(f"{_CLIENT}/connections", "authentication rpc_connection"),
            *_tests(f"{_CLIENT}/endpoints", "holds pooled_connections reconnector"),
        ),
    ),
    Group(
        "Requests wait here until the first one with a credential is answered.",
        ("client/connections/rpc_connection.py",),
        _tests(f"{_CLIENT}/connections", "authentication"),
    ),
    Group(
        "All kinds of sources share a base, and are tested by calls.",
        _modules(
            "client/endpoints",
            "pooled_connections short_connections single_connections source_base",
        ),
        _tests(
            f"{_CLIENT}/endpoints",
            "idle_sweep pooled_connections reconnector single_connections source_base",
        ),
    ),
    Group(
        "Interceptors of channels are tested by calls.",
        _modules(
            "client/channel/intercepted",
            "future_run intercepted_future intercepted_method intercepted_stream_call",
        ),
        _tests("integration", "interceptors_client*"),
    ),
    Group(
        "Balancers have one contract, are found by one registry, and are tested as bRPC's are.",
        (
            *_modules(_BALANCING, "load_balancer base_picker weights locality_aware registry"),
            *_modules(f"{_BALANCING}/hashing", "ring_points consistent_hashing hash_ring maglev"),
        ),
        (
            "contract/test_pickers.py",
            "golden/test_rings.py",
            *_tests(
                f"{_CLIENT}/cluster/balancing",
                "brpc_* simulated_clusters randomized round_robin weighted_round_robin registry",
            ),
            *_tests(f"{_CLIENT}/cluster/balancing/hashing", "*"),
        ),
    ),
    Group(
        "Routers and breakers are tested together on a virtual clock.",
        (
            *_modules("client/cluster", "pick router"),
            *_modules(
                "client/cluster/breaking",
                "breaker ema_circuit_breaker gates isolation outcomes outlier_detection"
                " retry_budget server_health server_states",
            ),
        ),
        (
            *_tests(f"{_CLIENT}/cluster", "router"),
            *_tests(f"{_CLIENT}/cluster/breaking", "ema_circuit_breaker server_states"),
        ),
    ),
    Group(
        "Channels to several servers are tested by calls.",
        (
            *_modules("client/channel", "cluster_options readiness"),
            *_modules(
                "client/cluster",
                "cluster_source finding server_connections server_status turns",
            ),
        ),
        _tests("integration", "clusters*"),
    ),
    # --- naming ---
    Group(
        "A watch, its service and its thread are tested together, with services of the tests.",
        _modules("naming", "background interfaces shared_naming watching"),
        (
            *_tests("unit/naming", "background watching list_keeper"),
            "integration/test_naming_fork.py",
        ),
    ),
    Group(
        "The wing has the public names; its parts are imported by them.",
        ("naming/__init__.py", "client/cluster/server_node.py"),
        (*_tests("unit/naming", "watching server_node"), "unit/test_public_names.py"),
    ),
    Group(
        "Each service is tested with a server: a real one, or a stand-in with faults.",
        (
            *_modules(
                "naming/services",
                "consul_naming discovery_naming dns_naming etcd_naming nacos_naming options"
                " remote_file_naming zookeeper_naming",
            ),
            *_modules("naming", "extras schemes"),
            *_modules(
                "naming/wire",
                "discovery_api dns_client etcd_api http_api http_settings json_fields nacos_api"
                " timed_socket zookeeper_client",
            ),
        ),
        (
            *_tests(
                "integration",
                "naming_consul naming_discovery naming_dns naming_etcd naming_nacos"
                " naming_remote_file naming_zookeeper registration",
            ),
            *_tests("unit/naming/wire", "http_api"),
            *_tests("unit/naming/services", "zookeeper_naming"),
        ),
    ),
    Group(
        "Names are looked up for dlist:// and http://.",
        ("naming/wire/host_names.py",),
        _tests("unit/naming/services", "list_naming domain_naming"),
    ),
    Group(
        "A registration is tested with the server that gets it.",
        _modules(
            "naming/registration",
            "consul_registrar discovery_registrar etcd_registrar nacos_registrar registrar"
            " registration zookeeper_registrar",
        ),
        (
            *_tests("integration", "registration naming_zookeeper acceptance_naming naming_fork"),
            *_tests("unit/naming/services", "zookeeper_naming"),
        ),
    ),
    # --- server ---
    Group(
        "Requests of HTTP are tested over connections, also against recordings of C++.",
        _modules(
            "server/http",
            "call_form content_types exchange frontend method_target page_target request"
            " resolved_head router served",
        ),
        (
            *_tests(
                "integration",
                "acceptance_http_* http_access http_default_method http_get http_observed"
                " http_server*",
            ),
            "golden/test_http1_calls.py",
        ),
    ),
    Group(
        "An internal port is tested by the pages on it.",
        _modules("server/lifecycle", "internal_port"),
        _tests("integration", "acceptance_builtin http_access"),
    ),
    Group(
        "Routes are compared with models of the rules, and tested by calls.",
        _modules("server/routing", "routes"),
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
            *_modules(
                "server/http",
                "body_queue body_threads generator_body loop_room progressive response_stream",
            ),
        ),
        _tests("integration", "http_event_source http_generators* http_progressive*"),
    ),
    Group(
        "Mounted applications are tested over connections, with h11 and websockets as judges.",
        (
            "server/mounting.py",
            *_modules(
                "server/http/asgi",
                "cycle http_cycle lifespan mount observed scope websocket_cycle __init__",
            ),
        ),
        _tests("integration", "asgi_*"),
    ),
    Group(
        "A server is tested by its responses, in threads and in a loop.",
        (
            *_modules("server", "server settings"),
            *_modules("server/calls", "call_queue interfaces server_call"),
            *_modules("server/connections", "closing credentials server_connection server_core"),
            *_modules("server/lifecycle", "running_server server_stop"),
            *_modules("server/running", "call_runner handler_loop inline_runner interfaces"),
        ),
        (
            *_tests(f"{_SERVER}/lifecycle", "server_state"),
            *_tests(
                "integration",
                "acceptance_server server_answers server_asyncio server_call_ends server_closing"
                " server_contexts server_fairness server_shared_tasks server_stop",
            ),
        ),
    ),
    Group(
        "A worker is a thread of the pool.",
        ("server/running/worker.py",),
        _tests(f"{_SERVER}/running", "worker_pool"),
    ),
    Group(
        "Limiters that learn are judged by simulated loads.",
        _modules("server/limiters", "auto_limiter sample_window service_rate timeout_limiter"),
        _tests(f"{_SERVER}/limiters", "overload_simulated"),
    ),
    Group(
        "A call that can't be packed or run is answered by them.",
        _modules("server/calls", "failures server_call"),
        _tests(f"{_SERVER}/calls", "invoker server_call_memory"),
    ),
    Group(
        "They share the settings and counters of a supervisor.",
        _modules("server/workers", "messages settings supervisor_statistics"),
        _tests(f"{_SERVER}/workers", "values"),
    ),
    Group(
        "Answers that are missing, or nonsense, are seen on the pages of a supervisor.",
        _modules("server/workers/pages", "messages outcomes"),
        _tests(f"{_SERVER}/workers/pages", "gathered hostile_workers"),
    ),
    Group(
        "It is a program, which is tested by those that start it.",
        ("server/workers/orphans/watch_orphans.py",),
        _tests(f"{_SERVER}/workers/orphans", "orphan_watch"),
    ),
    Group(
        "Sweeps look for idle connections and for incomplete messages.",
        ("server/connections/sweeps.py",),
        _tests(f"{_SERVER}/connections", "idle_sweep partial_message_sweep"),
    ),
    Group(
        "Signals of a server, and of a worker.",
        ("server/lifecycle/signals.py",),
        _tests(f"{_SERVER}/lifecycle", "quit_signals worker_signals"),
    ),
    Group(
        "Values that a server returns.",
        ("server/values.py",),
        (f"{_SERVER}/test_unfinished.py", f"{_SERVER}/lifecycle/test_server_state.py"),
    ),
    # --- testing ---
    Group(
        "The parts of a proxy are tested by the bytes that pass through it.",
        _modules("testing/faulty_proxy", "delay_line faults faulty_proxy lane proxied_connection"),
        _tests("unit/testing", "fault_script faulty_proxy faulty_proxy_control"),
    ),
    Group(
        "Tools for tests of schedules.",
        _modules("testing", "step_dispatcher step_scheduler"),
        _tests("unit/testing", "step_tools"),
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
            *_modules("transport/socket", "reader setup socket statistics"),
            *_modules(
                "transport/writing",
                "backlog errors pending_writes socket_core writable_wait write_request writer",
            ),
            "transport/connecting/connecting.py",
            "transport/dispatch/asyncio_dispatcher.py",
        ),
        (
            *_tests(f"{_TRANSPORT}/socket", "*"),
            *_tests(f"{_TRANSPORT}/writing", "long_queues process_backlog write_request_cancel"),
            *_tests(f"{_TRANSPORT}/connecting", "handshake"),
            *_tests(f"{_TRANSPORT}/tls", "tls_guarantees"),
            *_tests(_TRANSPORT, "interfaces"),
        ),
    ),
    Group(
        "All dispatchers have one contract, and share the rules of polling.",
        _modules(
            "transport/dispatch",
            "asyncio_dispatcher epoll_dispatcher event_dispatcher fd_events poller_role"
            " turn_budget turn_runner",
        ),
        (
            "contract/test_dispatchers.py",
            *_tests(
                f"{_TRANSPORT}/dispatch",
                "chained_wakeups poller_role shutdown_queue standby turn_budget",
            ),
            *_tests(_TRANSPORT, "interfaces"),
        ),
    ),
    Group(
        "An acceptor listens, and owns the file of a Unix socket.",
        _modules("transport/listening", "listen socket_file"),
        _tests(f"{_TRANSPORT}/listening", "acceptor acceptor_unix"),
    ),
    Group(
        "User code that raises is told apart by the guard.",
        ("base/user_code_error.py",),
        _tests("unit/base", "guard"),
    ),
    Group(
        "A stream is one object whose class is in several files.",
        _modules("streams", "send_side receive_side"),
        _tests("unit/streams", "core"),
    ),
    Group(
        "A stream of a relay and its players are one object in several files.",
        _modules("rtmp/relay", "relay_player relay_streams relay_values"),
        _tests("unit/rtmp/relay", "relay_hooks relay_stream rtmp_relay"),
    ),
    Group(
        "Names are resolved in order to connect.",
        ("transport/connecting/resolver.py",),
        _tests(f"{_TRANSPORT}/connecting", "connector look_ups"),
    ),
    Group(
        "bRPC's own tests of its options.",
        ("transport/socket_options.py",),
        _tests(f"{_TRANSPORT}/socket", "brpc_socket_acceptance_options"),
    ),
    Group(
        "TLS is one feature in several files.",
        (
            *_modules(
                "transport/tls",
                "client_tls contexts plain_or_tls_layer server_tls tls_errors tls_layer",
            ),
            "transport/interfaces.py",
            "transport/connecting/handshake.py",
        ),
        _tests(f"{_TRANSPORT}/tls", "*"),
    ),
    Group(
        "hotspots_page shows what hotspots_html makes.",
        ("builtin/profiling/hotspots_html.py",),
        ("unit/builtin/profiling/test_hotspots_page.py",),
    ),
    Group(
        "A request of HTTP passes through all of them; the tests are requests.",
        (
            *_modules(
                "server/http",
                "call_form content_types exchange frontend method_target page_target request "
                "resolved_head router served",
            ),
            "server/lifecycle/internal_port.py",
        ),
        _tests("integration", "http_server* http_access http_observed"),
    ),
)
