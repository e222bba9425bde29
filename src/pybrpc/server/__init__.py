"""Serving: a Server listens, runs handlers and answers. Imports rpc and below, not client."""

from __future__ import annotations

from pybrpc.server.server import Server
from pybrpc.server.statistics import ServerStatistics
from pybrpc.server.unfinished import UnfinishedCall, UnfinishedConnection

__all__ = ["Server", "ServerStatistics", "UnfinishedCall", "UnfinishedConnection"]
