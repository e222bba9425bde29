"""Mounting: the part of a Server that knows its applications of ASGI."""

from __future__ import annotations

from pybrpc.base.checked_options import checked_flag
from pybrpc.errors import ServerStateError
from pybrpc.server.http.asgi.mount import MAX_WEBSOCKET_MESSAGE_SIZE, checked_mount
from pybrpc.server.http.asgi.scope import AsgiApplication
from pybrpc.server.http.router import Mount
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.routing.routes import Routes


class Mounting:
    """A base class of Server."""

    def __init__(self, hooks: LifecycleHooks, routes: Routes) -> None:
        """`hooks`: those of the server, which start and end the applications too. `routes`: its
        other paths."""
        self._mounts: list[Mount] = []
        self._routes = routes
        self._hooks = hooks

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        raise NotImplementedError

    def mount(
        self,
        path: str,
        application: AsgiApplication,
        *,
        check_origin: bool = True,
        check_credentials: bool = True,
        max_websocket_message_size: int = MAX_WEBSOCKET_MESSAGE_SIZE,
    ) -> None:
        """Have an application of ASGI 3, such as one of FastAPI or Starlette, answer all requests
        of HTTP whose path is `path`, "/app", or begins with "/app/". It has websockets too, with
        the extra `pybrpc[asgi]`, and its lifespan is that of the server.

        It runs in the loop of async handlers. `check_origin`: refuse requests of other sites'
        pages, as for methods. `check_credentials`: the server's `auth` judges each request.
        `max_websocket_message_size`: bytes; default 1 MiB.

        The longest path of a mount goes before a shorter one, and before all services, restful
        paths and pages. The application at "/" gets what nothing else is for, and the path "/"
        itself. ValueError: `path` can't be one, or an application is mounted there; it begins with
        the name of a builtin page or of a service that was added, or hides a restful path.
        TypeError for what is no application. ServerStateError: the server runs.
        """
        if self.is_running:
            raise ServerStateError("mount applications before the server is started")
        checked_flag("check_origin", check_origin)
        checked_flag("check_credentials", check_credentials)
        mounted = checked_mount(path, application, max_websocket_message_size)
        self._routes.add_mount(path)
        self._mounts.append(Mount(mounted.prefix, mounted, check_origin, check_credentials))
        self._hooks.on_startup.append(mounted.start_up)
        self._hooks.on_shutdown.append(mounted.shut_down)
