"""The targets, each a module of that name with a `TARGET`."""

from __future__ import annotations

import importlib

from fuzz.fuzz_target import FuzzTarget

NAMES = (
    "addresses",
    "bodies",
    "client_connection",
    "compression",
    "frames",
    "http1_client",
    "http1_messages",
    "http1_urls",
    "hulu_frames",
    "json_bodies",
    "messages",
    "meta",
    "metrics",
    "redis_login",
    "redis_replies",
    "rtmp_amf0",
    "rtmp_chunks",
    "rtmp_flv",
    "server_connection",
    "sessions",
    "sofa_frames",
    "stream_client",
    "stream_frames",
)


def target_named(name: str) -> FuzzTarget:
    """Imports what it needs; KeyError if there is none of that name."""
    if name not in NAMES:
        raise KeyError(f"no target {name!r}; there are {', '.join(NAMES)}")
    target: FuzzTarget = importlib.import_module(f"fuzz.targets.{name}").TARGET
    return target
