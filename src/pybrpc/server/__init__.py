"""Serving: a Server listens, runs handlers and answers. Imports rpc and below, not client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.errors import WorkerStartError
    from pybrpc.server.lifecycle.registrations import ServerRegistration
    from pybrpc.server.server import Server
    from pybrpc.server.values import ServerStatistics, UnfinishedCall, UnfinishedConnection
    from pybrpc.server.workers.supervisor import Supervisor, serve
    from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics, WorkerStatistics

__all__ = [
    "Server",
    "ServerRegistration",
    "ServerStatistics",
    "Supervisor",
    "SupervisorStatistics",
    "UnfinishedCall",
    "UnfinishedConnection",
    "WorkerStartError",
    "WorkerStatistics",
    "serve",
]

_DEFINED_IN = {
    "Server": "pybrpc.server.server",
    "ServerRegistration": "pybrpc.server.lifecycle.registrations",
    "ServerStatistics": "pybrpc.server.values",
    "Supervisor": "pybrpc.server.workers.supervisor",
    "SupervisorStatistics": "pybrpc.server.workers.supervisor_statistics",
    "UnfinishedCall": "pybrpc.server.values",
    "UnfinishedConnection": "pybrpc.server.values",
    "WorkerStartError": "pybrpc.errors",
    "WorkerStatistics": "pybrpc.server.workers.supervisor_statistics",
    "serve": "pybrpc.server.workers.supervisor",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
