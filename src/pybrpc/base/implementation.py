"""Chooses the form in which the hot modules run: as plain Python, or compiled by Cython.

A hot module has a sibling `.pxd`, which declares its C structs and C integers. An installation
compiles all hot modules or none, and puts each extension module beside its `.py`. Python prefers an
extension module to a `.py`, so the compiled form runs where it exists; a finder in this module
loads it, so that tracebacks show its source. `PYBRPC_IMPL=python` selects the plain form: then
another finder makes the import system load the `.py`.

It is an ImportError if the requested form does not exist, if only some modules are compiled, or if,
in a source tree, an extension module is older than its source. There is no silent fallback.

This module is imported before all others of the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import decode_source, spec_from_file_location
from types import ModuleType
from typing import NamedTuple

HOT_MODULES = (
    "pybrpc.base.flags",
    "pybrpc.base.gil_atomic",
    "pybrpc.base.once_posted",
    "pybrpc.client.calls.aio_calls",
    "pybrpc.client.calls.attempt",
    "pybrpc.client.calls.call",
    "pybrpc.client.calls.call_record",
    "pybrpc.client.calls.call_times",
    "pybrpc.client.calls.sync_calls",
    "pybrpc.client.channel.aio_stub_method",
    "pybrpc.client.channel.stub",
    "pybrpc.client.cluster.balancing.base_picker",
    "pybrpc.client.cluster.balancing.hashing.murmur3",
    "pybrpc.client.cluster.balancing.peak_ewma",
    "pybrpc.client.cluster.balancing.power_of_choices",
    "pybrpc.client.cluster.balancing.round_robin",
    "pybrpc.client.cluster.breaking.outlier_detection",
    "pybrpc.client.cluster.breaking.retry_budget",
    "pybrpc.client.cluster.breaking.server_breaker",
    "pybrpc.client.cluster.breaking.server_health",
    "pybrpc.client.cluster.cluster_server",
    "pybrpc.client.cluster.finding",
    "pybrpc.client.cluster.pick",
    "pybrpc.client.cluster.router",
    "pybrpc.client.connections.connection",
    "pybrpc.client.connections.connection_pool",
    "pybrpc.client.connections.http_connection",
    "pybrpc.client.connections.http_request",
    "pybrpc.client.connections.hulu_connection",
    "pybrpc.client.connections.rpc_connection",
    "pybrpc.iobuf.blocks",
    "pybrpc.iobuf.gather",
    "pybrpc.iobuf.io_portal",
    "pybrpc.iobuf.iobuf",
    "pybrpc.iobuf.short_io",
    "pybrpc.json2pb.json_to_pb",
    "pybrpc.json2pb.pb_to_json",
    "pybrpc.metrics.latency_feed",
    "pybrpc.metrics.tally",
    "pybrpc.protocols.baidu_std.baidu_std",
    "pybrpc.protocols.baidu_std.fast_frames",
    "pybrpc.protocols.baidu_std.meta_decoder",
    "pybrpc.protocols.baidu_std.meta_encoder",
    "pybrpc.protocols.framed",
    "pybrpc.protocols.frames",
    "pybrpc.protocols.http1.client_session",
    "pybrpc.protocols.http1.parser",
    "pybrpc.protocols.http1.server_session",
    "pybrpc.protocols.http1.writer",
    "pybrpc.protocols.hulu.hulu",
    "pybrpc.protocols.message",
    "pybrpc.protocols.message_cutter",
    "pybrpc.protocols.session",
    "pybrpc.protocols.sofa.sofa",
    "pybrpc.protocols.streaming.stream_frame",
    "pybrpc.protocols.streaming.streaming_rpc",
    "pybrpc.rpc.body",
    "pybrpc.rpc.controller",
    "pybrpc.rpc.http",
    "pybrpc.rpc.method",
    "pybrpc.rpc.serving",
    "pybrpc.rpc.timeout_queue",
    "pybrpc.server.calls.admission",
    "pybrpc.server.calls.call_end",
    "pybrpc.server.calls.call_queue",
    "pybrpc.server.calls.interfaces",
    "pybrpc.server.calls.invoker",
    "pybrpc.server.calls.method_entry",
    "pybrpc.server.calls.method_times",
    "pybrpc.server.calls.ordered_replies",
    "pybrpc.server.calls.response_batch",
    "pybrpc.server.calls.server_call",
    "pybrpc.server.calls.service_registry",
    "pybrpc.server.connections.closing",
    "pybrpc.server.connections.server_connection",
    "pybrpc.server.connections.server_core",
    "pybrpc.server.http.call_form",
    "pybrpc.server.http.exchange",
    "pybrpc.server.http.method_target",
    "pybrpc.server.http.replies",
    "pybrpc.server.http.request",
    "pybrpc.server.http.resolved_head",
    "pybrpc.server.lifecycle.running_server",
    "pybrpc.server.limiters.limiter",
    "pybrpc.server.running.call_runner",
    "pybrpc.server.running.handler_loop",
    "pybrpc.server.running.inline_runner",
    "pybrpc.server.running.scheduler",
    "pybrpc.server.running.worker",
    "pybrpc.server.running.worker_pool",
    "pybrpc.server.running.worker_slots",
    "pybrpc.streams.core",
    "pybrpc.streams.gathered_frames",
    "pybrpc.streams.outgoing",
    "pybrpc.streams.receive_side",
    "pybrpc.streams.send_lock",
    "pybrpc.streams.send_queue",
    "pybrpc.streams.send_side",
    "pybrpc.streams.table",
    "pybrpc.tracing.switch",
    "pybrpc.transport.dispatch.completion",
    "pybrpc.transport.dispatch.direct_dispatcher",
    "pybrpc.transport.dispatch.direct_waiter",
    "pybrpc.transport.dispatch.epoll_dispatcher",
    "pybrpc.transport.dispatch.fd_events",
    "pybrpc.transport.dispatch.poller_role",
    "pybrpc.transport.dispatch.relay",
    "pybrpc.transport.dispatch.standby",
    "pybrpc.transport.dispatch.step_queue",
    "pybrpc.transport.dispatch.timers",
    "pybrpc.transport.dispatch.turn_budget",
    "pybrpc.transport.dispatch.turn_runner",
    "pybrpc.transport.socket.reader",
    "pybrpc.transport.socket.socket",
    "pybrpc.transport.writing.backlog",
    "pybrpc.transport.writing.pending_writes",
    "pybrpc.transport.writing.process_backlog",
    "pybrpc.transport.writing.socket_core",
    "pybrpc.transport.writing.write_queue",
    "pybrpc.transport.writing.write_request",
    "pybrpc.transport.writing.writer",
)
"""Every module that has a `.pxd`."""

_REBUILD = "Build it again (make compiled, or PYBRPC_BUILD=compiled pip install .)"
_USE_PYTHON = "set PYBRPC_IMPL=python"


class HotModule(NamedTuple):
    """A hot module and the paths of its files."""

    name: str
    source: str
    extension: str | None

    @property
    def is_stale(self) -> bool:
        """Whether the source has changed since it was compiled. False without a `.pxd`, as in an
        installed package."""
        declarations = f"{self.source.removesuffix('.py')}.pxd"
        if self.extension is None or not os.path.exists(declarations):
            return False
        built_at = os.stat(self.extension).st_mtime
        return any(os.stat(path).st_mtime > built_at for path in (self.source, declarations))


def find_hot_modules(names: Sequence[str], root: str) -> list[HotModule]:
    """The files of modules, searched in the directory `root` of their top package. Each directory
    is read once: to ask for each file is slower."""
    listed: dict[str, set[str]] = {}
    found = []
    for name in names:
        *packages, module = name.split(".")[1:]
        directory = os.path.join(root, *packages)
        if directory not in listed:
            listed[directory] = _files_in(directory)
        files = listed[directory]
        built = [module + suffix for suffix in EXTENSION_SUFFIXES if module + suffix in files]
        base = os.path.join(directory, module)
        extension = os.path.join(directory, built[0]) if built else None
        found.append(HotModule(name, f"{base}.py", extension))
    return found


def _files_in(directory: str) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:  # in an archive
        return set()


def choose(wanted: str | None, modules: Sequence[HotModule]) -> str:
    """The form to run, "python" or "compiled"; ImportError if there is no valid choice."""
    if wanted not in (None, "", "python", "compiled"):
        raise ImportError(f"PYBRPC_IMPL is python, compiled, or not set; not {wanted!r}")
    missing = [module.name for module in modules if module.extension is None]
    if wanted == "python":
        return "python"
    if len(missing) == len(modules):
        if wanted == "compiled":
            raise ImportError(f"PYBRPC_IMPL=compiled, but pybrpc is not compiled. {_REBUILD}")
        return "python"
    if missing:
        names = ", ".join(missing)
        raise ImportError(
            f"pybrpc is compiled in part, without {names}. {_REBUILD}, or {_USE_PYTHON}"
        )
    stale = [module.name for module in modules if module.is_stale]
    if stale:
        raise ImportError(
            f"{', '.join(stale)} changed after pybrpc was compiled. {_REBUILD}, or {_USE_PYTHON}"
        )
    return "compiled"


class PythonFinder:
    """Finds the `.py` of modules that have an extension module beside the `.py`."""

    def __init__(self, modules: Sequence[HotModule]) -> None:
        self._sources = {module.name: module.source for module in modules}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        source = self._sources.get(name)
        return None if source is None else spec_from_file_location(name, source)


class SourcedLoader(ExtensionFileLoader):
    """Loads an extension module, and gives away its source: so tracebacks show lines of it."""

    def __init__(self, module: HotModule) -> None:
        super().__init__(module.name, str(module.extension))
        self._source = module.source

    def get_source(self, fullname: str) -> str | None:  # type: ignore[override]
        try:
            with open(self._source, "rb") as file:
                return decode_source(file.read())
        except OSError:
            return None


class CompiledFinder:
    """Finds the extension modules of hot modules, each with its source."""

    def __init__(self, modules: Sequence[HotModule]) -> None:
        self._modules = {module.name: module for module in modules}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self._modules.get(name)
        if module is None:
            return None
        return spec_from_file_location(name, module.extension, loader=SourcedLoader(module))


def _set_up() -> str:
    root = os.path.dirname(os.path.dirname(__file__))
    modules = find_hot_modules(HOT_MODULES, root)
    implementation = choose(os.environ.get("PYBRPC_IMPL"), modules)
    if implementation == "compiled":
        sys.meta_path.insert(0, CompiledFinder(modules))
    elif any(module.extension for module in modules):
        sys.meta_path.insert(0, PythonFinder(modules))
    return implementation


__impl__ = _set_up()
"""The form that runs in this process: "python" or "compiled"."""
