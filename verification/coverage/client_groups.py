"""The groups of the client."""

from __future__ import annotations

from verification.coverage.group import Group, modules, tests

_BALANCING = "client/cluster/balancing"
_CLIENT = "unit/client"

CLIENT_GROUPS = (
    Group(
        "Channels and connections are tested by calls over them.",
        (
            *modules("client/channel", "aio_channel base channel options servers"),
            "client/calls/aio_calls.py",
            *modules("client/connections", "connection_factory rpc_connection"),
        ),
        (
            *tests(f"{_CLIENT}/channel", "base options stub"),
            "integration/test_calls_channels.py",
        ),
    ),
    Group(
        "A call and its attempts are tested over fake connections.",
        (
            *modules("client/calls", "attempt attempt_end call call_record retry"),
            "client/connections/connection.py",
        ),
        (
            *tests(
                f"{_CLIENT}/calls",
                "attempt_end backup_request call call_given_up call_interrupted call_retries"
                " call_unreachable sync_calls_*",
            ),
            *tests(f"{_CLIENT}/channel", "base"),
            *tests(f"{_CLIENT}/connections", "authentication rpc_connection"),
            *tests(f"{_CLIENT}/endpoints", "holds pooled_connections reconnector"),
        ),
    ),
    Group(
        "Requests wait here until the first one with a credential is answered.",
        ("client/connections/rpc_connection.py",),
        tests(f"{_CLIENT}/connections", "authentication"),
    ),
    Group(
        "All kinds of sources share a base, and are tested by calls.",
        modules(
            "client/endpoints",
            "pooled_connections short_connections single_connections source_base waiting_calls",
        ),
        tests(
            f"{_CLIENT}/endpoints",
            "idle_sweep pooled_connections reconnector single_connections source_base",
        ),
    ),
    Group(
        "Connections of threads that block are tested by calls of threads.",
        ("client/endpoints/auto_connections.py", "client/connections/connection_pool.py"),
        ("integration/test_auto_connections.py", "integration/test_direct_reading.py"),
    ),
    Group(
        "A call of a task that opens streams is tested by such calls.",
        ("client/channel/aio_stream_call.py",),
        ("integration/test_streams_opening.py", "integration/test_streams_typed.py"),
    ),
    Group(
        "Interceptors of channels are tested by calls.",
        modules(
            "client/channel/intercepted",
            "aio_intercepted_method aio_intercepted_stream_call future_run intercepted_future"
            " intercepted_method intercepted_stream_call",
        ),
        tests("integration", "interceptors_client*"),
    ),
    Group(
        "Balancers have one contract, are found by one registry, and are tested as bRPC's are.",
        (
            *modules(_BALANCING, "load_balancer base_picker weights locality_aware registry"),
            *modules(f"{_BALANCING}/hashing", "ring_points consistent_hashing hash_ring maglev"),
        ),
        (
            "contract/test_pickers.py",
            "golden/test_rings.py",
            *tests(
                f"{_CLIENT}/cluster/balancing",
                "brpc_* simulated_clusters randomized round_robin weighted_round_robin registry",
            ),
            *tests(f"{_CLIENT}/cluster/balancing/hashing", "*"),
        ),
    ),
    Group(
        "Routers and breakers are tested together on a virtual clock.",
        (
            *modules("client/cluster", "pick router"),
            *modules(
                "client/cluster/breaking",
                "breaker checked_numbers ema_circuit_breaker gates isolation outcomes"
                " outlier_detection retry_budget server_breaker server_health server_states",
            ),
        ),
        (
            *tests(f"{_CLIENT}/cluster", "router"),
            *tests(f"{_CLIENT}/cluster/breaking", "ema_circuit_breaker server_states"),
        ),
    ),
    Group(
        "Channels to several servers are tested by calls.",
        (
            *modules("client/channel", "cluster_options readiness"),
            *modules(
                "client/cluster",
                "cluster_source finding server_connections server_status turns",
            ),
        ),
        tests("integration", "clusters*"),
    ),
    # --- naming ---
    Group(
        "A watch, its service and its thread are tested together, with services of the tests.",
        modules("naming", "background interfaces shared_naming watching"),
        (
            *tests("unit/naming", "background watching list_keeper"),
            "integration/test_naming_fork.py",
        ),
    ),
    Group(
        "The wing has the public names; its parts are imported by them.",
        ("naming/__init__.py", "client/cluster/server_node.py"),
        (*tests("unit/naming", "watching server_node"), "unit/test_public_names.py"),
    ),
    Group(
        "Each service is tested with a server: a real one, or a stand-in with faults.",
        (
            *modules(
                "naming/services",
                "consul_naming discovery_naming dns_naming etcd_naming nacos_naming options"
                " remote_file_naming zookeeper_naming",
            ),
            *modules("naming", "extras schemes"),
            *modules(
                "naming/wire",
                "discovery_api dns_client etcd_api http_api http_settings json_fields nacos_api"
                " timed_socket zookeeper_client",
            ),
        ),
        (
            *tests(
                "integration",
                "naming_consul naming_discovery naming_dns naming_etcd naming_nacos"
                " naming_remote_file naming_zookeeper registration",
            ),
            *tests("unit/naming/wire", "http_api"),
            *tests("unit/naming/services", "zookeeper_naming"),
        ),
    ),
    Group(
        "Names are looked up for dlist:// and http://.",
        ("naming/wire/host_names.py",),
        tests("unit/naming/services", "list_naming domain_naming"),
    ),
    Group(
        "A registration is tested with the server that gets it.",
        modules(
            "naming/registration",
            "consul_registrar discovery_registrar etcd_registrar nacos_registrar registrar"
            " registration zookeeper_registrar",
        ),
        (
            *tests("integration", "registration naming_zookeeper acceptance_naming naming_fork"),
            *tests("unit/naming/services", "zookeeper_naming"),
            *tests("unit/naming/registration", "reachable"),
        ),
    ),
)
