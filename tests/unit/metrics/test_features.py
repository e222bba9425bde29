"""Features that parts of the library name."""

from __future__ import annotations

import pybrpc
from pybrpc.client.cluster.balancing.registry import unregister_load_balancer
from pybrpc.metrics.features import FEATURES
from pybrpc.naming.schemes import naming_schemes


def test_load_balancers_are_named_as_they_are_now() -> None:
    def text() -> list[str]:
        return FEATURES["rpc_load_balancer"]().split()

    assert {"rr", "la", "p2c_ewma", "c_ketama"} <= set(text())
    pybrpc.register_load_balancer("my-own", lambda parameters: None)
    try:
        assert "my-own" in text()
    finally:
        unregister_load_balancer("my-own")
    assert "my-own" not in text()


def test_naming_services_are_named() -> None:
    assert {"list", "dlist", "file", "dns", "etcd", "zookeeper"} <= set(naming_schemes())
