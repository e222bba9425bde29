"""SourceSettings: what is allowed, and what must be equal to share."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.client.endpoints.settings import DEFAULT_MAX_POOL_SIZE, SourceSettings
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

CHECK = HealthCheck(ECHO.methods_by_name["Echo"], pb.EchoRequest(message="well?"))
OTHERS: list[dict[str, Any]] = [
    {"connections": 2},
    {"connection_type": "short"},
    {"connection_type": "pooled"},
    {"connection_type": "pooled", "max_pool_size": 3},
    {"idle_timeout_s": 1.0},
    {"dial_backoff": None},
    {"dial_backoff": Backoff(first_s=1)},
    {"health_check": CHECK},
    {"health_check": dataclasses.replace(CHECK)},
]


def test_only_equal_settings_share_connections() -> None:
    made = [SourceSettings(), *(SourceSettings(**other) for other in OTHERS)]
    again = [SourceSettings(), *(SourceSettings(**other) for other in OTHERS)]
    assert made == again
    assert len(set(made)) == len(OTHERS) + 1


def test_pool_size_has_a_default() -> None:
    assert SourceSettings("pooled").pool_size == DEFAULT_MAX_POOL_SIZE
    assert SourceSettings("pooled", max_pool_size=3).pool_size == 3


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"connection_type": "Single"}, "must be one of 'single', 'pooled', 'short', 'auto'"),
        ({"connection_type": None}, "must be one of"),
        ({"connections": True}, "connections must be a whole number >= 1, not True"),
        ({"connections": -1}, "connections must be a whole number"),
        ({"connections": 2, "connection_type": "short"}, 'for the connection_type "single"'),
        (
            {"connection_type": "pooled", "max_pool_size": "8"},
            "max_pool_size must be None or",
        ),
        ({"max_pool_size": 8}, 'for the connection_types "pooled" and "auto"'),
        (
            {"connection_type": "short", "max_pool_size": 8},
            'for the connection_types "pooled" and "auto"',
        ),
        ({"idle_timeout_s": 0}, "more than 0 seconds, or None"),
        ({"health_check": CHECK, "dial_backoff": None}, "give a dial_backoff"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SourceSettings(**settings)
