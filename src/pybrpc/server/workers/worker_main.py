"""Main function of a worker process: make the server, serve on the given socket, stop if asked."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import inspect
import os
import socket as _socket
import sys
from collections.abc import Callable
from typing import Any

from pybrpc.base.cores import bind_threads
from pybrpc.base.guard import WORKERS
from pybrpc.base.malloc import is_malloc_set, keep_memory
from pybrpc.server.lifecycle.signals import quit_signals
from pybrpc.server.server import Server
from pybrpc.server.workers.messages import WorkerSpec
from pybrpc.server.workers.pages.answering import PageAnswerer
from pybrpc.server.workers.settings import load_target, log_until_set_up
from pybrpc.server.workers.supervisor_link import SupervisorLink

_is_worker = False


def is_worker() -> bool:
    """Whether this process is a worker. A module that is served must not start a supervisor there,
    whose worker would import it and start the next one."""
    return _is_worker


def main() -> None:
    """Serve until the server has stopped. The argument of the command line is a WorkerSpec."""
    global _is_worker
    _is_worker = True
    spec = WorkerSpec.from_json(sys.argv[1])
    log_until_set_up(spec.log_level)
    enable_stacks()
    tune_process(spec)
    listeners = [inherited(fd) for fd in (spec.listener_fd, *spec.more_listener_fds)]
    control = inherited(spec.control_fd)
    if spec.orphan_fd >= 0:
        os.set_inheritable(spec.orphan_fd, False)
    link = SupervisorLink(control, spec.grace_s, spec.orphan_fd)
    link.start()
    answerer = answerer_of(spec)
    try:
        run(spec, listeners, link, answerer)
    except BaseException as error:
        WORKERS.raised("worker %d (pid %d) can't serve", spec.number, os.getpid(), error=error)
        link.fail(error)
        sys.exit(1)
    link.finish()


def enable_stacks() -> None:
    """Write the stacks of all threads to the standard error when the process gets SIGABRT, which
    its supervisor sends if it hangs, or crashes. No Python code has to run for that."""
    if not faulthandler.is_enabled():
        with contextlib.suppress(Exception):  # There is no standard error, or it is no file.
            faulthandler.enable()


def tune_process(spec: WorkerSpec) -> None:
    """Bind it to its cores, and set the thresholds of malloc; before there are other threads. A
    worker that can't be bound, because the cores of the machine have changed, serves all the same.
    """
    if spec.keeps_memory and not is_malloc_set():
        keep_memory()
    if spec.cores:
        try:
            bind_threads(frozenset(spec.cores))
        except (OSError, ValueError) as error:
            WORKERS.caught("worker %d can't be bound to its cores", spec.number, error=error)


def inherited(fd: int) -> _socket.socket:
    """Make the socket of an inherited descriptor. Children of the worker don't inherit it."""
    os.set_inheritable(fd, False)
    return _socket.socket(fileno=fd)


def answerer_of(spec: WorkerSpec) -> PageAnswerer | None:
    """The answerer of questions about pages, started; `None` if the supervisor has no pages."""
    if spec.pages_fd < 0:
        return None
    answerer = PageAnswerer(inherited(spec.pages_fd))
    answerer.start()
    return answerer


def run(
    spec: WorkerSpec,
    listeners: list[_socket.socket],
    link: SupervisorLink,
    answerer: PageAnswerer | None = None,
) -> None:
    """Make the server and serve; in a loop, if the target is a coroutine function."""
    target = load_target(spec.target)
    if inspect.iscoroutinefunction(target):
        with asyncio.Runner(loop_factory=loop_factory(spec.loop)) as runner:
            server = runner.run(run_in_loop(spec, target, listeners, link, answerer))
    else:
        server = checked(target if isinstance(target, Server) else target(), spec)
        server.start(listeners)
        show_pages(server, answerer)
        with stopped_by_signals(server, spec, link):
            link.serve(server)
            server.join()
    if answerer is not None:
        answerer.finish()
        if (variables := server._variables()) is not None:
            variables.close()


async def run_in_loop(
    spec: WorkerSpec,
    make_server: Any,
    listeners: list[_socket.socket],
    link: SupervisorLink,
    answerer: PageAnswerer | None,
) -> Server:
    """Return the server, which has stopped."""
    async with checked(await make_server(), spec) as server:
        await server.start_async(listeners)
        show_pages(server, answerer)
        with stopped_by_signals(server, spec, link):
            link.serve(server)
            await server.wait_stopped()
    return server


def stopped_by_signals(
    server: Server, spec: WorkerSpec, link: SupervisorLink
) -> contextlib.AbstractContextManager[None]:
    """Inside the block SIGTERM and SIGINT stop the server, a moment later; a second one at once.
    Another worker follows it. Nothing happens if the supervisor drains, which will stop it."""

    def on_signal(count: int) -> None:
        if count == 1 and link.stop_later():
            return
        server.stop(spec.grace_s if count == 1 else 0.0)
        link.report_own_stop()

    return quit_signals(on_signal)


def show_pages(server: Server, answerer: PageAnswerer | None) -> None:
    """The server runs: its pages can be shown by the supervisor."""
    if answerer is not None:
        if (variables := server._variables()) is not None:
            variables.are_kept = True  # until the supervisor has them
        answerer.serve(server._pages_view)


def checked(server: object, spec: WorkerSpec) -> Server:
    """The server, which knows now that it is that of a worker."""
    if not isinstance(server, Server):
        raise TypeError(f"{spec.target} must return a pybrpc.Server, not {server!r}")
    port = server._become_worker(f"worker {spec.number} (pid {os.getpid()})")
    if port is not None:
        there = "is used" if spec.pages_fd >= 0 else "can have one: --internal-port"
        WORKERS.info(
            "internal_port=%d of the server is not opened in worker %d: that of the supervisor %s",
            port,
            spec.number,
            there,
        )
    return server


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None
