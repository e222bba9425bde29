"""Serving: a Server listens, runs handlers and answers. Imports rpc and below, not client."""

from __future__ import annotations

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


def __dir__() -> list[str]:
    return __all__
