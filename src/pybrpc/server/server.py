"""Server: serves protobuf services to bRPC clients. After bRPC's `Server`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Self, TypeAlias, TypeVar, Unpack, overload

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.checked_options import checked_flag, checked_instance_or_none
from pybrpc.base.deadline import NEVER, checked_timeout_s, deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.named_options import shows_options
from pybrpc.builtin.registry import PAGES
from pybrpc.builtin.server_view import ServerView
from pybrpc.errors import ServerStateError
from pybrpc.json2pb import JsonOptions
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.raw_body import RawBody
from pybrpc.server.calls.raw_request import RawRequest
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.calls.typed_service import TypedService, with_descriptor
from pybrpc.server.http.frontend import HttpFrontend
from pybrpc.server.http.method_target import targets_of
from pybrpc.server.lifecycle.hooks import Hooking, LifecycleHooks
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.lifecycle.server_variables import ServerVariables
from pybrpc.server.lifecycle.signals import quit_signals
from pybrpc.server.limiters.adaptive_max_concurrency import MaxConcurrency, checked_max_concurrency
from pybrpc.server.limiters.new_limiter import new_limiter
from pybrpc.server.mounting import Mounting
from pybrpc.server.notifying import Notifying
from pybrpc.server.pages_view import new_frontend
from pybrpc.server.registering import Registering
from pybrpc.server.routing.routes import Routes
from pybrpc.server.settings import (
    DEFAULT_GRACE_S,
    SERVER_DEFAULTS,
    ServerOptions,
    ServerSettings,
    ServiceOptions,
)
from pybrpc.server.values import ServerStatistics, UnfinishedCall, UnfinishedConnection
from pybrpc.transport.listening.acceptors import Address, Where, where_to_listen
from pybrpc.transport.listening.listen import start_on_first_free
from pybrpc.transport.runtime import Runtime, default_runtime

RawResponse: TypeAlias = RawBody | Awaitable[RawBody]
RawHandler = TypeVar("RawHandler", bound=Callable[[RawRequest, Controller], RawResponse])

_THREADS_S = 1.0


class Server(Hooking, Mounting, Notifying, Registering):
    """Serves the services that were added, on one address, until it is stopped.

        server = Server()
        server.add_service(echo_pb2.DESCRIPTOR.services_by_name["EchoService"], EchoService())
        endpoint = server.start("127.0.0.1:0")

    A handler is called as `method(request, controller)` and returns the response message. A plain
    function runs in a thread where it may block: the one that read the request, if it is known to
    be fast, else a worker. A coroutine function is a task of an asyncio loop, where it must not.

    Which loop: under `async with Server() as server`, the running one, which then reads and writes
    the server's connections too. Else the runtime's dispatcher thread does that, and async handlers
    run in a loop thread that the server starts and stops.

    All methods but `start` and those that add services may be called from any thread. It can be
    started again after it has stopped. In a forked child the copy of a running server is not
    running, and touches nothing. One that is collected while it runs goes on, and gives a
    ResourceWarning. Its options are those of `ServerOptions`.
    """

    @shows_options(ServerOptions, SERVER_DEFAULTS)
    def __init__(self, **options: Unpack[ServerOptions]) -> None:
        settings = self._settings = ServerSettings.of(options)
        self._routes = Routes(PAGES if settings.builtin_services else ())
        self._registry = ServiceRegistry(
            settings.cancel_handlers, settings.drop_expired, settings.interceptors
        )
        hooks = LifecycleHooks()
        Hooking.__init__(self, hooks)
        Mounting.__init__(self, hooks, self._routes)
        Registering.__init__(self)
        self._loop: asyncio.AbstractEventLoop | None = None

    __init__.__doc__ = ServerOptions.__doc__

    _worker_name = ""
    _run: RunningServer | None = None
    _pid = 0

    @overload
    def add_service(self, service: TypedService, **options: Unpack[ServiceOptions]) -> None: ...

    @overload
    def add_service(
        self, service: ServiceDescriptor, impl: object, **options: Unpack[ServiceOptions]
    ) -> None: ...

    def add_service(
        self,
        service: ServiceDescriptor | TypedService,
        impl: object = None,
        *,
        partial: bool = False,
        restful_mappings: str = "",
        allow_default_url: bool = False,
        allow_http_body_to_pb: bool = True,
        json_options: JsonOptions | None = None,
    ) -> None:
        """Serve `service` with `impl`, an object with methods named as in the .proto file.

        An object of a class derived from a generated one, a TypedService, is given alone.

        TypeError: `impl` lacks some of them, is the class instead of an object, or has a function
        that takes other arguments or a plain one that returns a coroutine; `service` is not a
        descriptor; or an interceptor of the server can't run around one of its methods.
        ServerStateError: the server runs, or a service of that full or short name was added
        already, or its name is that of a builtin page or the beginning of the path of a mount.

        With `partial`, `impl` may lack methods: they are answered with ENOMETHOD. So are methods
        that stream. The server logs their names when it starts.

        By HTTP a method has the path "/Service/Method". `restful_mappings` gives methods other
        paths instead, "/v1/echo => Echo, GET /v1/users/{id} => GetUser, /v1/files/* => Get"; with
        `allow_default_url` they keep that one too. ValueError for mappings that make no sense.
        Without `allow_http_body_to_pb` a body of HTTP is `controller.request_attachment`, as it
        came, and the request is empty. `json_options` say how JSON is read and written.
        """
        checked_flag("partial", partial)
        checked_flag("allow_http_body_to_pb", allow_http_body_to_pb)
        checked_instance_or_none("json_options", json_options, JsonOptions)
        if self.is_running:
            raise ServerStateError("add services before the server is started")
        described, impl = with_descriptor(service, impl)
        self._registry.add(described, impl, partial)
        form = allow_http_body_to_pb, json_options or JsonOptions()
        try:
            targets = targets_of(described, self._registry, *form)
            self._routes.add_service(described, targets, restful_mappings, allow_default_url)
        except BaseException:
            self._registry.remove(described)
            raise

    def add_generic_service(self, handler: RawHandler) -> RawHandler:
        """Serve all methods that no service has with `handler`, a function or `async def` that is
        called as `handler(request, controller)`, with a `pybrpc.RawRequest`, and returns bytes.

        Returns it, so that it can be a decorator. Methods that were added with a service never
        reach it, neither those of a `partial` one that are not served. The bytes are sent as they
        are: `controller.response_compress_type` says how the handler has compressed them. In
        `set_max_concurrency` and `set_method_options` its name is "*".

        TypeError if it can't be called so. ServerStateError: the server runs, or has one already.
        Like bRPC's `ServerOptions.baidu_master_service`, which gets the requests of all methods.
        """
        if self.is_running:
            raise ServerStateError("add services before the server is started")
        self._registry.add_generic(handler)
        return handler

    def remove_service(self, service: ServiceDescriptor) -> None:
        """Serve `service` no more. ServerStateError: the server runs, or it was not added."""
        if self.is_running:
            raise ServerStateError("remove services before the server is started")
        self._registry.remove(service)
        self._routes.remove_service(service)

    def set_max_concurrency(self, method: str, limit: MaxConcurrency) -> None:
        """Limit how many requests of a method run at once; more are answered with ELIMIT.

        `method` is "package.Service.Method" or "Service.Method", or "*" for the generic service as
        a whole. `limit` is one of

        - a number; 0 lifts the limit, and so does "unlimited"
        - "auto", or an `AutoConcurrencyConf`: as many as the server can use, as it has measured
        - "timeout", or a `TimeoutConcurrencyConf`: as many as will end while their clients wait
        - a `ConcurrencyLimiter` of yours; or one of these as an `AdaptiveMaxConcurrency`

        Any thread, also while the server runs; requests that run don't count. See docs/overload.md.
        ServerStateError: no such method; ValueError or TypeError: no such limit.
        """
        checked = checked_max_concurrency("limit", limit)
        self._registry.entry_named(method).limiter = new_limiter(checked)

    def set_method_options(
        self,
        method: str,
        *,
        cancel_handlers: bool | None = None,
        drop_expired: bool | None = None,
        enable_progressive_read: bool | None = None,
    ) -> None:
        """Set options of one method, which are those of the server else; `None` changes nothing.

        `cancel_handlers`, `drop_expired`: as the options of Server.
        `enable_progressive_read`: run a request of HTTP when its head has come; the handler reads
        `controller.http_request.body`. `method`, threads and errors as for `set_max_concurrency`. A
        handler that runs already may still go by the old values.
        """
        entry = self._registry.entry_named(method)
        entry.set_flags(cancel_handlers, drop_expired, enable_progressive_read)

    def start(self, address: Address) -> Endpoint:
        """Listen on "host:port", port 0 for a free one; return the address. Serves at once.

        `address` may also be a socket that is bound already, which belongs to the server from then
        on, or a list of them; of several, the address of the first is returned. "fd://" means the
        sockets that systemd has passed to this process, "fd://web" those named "web", and "fd://3"
        descriptor 3: they stay open when the server stops. See docs/deployment.md.
        "memory:" is for tests: only this process can connect to the address that is returned.

        Doesn't wait for anything, but for the resolver if `host` is a name, and for the functions
        of `on_startup`. Raises AddressError for an invalid address, ListenError (an OSError) for
        one that can't be used, ServerStateError if the server runs already.
        """
        where = self._checked_address(address)
        with self._starting() as (run, runtime):
            run.start_up()
            run.listen(where, runtime)
        return self.endpoint

    async def start_async(self, address: Address) -> Endpoint:
        """`start` inside `async with`, for a server with async functions of `on_startup`."""
        where = self._checked_address(address)
        if self._loop is None:
            raise ServerStateError("start_async() needs `async with server`; else use start()")
        with self._starting() as (run, runtime):
            try:
                await run.start_up_async()
                run.listen(where, runtime)
            except BaseException:
                run.give_up_start()
                await run.stopped.wait_async()
                raise
        return self.endpoint

    def start_in_range(self, host: str, ports: range) -> Endpoint:
        """`start` on the first free port of `ports`.

        ListenError if all are taken, or if `host` can't be listened on at all.
        """
        self._registrations.check_where(Endpoint(host, 0))
        with self._starting() as (run, runtime):
            run.start_up()

            def listen(where: Endpoint) -> Endpoint:
                run.listen(where, runtime)
                return where

            start_on_first_free(host, ports, listen)
        return self.endpoint

    def _checked_address(self, address: Address) -> Where:
        self._check_not_running()
        where = where_to_listen(address)
        if isinstance(where, Endpoint):
            self._registrations.check_where(where)
        return where

    @contextlib.contextmanager
    def _starting(self) -> Iterator[tuple[RunningServer, Runtime]]:
        """A run that is about to start. If the block raises, nothing is left of it."""
        self._check_not_running()
        if self._is_starting:
            raise ServerStateError("the server is being started already")
        runtime = self._settings.runtime or default_runtime()
        loop = self._loop
        dispatcher = runtime.dispatcher if loop is None else runtime.dispatcher_of(loop)
        run = RunningServer(
            self._registry,
            self._settings,
            self._hooks,
            dispatcher,
            runtime,
            loop,
            self._frontend_maker(),
            self._registrations,
        )
        run.variables.builtin_service_count = len(PAGES) if self._settings.builtin_services else 0
        self._is_starting, self._late_stop = True, None
        try:
            yield run, runtime
            self._pid, self._run = os.getpid(), run
        except BaseException:
            run.give_up_start()
            if loop is None and not dispatcher.is_current():
                run.stopped.wait(NEVER)
            raise
        finally:
            self._is_starting = False
        if self._late_stop is not None:
            self._late_stop()

    def _frontend_maker(self) -> Callable[[RunningServer], HttpFrontend]:
        """Return the function that makes what a run has for HTTP."""
        settings = self._settings
        return partial(new_frontend, settings, self._routes, self._mounts, self._worker_name)

    def _become_worker(self, name: str) -> int | None:
        """Before the start: it will serve in a worker process. Return its `internal_port`, which
        will not be opened. ServerStateError if it is registered: its supervisor has to be."""
        self._registrations.forbid(
            "a worker can't register the address that all workers share: give it to the "
            "supervisor, by `pybrpc serve --register URL` or `supervisor.register(url)`"
        )
        port = self._settings.internal_port
        self._worker_name = name
        # The supervisor drains, before it tells its workers to stop.
        self._settings = dataclasses.replace(self._settings, internal_port=None, drain_delay_s=0.0)
        return port

    def _become_unready(self) -> None:
        """Have pages say that a stop has begun, which the supervisor of this worker has begun."""
        if (run := self._current_run()) is not None:
            run.drain.is_ready = False

    def _pages_view(self) -> ServerView | None:
        """The server as its pages show it; `None` if it does not run, or has no pages."""
        run = self._current_run()
        if run is None or run.http is None or not self._settings.builtin_services:
            return None
        return run.http.view

    def _variables(self) -> ServerVariables | None:
        """Its variables since its start; `None` before."""
        return None if (run := self._current_run()) is None else run.variables

    def _check_not_running(self) -> None:
        if self.is_stopping:
            raise ServerStateError(f"the server on {self.endpoint} still stops: join() it first")
        if self.is_running:
            raise ServerStateError(f"the server runs already, on {self.endpoint}")

    @property
    def endpoint(self) -> Endpoint:
        """Address of the server; ServerStateError before the first start."""
        if self._run is None:
            raise ServerStateError("the server was not started")
        endpoint: Endpoint = self._run.acceptor.endpoint
        return endpoint

    @property
    def internal_endpoint(self) -> Endpoint:
        """Address of the internal port; ServerStateError before the first start, and without
        `internal_port`."""
        run = self._run
        if run is None or run.internal_port is None:
            raise ServerStateError("the server was not started with an internal_port")
        return run.internal_port.endpoint

    @property
    def is_running(self) -> bool:
        """Whether the server was started, in this process, and has not stopped yet."""
        run = self._current_run()
        return run is not None and not run.stopped.is_set

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has begun and is not over."""
        run = self._current_run()
        return run is not None and run.is_stopping and not run.stopped.is_set

    def reload_tls(self) -> None:
        """Load the certificates again, for connections that are accepted from now on.

        Any thread; blocks for reading files. TlsConfigError if one of them is bad: then nothing
        changes. ServerStateError if the server was made without TLS.
        """
        if self._settings.tls is None:
            raise ServerStateError(
                "no certificates to load again: the server was made without tls="
            )
        self._settings.tls.reload()

    def stop(self, grace: float | None = DEFAULT_GRACE_S) -> None:
        """Begin to stop, and return at once; `join` and `wait_stopped` wait for the end.

        A server that is registered leaves its naming services first, for which it waits up to 3
        seconds, and then serves on for `drain_delay` seconds, so that clients hear of it; neither
        takes longer than `grace`. /readiness says 503 meanwhile. A second call ends that at once.

        Then no connection is accepted any more and new requests are refused with ELOGOFF. Each
        connection is closed when its running requests are answered. Handlers that still run after
        `grace` seconds are left alone (threads) or cancelled (tasks), and their connections closed;
        `None` sets no limit. A second call can bring the end forward. While the server starts, the
        stop begins after that. Never blocks; handlers and signal handlers may call it too.
        """
        self._stop(grace, is_patient=False)

    def _stop(self, grace: float | None = DEFAULT_GRACE_S, *, is_patient: bool = True) -> None:
        """`stop`; but if it is patient, and a stop has begun, that may drain to its end."""
        grace_s = checked_timeout_s(grace, "grace")
        if self._is_starting:
            # Store, then load: the start may be over just now.
            self._late_stop = partial(self._stop, grace_s, is_patient=is_patient)
        if (run := self._current_run()) is not None:
            run.drain.stop(grace_s, is_patient=is_patient)

    def join(self, timeout: float | None = None) -> bool:
        """Block until the server has stopped, or for `timeout` seconds; return whether it has.

        It also waits while nobody has called `stop`. ServerStateError where it would wait for
        itself: inside a turn of the server's own dispatcher (in the loop that it is bound to), and
        in a plain function of `on_stopping` or `on_shutdown`.
        """
        deadline = deadline_after(checked_timeout_s(timeout))
        run = self._current_run()
        if run is None:
            return True
        if run.dispatcher.is_current():
            raise ServerStateError("join() would block the server's loop: await wait_stopped()")
        if run.is_in_stop_hook():
            raise ServerStateError("join() would wait for the function of the stop that calls it")
        if not run.stopped.wait(deadline):
            return False
        run.join_threads(min(deadline, time.monotonic() + _THREADS_S))
        return True

    async def wait_stopped(self) -> None:
        """`join` for asyncio: wait, in any loop, until the server has stopped."""
        if (run := self._current_run()) is not None:
            await run.stopped.wait_async()

    def run_until_asked_to_quit(self, grace: float | None = DEFAULT_GRACE_S) -> None:
        """Block until Ctrl-C, SIGTERM or a `stop()`, then stop and join.

        A second Ctrl-C or SIGTERM ends the grace. In another thread than the main one, which gets
        no signals, only `stop()` ends it. systemd is notified, see `notifying_systemd`. After
        bRPC's `RunUntilAskedToQuit`.
        """
        if self._current_run() is None:
            raise ServerStateError("start the server before run_until_asked_to_quit()")
        quitting = quit_signals(lambda count: self.stop(grace if count == 1 else 0.0))
        with quitting, self.notifying_systemd():
            self.join()

    def statistics(self) -> ServerStatistics:
        """Counters since the last start; all zeros before."""
        return ServerStatistics() if (run := self._current_run()) is None else run.statistics()

    def unfinished(self) -> list[UnfinishedCall]:
        """The requests that were admitted and are not answered, oldest first.

        After a stop whose grace was too short: those whose handlers still run.
        """
        run = self._current_run()
        calls = [] if run is None else run.unfinished()
        return sorted(calls, key=lambda call: -call.age_s)

    def unfinished_connections(self) -> list[UnfinishedConnection]:
        """The open connections; a stop waits for those with requests or unwritten bytes."""
        run = self._current_run()
        return [] if run is None else run.unfinished_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        self.join()

    async def __aenter__(self) -> Self:
        if self.is_running:
            raise ServerStateError("start the server inside `async with`, not before")
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stop()
        await self.wait_stopped()
        self._loop = None

    def _current_run(self) -> RunningServer | None:
        """The running server, unless it belongs to the parent of this forked process."""
        return self._run if self._pid == os.getpid() else None

    def __del__(
        self,
        warn: Callable[..., None] = warnings.warn,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        """It still serves: a stop is not forced upon calls that run."""
        if self._run is not None and not is_finalizing() and self.is_running:
            warn(f"unclosed server {self!r}, which goes on", ResourceWarning, source=self)

    def __repr__(self) -> str:
        services = ", ".join(self._registry.service_names) or "no service"
        run = self._current_run()
        return f"<Server of {services}, {'not started' if run is None else run.description}>"
